"""The one way to seed: random numbers named by what they are for."""

import hashlib

import numpy as np


def seed_of(*purpose: str | int) -> int:
    """Return a 63-bit seed that depends on ``purpose`` alone, the same on every machine."""
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator whose stream depends on ``purpose`` alone.

    Streams of different purposes are independent; the bits are those of Philox, a counter-based
    generator, and so do not depend on what was drawn before.
    """
    return np.random.Generator(np.random.Philox(key=seed_of(*purpose)))
