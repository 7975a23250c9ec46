"""The sizes of a model that its encoding may depend on."""

from dataclasses import dataclass

from hope import config


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


def encoding_shape(shape: config.Model, length: int) -> EncodingShape:
    """Return the sizes that an encoding may depend on, of a decoder of training length ``length``."""
    return EncodingShape(
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        kv_heads=shape.kv_heads or shape.heads,
        head_dim=shape.head_dim,
        length=length,
    )
