"""The sizes of a model that its encoding may depend on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodingShape:
    """The sizes that an encoding may depend on.

    Attributes:
        layers: decoder layers.
        width: size of the residual stream.
        heads: query heads.
        kv_heads: key and value heads.
        head_dim: width of one head.
        length: the training length L, in tokens.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    length: int
