"""Measures of attention over distance, means over layers and heads, and of frequency components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hope.measures.measure import Listed, Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame, Series

USHAPE = Source("analysis", "ushape", ("attention", "ushape"))
DIVERGENCE = Source("analysis", "divergence", ("attention",))
COMPONENTS = Source("analysis", "components", ("attention",), always=False)
PAST = Listed("analysis.multiples, past 1", lambda arm, _: [m for m in arm.analysis.multiples if m > 1])


def _index(table: DataFrame, subject: str, query: int) -> Series:
    """Return the U-shape index without the first token by document."""
    rows = table[(table["subject"] == subject) & (table["query"] == query)]
    return rows.groupby("document")["index_without_sink"].mean()


@measure("U-shape index", source=USHAPE, scale="densities")
def index_trained(table: DataFrame, length: int) -> Series:
    """U-shape index without the first token, of the trained model at query L - 1."""
    return _index(table, "trained", length - 1)


@measure("U-shape index before training", source=USHAPE, scale="densities", compared=False)
def index_initial(table: DataFrame, length: int) -> Series:
    """U-shape index without the first token, of the model at initialisation at query L - 1."""
    return _index(table, "initial", length - 1)


@measure("U-shape index on shuffled tokens", source=USHAPE, scale="densities", compared=False)
def index_shuffled(table: DataFrame, length: int) -> Series:
    """U-shape index without the first token, of the trained model on tokens in random order at query L - 1."""
    return _index(table, "shuffled", length - 1)


@measure(
    "attention moved at {multiple}",
    source=DIVERGENCE,
    scale="share of attention",
    better="lower",
    takes={"multiple": PAST},
)
def divergence(table: DataFrame, length: int, multiple: float) -> Series:
    """Share of the attention of the query at that multiple of L that lies elsewhere than that of query L - 1."""
    return table[table["query"] == round(multiple * length) - 1].groupby("document")["divergence"].mean()


@measure(
    "spread of {components} components",
    source=COMPONENTS,
    scale="logits",
    unit="model",
    takes={"components": ("slow", "fast")},
    compared=False,
)
def spread(table: DataFrame, length: int, components: str) -> Series:
    """Spread of a component's mean logit contribution over the distances within L, mean over these components.

    The spread is the standard deviation. Slow components turn less than once within L, fast ones once or more;
    components that do not turn are neither.
    """
    import numpy as np
    import pandas as pd

    table = table[(table["distance"] < length) & (table["frequency"] > 0)]
    widths = table["distance_end"] - table["distance"] if "distance_end" in table else 1.0
    slow = table["frequency"] < 2 * np.pi / length
    cells = table.assign(width=widths)[slow if components == "slow" else ~slow].groupby(["layer", "head", "component"])
    of_each = [np.sqrt(np.cov(cell["contribution"], aweights=cell["width"], ddof=0)) for _, cell in cells]
    return pd.Series({0: float(np.mean(of_each))} if of_each else {}, dtype=np.float64)
