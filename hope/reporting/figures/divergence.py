"""The figure of attention past L: its departure from attention within L, and the loss beside it."""

import pandas as pd

from hope.measures import length_name
from hope.measures.losses import loss_between
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing, band
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.lines import encoding_rows
from hope.reporting.figures.style import MUTED, new_figure
from hope.reporting.study_tables import ArmTables


@figure(
    title="Departure of attention past L",
    look=(
        "The share of attention, 0 to 1, that lies at other distances (by octaves) than within L. Lower is closer to "
        "training. Below, one mark per model: the rise of the loss in the octave up to that query, against the "
        "attention that moved."
    ),
    alt="Total variation between attention past and within the training length by layer, and against the loss past L.",
    needs=("analysis/divergence.parquet",),
)
def divergence(tables: ArmTables) -> Drawing | None:
    """Draw the departure of attention past L from attention within L: by layer, and against the loss past L.

    The loss is that of the octave of positions that ends at the query, minus the loss within L.

    Data, one row per layer: ``encoding``, ``query`` (its position), ``layer``, ``estimate``, ``low``, ``high``
    (total variation), ``seeds``, ``units``; then one row per model: ``encoding``, ``query``, ``seed``, ``divergence``
    (mean over layers), ``loss_rise`` (nats per token), ``seeds`` (1).
    """
    frame = tables.read("divergence")
    data = summarize(frame, ["encoding", "query", "layer"], "divergence", "document", tables.confidence)
    queries, layers = sorted(set(data["query"])), sorted(set(data["layer"]))
    models = frame.groupby(["encoding", "query", "seed"])["divergence"].mean().reset_index()
    models = models.merge(pd.concat(_rise(tables, query) for query in queries), how="left")
    # The analysis of a single checkpoint has no loss past L.
    parts = 1 + bool(models["loss_rise"].notna().any())
    size = max(4.6, 3.4 * len(queries) + 0.8), 3.1 * parts
    figure, grid = new_figure(*size, parts, len(queries), sharey="row", height_ratios=[1.0, 1.1][:parts])
    above, below = grid[0], grid[1] if parts > 1 else []
    for axes, query in zip(above, queries, strict=True):
        for encoding, rows in encoding_rows(tables, data[data["query"] == query], "layer"):
            label = tables.label(encoding, int(rows["seeds"].max()))
            band(axes, rows["layer"], rows, tables.styles[encoding], label)
        axes.set_title(f"query at {length_name((query + 1) / tables.length)}")
        axes.set_xticks(layers, [str(layer + 1) for layer in layers])
        axes.set_xlabel("layer")
    for axes, query in zip(below, queries, strict=False):
        for encoding, rows in encoding_rows(tables, models[models["query"] == query], "seed"):
            look = tables.styles[encoding].line(linestyle="none", markersize=6.5)
            axes.plot(rows["divergence"], rows["loss_rise"], **look)
        axes.axhline(0.0, color=MUTED, linewidth=1.0)
        axes.set_xlabel("attention that moved, mean over layers")
    above[0].set_ylim(0.0, 1.0 if data["estimate"].max() > 0.5 else None)
    above[0].set_ylabel("attention that moved\n(total variation, 0 to 1)")
    if below:
        below[0].set_ylabel("loss past L minus\nloss within (nats/token)")
    add_legend(figure)
    return Drawing(figure, pd.concat([data, models.assign(seeds=1)], ignore_index=True))


def _rise(tables: ArmTables, query: int) -> pd.DataFrame:
    """Return the loss of the octave of positions up to ``query`` minus that within L, by encoding and seed."""
    frame, length, end = tables.read("extrapolation"), tables.length, query + 1
    if frame.empty:
        return pd.DataFrame({"encoding": [], "seed": [], "loss_rise": [], "query": []})

    past, within = (
        loss_between(frame, low, high, ["encoding", "seed"]) for low, high in ((max(length, end / 2), end), (0, length))
    )
    rise = past - within
    return rise.rename("loss_rise").reset_index().assign(query=query)
