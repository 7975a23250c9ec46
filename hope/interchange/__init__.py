"""Export of trained models to stock formats, and import of stock checkpoints."""
