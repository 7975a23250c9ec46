"""Encodings outside of the package, each in one file."""
