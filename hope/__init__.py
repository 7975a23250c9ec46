"""Reproduction of *HoPE: A Novel Positional Encoding Without Long-Term Decay* (arXiv 2410.21216).

Importing the package loads no numerical library: ``python -m hope --help`` answers at once. Models that
were trained here load with the Auto classes of transformers in any process that imported it.
"""

from hope.model.registration import register_with_transformers

__version__ = "1.0.0"

register_with_transformers()
