"""A rotation by given frequencies, such as those of a model trained elsewhere."""

from typing import Annotated

from pydantic import Field, model_validator

from hope.catalogue.family import ROTATION, Family, RotarySettings
from hope.catalogue.spectra import Spectrum, geometric
from hope.errors import UserError


class GivenSettings(RotarySettings):
    """Settings of a rotation by given frequencies."""

    frequencies: list[Annotated[float, Field(ge=0.0)]] | None = Field(
        None, description="d/2 numbers, in radians per token"
    )
    multipliers: list[Annotated[float, Field(ge=0.0)]] | None = Field(
        None, description="d/2 factors of RoPE's frequencies"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> "GivenSettings":
        if self.frequencies is not None and self.multipliers is not None:
            raise ValueError("frequencies and multipliers exclude each other; leave out one")
        return self


def spectrum(settings: GivenSettings, head_dim: int, length: int) -> Spectrum:
    """Return the given ``frequencies``, or RoPE's times ``multipliers``.

    Raises:
        UserError: their number differs from the number of components.
    """
    rope = geometric(head_dim, settings.base)
    for key in ("frequencies", "multipliers"):
        given = getattr(settings, key)
        if given is not None and len(given) != len(rope):
            raise UserError(
                f"{key}: {len(given)} numbers, but head dimension {head_dim} has {len(rope)} components; give one each"
            )
    if settings.frequencies is not None:
        return Spectrum(tuple(settings.frequencies), tuple(settings.frequencies))
    factors = settings.multipliers or [1.0] * len(rope)
    return Spectrum(tuple(factor * frequency for factor, frequency in zip(factors, rope, strict=True)), rope)


FAMILY = Family(
    name="rotary",
    rank=5,
    settings=GivenSettings,
    formula="rotate component j by m * theta_j, theta_j as given",
    source="this project: for frequencies from elsewhere",
    in_short="bounded",
    over_distance=(
        f"{ROTATION} The logit stays within ± sum_j A_j at every distance. The picture has the default, RoPE's "
        "frequencies."
    ),
    past_length="Depends on the given frequencies.",
    color="#A5AA99",
    marker="h",
    marker_size=1.1,
    spectrum=spectrum,
    given=True,
    aliases=lambda head_dim, length: [{"multipliers": [0.0] * (head_dim // 2)}],
)
