"""No positional encoding (Kazemnejad et al. 2023, arXiv 2305.19466)."""

from hope.encodings.base import Encoding


class NoEncoding(Encoding):
    """Nothing: the causal mask alone tells the order of tokens."""
