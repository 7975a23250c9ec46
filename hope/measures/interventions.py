"""Effects of changing a trained model's frequency components, as differences to the unchanged model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hope.measures.losses import LOSS
from hope.measures.measure import DONE, Settings, Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame, Series

INTERVENTION = Source("analysis", "intervention", ("attention",), always=False)
INTERVENTIONS = tuple(DONE)
SETS = ("activated", "slow", "fast", "random", "matched")
"""The sets of components that are changed (:mod:`hope.analysis.intervention`)."""
TAKES = {"intervention": INTERVENTIONS, "components": SETS}
CHANGE: Settings = {"source": INTERVENTION, "takes": TAKES, "compared": False}


def _change(table: DataFrame, measured: str, intervention: str, components: str) -> Series:
    """Return the change of a measure, by document."""
    table = table[table["measure"] == measured].set_index("document")
    changed = table[(table["mode"] == intervention) & (table["set"] == components)]["value"]
    return changed if changed.empty else changed - table[table["mode"] == "none"]["value"]


@measure("change of the U-shape index, {components} components {intervention}", scale="densities", **CHANGE)
def index_change(table: DataFrame, length: int, intervention: str, components: str) -> Series:
    """Change of the U-shape index when the components are changed."""
    return _change(table, "index_without_sink", intervention, components)


@measure("change of the loss within L, {components} components {intervention}", **LOSS, **CHANGE)
def loss_within_change(table: DataFrame, length: int, intervention: str, components: str) -> Series:
    """Change of the loss at positions 0 to L when the components are changed."""
    return _change(table, "loss_within", intervention, components)


@measure(
    "change of the loss from L to 2L, {components} components {intervention}",
    needs=("analysis.multiples up to 2", lambda arm: arm.analysis.multiples[-1] >= 2),
    **LOSS,
    **CHANGE,
)
def octave_loss_change(table: DataFrame, length: int, intervention: str, components: str) -> Series:
    """Change of the loss at positions L to 2L when the components are changed."""
    return _change(table, "loss_past", intervention, components)
