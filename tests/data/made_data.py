"""Text made for the tests of this room."""

import numpy as np

WORDS = ["wave", "angle", "turn", "head", "query", "key", "value", "past", "near", "far", "light", "stone", "river"]


def prose(seed: int, sentences: int) -> str:
    """Return made-up sentences, one per line; different seeds share almost no line."""
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, size=9)).capitalize() + f" {rng.integers(1000)}." for _ in range(sentences)]
    return "\n".join(lines) + "\n"
