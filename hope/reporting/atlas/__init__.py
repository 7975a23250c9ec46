"""The page of all encodings, with pictures."""
