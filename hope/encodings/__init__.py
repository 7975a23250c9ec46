"""Positional encodings as torch modules, and what follows from them: extensions, listings, identities."""
