"""Trained models to stock formats, and stock checkpoints into this project's own."""
