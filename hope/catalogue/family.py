"""What the catalogue tells of one family of encodings."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hope.catalogue.spectra import Spectrum

Product = tuple[str | int, ...]
"""Factors: numbers, and sizes named as in :class:`hope.encodings.shape.EncodingShape`."""


class Settings(BaseModel):
    """Settings of one encoding; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NoSettings(Settings):
    """An encoding without settings."""


@dataclass(frozen=True)
class Family:
    """One family of encodings.

    Attributes:
        name: the name by which a config lists it.
        implementation: ``module:Class`` of the :class:`hope.encodings.base.Encoding`.
        settings: the model of its settings.
        formula: the encoding in one line.
        source: the paper that defined it.
        spectrum: for one that rotates queries and keys by angles linear in position: maps ``head_dim``,
            ``length`` and the settings to the frequencies.
        parameters: how many it learns, as a sum of products; none if empty.
        kernel: how its attention runs: ``fused``, or with a ``bias`` on the logits, or with ``logits`` of its own.
        shift_invariant: whether logits depend on positions through their difference alone.
        bounded: whether it has no positions past the training length.
    """

    name: str
    implementation: str
    settings: type[Settings]
    formula: str
    source: str
    spectrum: Callable[..., Spectrum] | None = None
    parameters: tuple[Product, ...] = ()
    kernel: Literal["fused", "bias", "logits"] = "fused"
    shift_invariant: bool = True
    bounded: bool = False

    @property
    def rotary(self) -> bool:
        """Whether it rotates queries and keys by an angle linear in position."""
        return self.spectrum is not None

    def parameter_count(self, sizes: Mapping[str, int]) -> int:
        """Return how many parameters it learns in a model of these sizes."""
        return sum(
            math.prod(sizes[factor] if isinstance(factor, str) else factor for factor in product)
            for product in self.parameters
        )
