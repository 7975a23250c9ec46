"""The decoder: the same for every encoding, down to the bits of its first weights."""
