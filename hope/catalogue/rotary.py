"""Encodings that turn queries and keys."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

from hope.catalogue import spectra
from hope.catalogue.family import Family, Settings


def _number_or(word: str, low: float, high: float, expected: str) -> PlainValidator:
    """Return a check for a number from ``low`` (itself left out) to ``high``, or one word in its place."""

    def check(value: Any) -> float | str:
        if value == word:
            return word
        try:
            # YAML reads 5e5, without a point, as text.
            number = None if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not low < number <= high:
            raise ValueError(f"input should be {expected}, or '{word}'")
        return number

    return PlainValidator(check)


Positive = Annotated[float, Field(gt=0.0)]
BaseOrFast = Annotated[float | Literal["fast"], _number_or("fast", 0.0, float(10**300), "a number above 0")]
ShareOrHope = Annotated[float | Literal["hope"], _number_or("hope", 0.0, 1.0, "a share above 0 and up to 1")]


class RotarySettings(Settings):
    """Settings of a rotary encoding."""

    base: Positive = Field(10_000.0, description="base b of the frequencies b^(-2j/d)")


class RopeSettings(Settings):
    """Settings of RoPE."""

    base: BaseOrFast = Field(
        10_000.0,
        description="base b of the frequencies b^(-2j/d); fast: the largest at which all complete a turn within L",
    )


class HopeSettings(RotarySettings):
    """Settings of HoPE and of its ablations."""

    cutoff: float = Field(
        1.0,
        ge=0.0,
        description="turns that a component must complete within the training length to be fast",
    )
    freeze: Literal["slow", "fast", "band", "listed", "random"] = Field(
        "slow", description="components of angle 0: the slow ones is HoPE, the others are ablations"
    )
    band: list[Annotated[float, Field(ge=0.0)]] | None = Field(
        None, min_length=2, max_length=2, description="freeze: band; turns within L, from and below"
    )
    components: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="freeze: listed; indices from 0, from fast to slow"
    )
    count: int | None = Field(None, ge=0, description="freeze: random; how many, as many as HoPE if left out")
    seed: int | None = Field(None, ge=0, description="freeze: random; seed of the set")

    @model_validator(mode="after")
    def _belong_together(self) -> "HopeSettings":
        for key, kind in (("band", "band"), ("components", "listed"), ("count", "random"), ("seed", "random")):
            if getattr(self, key) is not None and self.freeze != kind:
                raise ValueError(f"{key} goes with freeze: {kind}, not with freeze: {self.freeze}")
        for key, kind in (("band", "band"), ("components", "listed")):
            if getattr(self, key) is None and self.freeze == kind:
                raise ValueError(f"freeze: {kind} needs the key {key}")
        return self


class PRopeSettings(RotarySettings):
    """Settings of p-RoPE."""

    p: float = Field(0.75, ge=0.0, le=1.0, description="share of the components that turn, from the fastest")


class PartialRopeSettings(RotarySettings):
    """Settings of partial RoPE."""

    share: ShareOrHope = Field(0.25, description="share r/d of rotated dimensions; hope: as many as HoPE keeps")


class ClippedRopeSettings(RotarySettings):
    """Settings of clipped RoPE."""

    kind: Literal["soft", "hard"] = Field("soft", description="soft: slow them down by a cosine; hard: stop them")
    count: int | None = Field(None, ge=0, description="slowest components clipped; as many as HoPE's if left out")


class ListedSettings(RotarySettings):
    """Settings of a rotation by given frequencies."""

    frequencies: list[Annotated[float, Field(ge=0.0)]] | None = Field(None, description="d/2 numbers, radians a token")
    multipliers: list[Annotated[float, Field(ge=0.0)]] | None = Field(
        None, description="d/2 factors of RoPE's frequencies"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> "ListedSettings":
        if self.frequencies is not None and self.multipliers is not None:
            raise ValueError("frequencies and multipliers exclude each other; leave out one")
        return self


class XposSettings(RotarySettings):
    """Settings of xPos."""

    scale_base: Positive = Field(512.0, description="tokens over which component j decays by its factor zeta_j")


class PopeSettings(RotarySettings):
    """Settings of PoPE."""

    delta: Literal["zero", "uniform"] = Field("zero", description="initial phases: 0, or uniform from -2 pi to 0")


class DaropeSettings(RotarySettings):
    """Settings of DaRoPE."""

    w_std: float = Field(0.1, ge=0.0, description="standard deviation of the weights w at the start")
    alpha: float = Field(0.5, description="weight of the position at the start")


ROTARY = (
    Family(
        "rope",
        "hope.encodings.rotary:Rope",
        RopeSettings,
        "rotate component j by m * b^(-2j/d)",
        "Su et al. 2021, arXiv 2104.09864",
        spectrum=spectra.rope,
    ),
    Family(
        "hope",
        "hope.encodings.rotary:Hope",
        HopeSettings,
        "RoPE where b^(-2j/d) >= 2 pi * cutoff / L, angle 0 elsewhere",
        "Chen et al. 2025, arXiv 2410.21216",
        spectrum=spectra.hope,
    ),
    Family(
        "p_rope",
        "hope.encodings.rotary_variants:PRope",
        PRopeSettings,
        "RoPE where j < int(p * d/2), angle 0 elsewhere",
        "Barbero et al. 2024, arXiv 2410.06205",
        spectrum=spectra.p_rope,
    ),
    Family(
        "partial_rope",
        "hope.encodings.rotary_variants:PartialRope",
        PartialRopeSettings,
        "rotate r dimensions by m * b^(-2j/r), leave the others",
        "Black et al. 2022, arXiv 2204.06745",
        spectrum=spectra.partial_rope,
    ),
    Family(
        "clipped_rope",
        "hope.encodings.rotary_variants:ClippedRope",
        ClippedRopeSettings,
        "RoPE, slow frequencies times (1 + cos t)/2, t from 0 to pi; hard: times 0",
        "Li et al. 2026, arXiv 2602.05258",
        spectrum=spectra.clipped_rope,
    ),
    Family(
        "rotary",
        "hope.encodings.rotary_variants:Listed",
        ListedSettings,
        "rotate component j by m * theta_j, theta_j as given",
        "this project: for frequencies from elsewhere",
        spectrum=spectra.rotary,
    ),
    Family(
        "xpos",
        "hope.encodings.xpos:Xpos",
        XposSettings,
        "RoPE, component j times zeta_j^((m - n)/512), zeta_j = (2j + 0.4d)/(1.4d)",
        "Sun et al. 2022, arXiv 2212.10554",
    ),
    Family(
        "pope",
        "hope.encodings.pope:Pope",
        PopeSettings,
        "sum_c softplus(q_c) softplus(k_c) cos((m - n) b^(-c/d) - delta_c), c < d",
        "Gopalakrishnan et al. 2025, arXiv 2509.10534",
        parameters=(("layers", "kv_heads", "head_dim"),),
    ),
    Family(
        "darope",
        "hope.encodings.darope:Darope",
        DaropeSettings,
        "RoPE; where HoPE freezes, m becomes L sigmoid(w.x + alpha logit((m + 0.5)/L))",
        "DaRoPE 2026, equations 4 to 6",
        parameters=(("layers", "kv_heads", "width"), ("layers", "kv_heads")),
        shift_invariant=False,
    ),
)
