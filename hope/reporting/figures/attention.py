"""Figures of attention: its density over the context, and the U-shape of each head."""

import numpy as np
import pandas as pd

from hope.measures import length_name
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend, broken
from hope.reporting.figures.lines import encoding_rows, panel_grid
from hope.reporting.figures.style import MUTED, length_axis, new_figure, plain_log
from hope.reporting.study_tables import ArmTables

KEY_BINS = 40
_WIDEST, _LABELS = 9.2, 12
"""Width of a figure in inches, and most labels on the axis of layers; with more layers, a line joins their means."""
DISTANCES_PER_OCTAVE = 3


@figure(
    title="Where attention goes",
    look=(
        "A U-shape rises at both ends of the upper panels; long-term decay alone would rise at the right end only. "
        "The first key has a bin of its own: a spike there is the attention sink. Means over layers and heads; bands "
        "span the seeds."
    ),
    alt="Attention density over key position and over distance, at initialisation and trained, one line per encoding.",
    needs=("analysis/profile.parquet",),
)
def attention_profile(tables: ArmTables) -> Drawing | None:
    """Draw the mean attention density over key position and over distance, before and after training.

    The density of a bin is its attention mass divided by the mass that uniform attention has there. Densities are
    means over layers, heads and seeds; the band spans the seeds.

    Data, one row per bin: ``subject`` (initial, trained or shuffled), ``query`` (its position), ``axis`` (key or
    distance), ``encoding``, ``start`` and ``end`` (of the bin, in tokens), ``x`` (its middle, in units of ``x_unit``),
    ``density``, ``lowest`` and ``highest`` (of a seed), ``seeds``, ``x_unit``.
    """
    frame = tables.read("profile")
    data = densities(frame, tables.length, tables.arm.analysis.queries)
    data["query_in_lengths"] = (data["query"] + 1) / tables.length
    queries = sorted(set(data["query"]))
    at_length = min(queries, key=lambda query: abs(query + 1 - tables.length))
    shown = [("initial", at_length), ("trained", at_length)]
    if queries[-1] > at_length:
        shown.append(("trained", queries[-1]))
    shown = [pair for pair in shown if ((data["subject"] == pair[0]) & (data["query"] == pair[1])).any()]
    figure, rows = new_figure(9.0, 5.4, 2, len(shown), sharey=True, sharex="row")
    distances = data.loc[(data["axis"] == "distance") & data["query"].isin([query for _, query in shown]), "x"]
    for line, axis in zip(rows, ("key", "distance"), strict=True):
        for axes, (subject, query) in zip(line, shown, strict=True):
            chosen = data[(data["axis"] == axis) & (data["subject"] == subject) & (data["query"] == query)]
            for encoding, own in encoding_rows(tables, chosen, "x"):
                style = tables.styles[encoding]
                marks = {"markevery": max(1, len(own) // 7), "label": tables.label(encoding), "zorder": 3}
                axes.plot(own["x"], own["density"], **style.line(linewidth=1.4, markersize=4.0, **marks))
                axes.fill_between(own["x"], own["lowest"], own["highest"], color=style.color, alpha=0.14, linewidth=0)
            axes.axhline(1.0, color=MUTED, linewidth=1.0)
            plain_log(axes)
            if axis == "key":
                words = "at initialisation" if subject == "initial" else "trained"
                axes.set_title(f"{words}, query at {length_name((query + 1) / tables.length)}")
                axes.set_xlabel("key position, from first (0) to query (1)")
                axes.set_xlim(-0.02, 1.02)
            else:
                length_axis(axes, distances, "distance + 1, in L", every=2)
        line[0].set_ylabel("attention density\n(1 = uniform)")
    add_legend(figure)
    columns = ["subject", "query", "axis", "encoding", "start", "end", "x", "density", "lowest", "highest", "seeds"]
    data["x_unit"] = np.where(data["axis"] == "key", "share of the context", "(distance + 1) / L")
    return Drawing(figure, data[[*columns, "x_unit"]])


def densities(frame: pd.DataFrame, length: int, queries: int) -> pd.DataFrame:
    """Return densities in wider bins: the mean over layers and heads, then the mean and range over seeds.

    A density is the mass of a bin divided by the mass that uniform attention of the same queries has there. The first
    key keeps a bin of its own, because it often draws mass whatever its token.

    Args:
        frame: rows of ``profile.parquet`` of all models.
        length: the training length L.
        queries: number of neighbouring queries that the masses of the table are averaged over.
    """
    keys = frame["query"] + 1
    key_group = np.where(frame["start"] == 0, 0, 1 + (frame["start"] * KEY_BINS // keys))
    distance_group = np.floor(np.log2(frame["start"] + 1) * DISTANCES_PER_OCTAVE + 1e-9)
    frame = frame.assign(group=np.where(frame["axis"] == "key", key_group, distance_group).astype(int))
    for query in frame["query"].unique():
        own = frame["query"] == query
        total = np.concatenate([[0.0], np.cumsum(_uniform_mass(query + 1, queries))])
        frame.loc[own, "uniform"] = total[frame.loc[own, "end"]] - total[frame.loc[own, "start"]]
    run = ["subject", "query", "axis", "encoding", "seed"]
    # Over layers and heads first, then over the bins of a group.
    fine = frame.groupby([*run, "group", "start", "end"])[["mass", "uniform"]].mean().reset_index()
    sums = {"start": ("start", "min"), "end": ("end", "max"), "mass": ("mass", "sum"), "uniform": ("uniform", "sum")}
    bins = fine.groupby([*run, "group"]).agg(**sums).reset_index()
    bins["value"] = bins["mass"] / bins["uniform"]
    middle = (bins["start"] + bins["end"] - 1) / 2
    geometric = np.sqrt((bins["start"] + 1.0) * bins["end"]) / length
    bins["x"] = np.where(bins["axis"] == "key", middle / bins["query"].clip(lower=1), geometric)
    cell = ["subject", "query", "axis", "encoding", "start", "end", "x"]
    density = bins.groupby(cell)["value"].agg(density="mean", lowest="min", highest="max", seeds="count")
    return density.reset_index()


def _uniform_mass(keys: int, queries: int) -> np.ndarray:
    """Return the mean mass at each key position, or distance, of ``queries`` uniform last queries, ``[keys]``.

    The last query has ``keys`` keys and each earlier query one less; a query with n keys has positions and distances
    below n.
    """
    counts = np.arange(keys, max(0, keys - queries), -1)
    return (np.arange(keys)[:, None] < counts).astype(float) @ (1 / counts) / len(counts)


@figure(
    title="The U-shape, head by head",
    look=(
        "One mark per head: the U-shape index without the first token, 0 for uniform attention, below 0 for decay "
        "alone, above 0 for a U. Heads differ; the claim is about their mean, which must exceed that of the models "
        "before training and that on the same tokens in random order."
    ),
    alt="U-shape index of every head by layer, trained, untrained and on shuffled tokens, one panel per encoding.",
    needs=("analysis/ushape.parquet",),
)
def ushape_heads(tables: ArmTables) -> Drawing | None:
    """Draw the U-shape index without the first token of every head: trained, at initialisation, on shuffled tokens.

    Data, one row per head: ``encoding``, ``subject`` (trained, initial or shuffled), ``seed``, ``layer``, ``head``,
    ``index`` (mean over documents).
    """
    frame = tables.read("ushape")
    at_length = min(set(frame["query"]), key=lambda query: abs(query + 1 - tables.length))
    frame = frame[frame["query"] == at_length]
    by = ["encoding", "subject", "seed", "layer", "head"]
    data = frame.groupby(by)["index_without_sink"].mean().rename("index").reset_index()
    present = [name for name in tables.encodings if name in set(data["encoding"])]
    layers = sorted(set(data["layer"]))
    wide, most = max(2.1, 0.26 * len(layers)), 5 if len(present) <= 5 else 4
    across = max(1, min(most, int(_WIDEST / wide)))
    figure, rows, panels = panel_grid(len(present), across, panel=(wide, 2.7), margin=(1.0, 0.4), sharey=True)
    figure.set_figwidth(min(_WIDEST, figure.get_figwidth()))
    every = -(-len(layers) // _LABELS)
    for axes, encoding in zip(panels, present, strict=True):
        style = tables.styles[encoding]
        for subject, shift, look in (
            ("initial", -0.26, {"facecolors": "none", "edgecolors": MUTED, "marker": "o", "s": 16}),
            ("shuffled", 0.0, {"facecolors": "none", "edgecolors": style.color, "marker": "^", "s": 16}),
            ("trained", 0.26, {"color": style.color, "marker": style.marker, "alpha": 0.75, "s": 16 * style.size**2}),
        ):
            own = data[(data["encoding"] == encoding) & (data["subject"] == subject)]
            spread = 0.12 * (own["head"] / max(1, own["head"].max()) - 0.5)
            axes.scatter(own["layer"] + shift + spread, own["index"], linewidths=0.7, **look)
        if every > 1:
            means = (
                data[(data["encoding"] == encoding) & (data["subject"] == "trained")].groupby("layer")["index"].mean()
            )
            axes.plot(means.index, means, color=style.color, linewidth=1.4, zorder=4)
        axes.axhline(0.0, color=MUTED, linewidth=1.0)
        axes.set_title(broken(tables.label(encoding), int(9 * wide)))
        axes.set_xticks(layers[::every], [str(layer + 1) for layer in layers[::every]])
        axes.set_xlabel("layer")
    for row in rows:
        row[0].set_ylabel("U-shape index of a head")
    rows[0][0].scatter([], [], s=16, facecolors="none", edgecolors=MUTED, linewidths=0.7, label="at initialisation")
    rows[0][0].scatter(
        [], [], s=16, marker="^", facecolors="none", edgecolors=MUTED, linewidths=0.7, label="on tokens in random order"
    )
    rows[0][0].scatter([], [], s=16, color=MUTED, label="trained")
    add_legend(figure)
    return Drawing(figure, data)
