"""What is checked: an encoding in a small decoder."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from hope import config
from hope.catalogue import FAMILIES, PRESETS
from hope.encodings.base import Encoding
from hope.encodings.registry import build_encoding
from hope.encodings.shape import EncodingShape, encoding_shape
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.seeding import seed_of

DECODER_SHAPE = config.Model(layers=2, width=64, heads=4, kv_heads=2, mlp_width=96)
"""Two layers, two query heads per key and value head, heads of 16 dimensions."""
LENGTH = 32
"""The training length."""
VOCABULARY = 48
TOLERANCE = 1e-3
"""Largest difference, in float32, of hidden states of mean square 1 that must be equal."""


class Broken(AssertionError):
    """The encoding fails a check; the text describes the failure and gives its size."""


@dataclass(frozen=True)
class Subject:
    """An encoding under test.

    Attributes:
        make: makes the encoding for given sizes.
        shape: the decoder around it.
        length: the training length, in tokens.
        shift_invariant: whether logits must depend on positions through their difference alone, if the class has
            no attribute of this name.
    """

    make: Callable[[EncodingShape], Encoding]
    shape: config.Model = field(default_factory=DECODER_SHAPE.model_copy)
    length: int = LENGTH
    shift_invariant: bool | None = None

    @classmethod
    def of(cls, kind: type[Encoding], /, **settings: Any) -> "Subject":
        """Return the subject for a class and its settings."""
        return cls(lambda shape: kind(shape, **settings))

    @classmethod
    def named(cls, name: str, settings: dict[str, Any]) -> "Subject":
        """Return the subject for an encoding as a config names it.

        Args:
            name: a family, a preset, or ``module:Class``.
            settings: laid over the preset's settings and the family's defaults.

        Raises:
            UserError: there is no such encoding, or it does not take the settings.
        """
        preset = PRESETS.get(name)
        known, own = (preset.family, preset.settings) if preset else (name, {})
        encoding = config.EncodingSpec(name=name, family=known, settings=own | settings)
        family = FAMILIES.get(known)
        subject = cls(
            lambda shape: build_encoding(encoding, shape),
            shift_invariant=None if family is None else family.shift_invariant,
        )
        try:
            subject.blank()
        except UserError as error:
            # The message names a key of a config, but there is no config here.
            raise UserError(str(error).removeprefix(f"definitions.{name}.")) from None
        return subject

    def with_kv_heads(self, number: int) -> "Subject":
        """Return the same encoding in a decoder with this number of key and value heads."""
        return replace(self, shape=self.shape.model_copy(update={"kv_heads": number}))

    @property
    def sizes(self) -> EncodingShape:
        """The sizes that the encoding is made for."""
        return encoding_shape(self.shape, self.length)

    def blank(self) -> Decoder:
        """Return the decoder before its weights are drawn."""
        none = config.EncodingSpec(name="none", family="none")
        decoder = Decoder(self.shape, VOCABULARY, self.length, none)
        decoder.encoding = self.make(self.sizes)
        return decoder.eval()

    def fresh(self, seed: int = 0) -> Decoder:
        """Return the decoder as it is before training."""
        return self.blank().initialise(seed)

    @torch.no_grad()
    def trained(self) -> Decoder:
        """Return the decoder with weights so large that heads attend sharply, which makes faults in attention visible.

        Noise is added to the encoding's own parameters, which may begin at 0, in place of a training.
        """
        decoder = self.fresh()
        for name, parameter in decoder.named_parameters():
            if name.startswith("encoding."):
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed_of("noise", name)))
                parameter.add_(0.1 * noise)
            elif parameter.dim() > 1:
                parameter.mul_(20 if name.startswith("embedding") else 8)
        return decoder

    def tokens(self, count: int, rows: int = 2) -> Tensor:
        """Return token ids, int64 ``[rows, count]``."""
        return torch.randint(VOCABULARY, (rows, count), generator=torch.Generator().manual_seed(0))

    def most(self, count: int) -> int:
        """Return ``count``, or fewer where the encoding has fewer positions."""
        longest = self.blank().encoding.longest
        return count if longest is None else min(count, longest)


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two tensors; infinite if a value is not finite."""
    if not (one.isfinite().all() and other.isfinite().all()):
        return float("inf")
    return (one.double() - other.double()).abs().max().item() if one.numel() else 0.0


def demand(holds: bool, message: str) -> None:
    """Raise :class:`Broken` with the message unless ``holds``."""
    if not holds:
        raise Broken(message)
