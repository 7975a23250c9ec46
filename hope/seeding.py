"""Seeds and random generators, each named by its purpose."""

import hashlib

import numpy as np


def seed_of(*purpose: str | int) -> int:
    """Return a 63-bit seed that depends on ``purpose`` alone, the same on every machine."""
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator whose stream depends on ``purpose`` alone.

    Streams of different purposes are independent. The bits are those of Philox, a counter-based generator, and do not
    depend on earlier draws from other streams.
    """
    return np.random.Generator(np.random.Philox(key=seed_of(*purpose)))
