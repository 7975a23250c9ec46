"""Reproduction of *HoPE: A Novel Positional Encoding Without Long-Term Decay* (arXiv 2410.21216).

Importing the package loads no numerical library: ``python -m hope --help`` answers at once.
"""

__version__ = "0.1.0"
