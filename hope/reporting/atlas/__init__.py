"""The page of encodings with its pictures."""
