"""The built-in families of encodings. Modules here are found automatically: no list names them."""
