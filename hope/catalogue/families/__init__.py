"""The built-in families of encodings. A module here is found by itself: no list names it."""
