"""Figures of where attention goes: profiles, the U-shape head by head, and how it departs past L."""

import numpy as np
import pandas as pd

from hope.measures import length_name
from hope.measures.losses import loss_between
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing, band
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import MUTED, length_axis, new_figure, plain_log
from hope.reporting.study_tables import StudyTables

KEY_BINS = 40
DISTANCES_PER_OCTAVE = 3


def attention_profile(tables: StudyTables) -> Drawing | None:
    """Draw the mean attention density over key position and over distance, before and after training.

    The density of a bin is its mass over its share of the keys: 1 everywhere if attention were uniform.
    The mean goes over layers, heads and seeds; the band spans the seeds.
    """
    frame = tables.read("profile")
    if frame.empty:
        return None
    data = densities(frame, tables.length, tables.study.analysis.queries)
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
            for encoding in tables.encodings:
                own = chosen[chosen["encoding"] == encoding].sort_values("x")
                if own.empty:
                    continue
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
    """Return densities in fewer bins, the mean over layers and heads, then mean and range over seeds.

    A density is the mass of a bin over the mass that uniform attention of the same queries has there. The
    first key keeps a bin of its own, for it often draws mass whatever it says.

    Args:
        frame: rows of ``profile.parquet`` of all models.
        length: the training length L.
        queries: neighbouring queries that the table's means go over.
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
    found = bins.groupby(cell)["value"].agg(density="mean", lowest="min", highest="max", seeds="count")
    return found.reset_index()


def _uniform_mass(keys: int, queries: int) -> np.ndarray:
    """Return the mean mass at each place if the last ``queries`` queries attend uniformly, ``[keys]``.

    The last query has ``keys`` keys and each before it one less; a place is a key position or a distance,
    and a query with n keys has the places below n.
    """
    counts = np.arange(keys, max(0, keys - queries), -1)
    return (np.arange(keys)[:, None] < counts).astype(float) @ (1 / counts) / len(counts)


def ushape_heads(tables: StudyTables) -> Drawing | None:
    """Draw the U-shape index without the first token of every head: trained, at initialisation, on shuffled tokens."""
    frame = tables.read("ushape")
    if frame.empty:
        return None
    at_length = min(set(frame["query"]), key=lambda query: abs(query + 1 - tables.length))
    frame = frame[frame["query"] == at_length]
    by = ["encoding", "subject", "seed", "layer", "head"]
    data = frame.groupby(by)["index_without_sink"].mean().rename("index").reset_index()
    present = [name for name in tables.encodings if name in set(data["encoding"])]
    columns = len(present) if len(present) <= 5 else 4
    lines = -(-len(present) // columns)
    figure, rows = new_figure(min(9.2, 2.1 * columns + 1.0), 2.7 * lines + 0.4, lines, columns, sharey=True)
    grid = [axes for row in rows for axes in row]
    layers = sorted(set(data["layer"]))
    for axes, encoding in zip(grid, present, strict=False):
        style = tables.styles[encoding]
        for subject, shift, look in (
            ("initial", -0.26, {"facecolors": "none", "edgecolors": MUTED, "marker": "o", "s": 16}),
            ("shuffled", 0.0, {"facecolors": "none", "edgecolors": style.color, "marker": "^", "s": 16}),
            ("trained", 0.26, {"color": style.color, "marker": style.marker, "alpha": 0.75, "s": 16 * style.size**2}),
        ):
            own = data[(data["encoding"] == encoding) & (data["subject"] == subject)]
            spread = 0.12 * (own["head"] / max(1, own["head"].max()) - 0.5)
            axes.scatter(own["layer"] + shift + spread, own["index"], linewidths=0.7, **look)
        axes.axhline(0.0, color=MUTED, linewidth=1.0)
        axes.set_title(tables.label(encoding))
        axes.set_xticks(layers, [str(layer + 1) for layer in layers])
        axes.set_xlabel("layer")
    for row in rows:
        row[0].set_ylabel("U-shape index of a head")
    rows[0][0].scatter([], [], s=16, facecolors="none", edgecolors=MUTED, linewidths=0.7, label="at initialisation")
    rows[0][0].scatter(
        [], [], s=16, marker="^", facecolors="none", edgecolors=MUTED, linewidths=0.7, label="on tokens in random order"
    )
    rows[0][0].scatter([], [], s=16, color=MUTED, label="trained")
    for axes in grid[len(present) :]:
        axes.set_visible(False)
    add_legend(figure)
    return Drawing(figure, data)


def divergence(tables: StudyTables) -> Drawing | None:
    """Draw how far attention past L departs from attention within L: by layer, and against the loss past L.

    The loss is that of the octave of positions that ends at the query, minus the loss within L; one mark a model.
    """
    frame = tables.read("divergence")
    if frame.empty:
        return None
    data = summarize(frame, ["encoding", "query", "layer"], "divergence", "document", tables.confidence)
    queries, layers = sorted(set(data["query"])), sorted(set(data["layer"]))
    models = frame.groupby(["encoding", "query", "seed"])["divergence"].mean().reset_index()
    models = models.merge(pd.concat(_rise(tables, query) for query in queries), how="left")
    # A single checkpoint is looked at without its loss past L.
    parts = 1 + bool(models["loss_rise"].notna().any())
    size = max(4.6, 3.4 * len(queries) + 0.8), 3.1 * parts
    figure, grid = new_figure(*size, parts, len(queries), sharey="row", height_ratios=[1.0, 1.1][:parts])
    above, below = grid[0], grid[1] if parts > 1 else []
    for axes, query in zip(above, queries, strict=True):
        for encoding in tables.encodings:
            rows = data[(data["encoding"] == encoding) & (data["query"] == query)].sort_values("layer")
            if not rows.empty:
                label = tables.label(encoding, int(rows["seeds"].max()))
                band(axes, rows["layer"], rows, tables.styles[encoding], label)
        axes.set_title(f"query at {length_name((query + 1) / tables.length)}")
        axes.set_xticks(layers, [str(layer + 1) for layer in layers])
        axes.set_xlabel("layer")
    for axes, query in zip(below, queries, strict=False):
        for encoding in tables.encodings:
            rows = models[(models["encoding"] == encoding) & (models["query"] == query)]
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


def _rise(tables: StudyTables, query: int) -> pd.DataFrame:
    """Return by encoding and seed the loss of the octave of positions up to ``query``, minus that within L."""
    frame, length, end = tables.read("extrapolation"), tables.length, query + 1
    if frame.empty:
        return pd.DataFrame({"encoding": [], "seed": [], "loss_rise": [], "query": []})

    past, within = (
        loss_between(frame, low, high, ["encoding", "seed"]) for low, high in ((max(length, end / 2), end), (0, length))
    )
    rise = past - within
    return rise.rename("loss_rise").reset_index().assign(query=query)
