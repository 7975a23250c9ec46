"""The sizes that an encoding may depend on."""

from hope import config
from hope.catalogue.family import EncodingShape

__all__ = ["EncodingShape", "encoding_shape"]


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
