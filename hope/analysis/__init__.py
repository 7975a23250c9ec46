"""Attention inside the models: by distance, by frequency component, and the theory of its decay."""
