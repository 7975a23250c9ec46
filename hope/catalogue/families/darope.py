"""DaRoPE: slow components turn by a position that depends on content (DaRoPE 2026, equations 4 to 6)."""

from pydantic import Field

from hope.catalogue.family import Family, RotarySettings


class DaropeSettings(RotarySettings):
    """Settings of DaRoPE."""

    w_std: float = Field(0.1, ge=0.0, le=1e9, description="initial standard deviation of the weights w")
    alpha: float = Field(0.5, ge=-1e9, le=1e9, description="initial weight of the position")


FAMILY = Family(
    name="darope",
    rank=8,
    settings=DaropeSettings,
    formula="RoPE; where HoPE freezes, m becomes L sigmoid(w.x + alpha logit((m + 0.5)/L))",
    source="DaRoPE 2026, equations 4 to 6",
    in_short="bounded",
    over_distance=(
        "Fast components are HoPE's. The others turn by theta_j (c_m - c_n), with both clocks between 0 and L: the "
        "logit stays within ± sum_j A_j. Content moves the clocks through w, so the logit does not depend on D alone; "
        "the pictures have w = 0."
    ),
    past_length=("From position L on, position no longer moves the clock: slow components depend on content alone."),
    color="#000000",
    marker="X",
    marker_size=1.25,
    implementation="hope.encodings.darope:Darope",
    parameters=(("layers", "kv_heads", "width"), ("layers", "kv_heads")),
    shift_invariant=False,
    own_queries=True,
    panels="hope.reporting.atlas.darope:panels",
)
PRESETS = (FAMILY.preset("darope_base_500k", "DaRoPE at the base of long-context models", 14, base=5e5),)
