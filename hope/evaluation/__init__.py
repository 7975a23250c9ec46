"""Losses past the training length, and retrieval from context, of a trained model."""
