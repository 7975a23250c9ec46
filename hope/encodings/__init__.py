"""Positional encodings: the subject of the study. One small file a family."""
