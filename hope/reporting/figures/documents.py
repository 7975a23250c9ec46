"""The figure of a corpus: how long its documents are, and what the held-out ones share with the training text."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from hope.files import read_json
from hope.reporting.documents import SIDES
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import length_axis, new_figure
from hope.reporting.study_tables import ArmTables

COLORS = {"train": "#0072B2", "validation": "#D55E00"}
NAMES = {"train": "training", "validation": "held out"}


@figure(
    title="Documents of the corpus",
    look=(
        "Left: a window within one document needs a document of its length, so the windows of several L come from the "
        "right end; L is dashed where it is in view. Right: a phrase is about ten words; held-out documents on the "
        "right repeat passages of the training text, such as quotations and licences."
    ),
    alt="Share of the tokens by length of the document, and held-out documents by their share of known phrases.",
    needs=("data/documents.parquet",),
)
def documents(tables: ArmTables) -> Drawing | None:
    """Draw the share of each side's tokens by length of the document, and the overlap of held-out documents.

    Data, one row per bar: ``panel`` (length or overlap), ``side`` (train or validation), ``start`` and ``end`` (of the
    bar: length in L, or share of the phrases that the training side has too), ``documents``, and ``share`` (of the
    side's tokens; for the overlap, of the held-out documents).
    """
    data = pd.concat([_lengths(tables), _overlap(tables)], ignore_index=True)
    figure, ((left, right),) = new_figure(9.4, 3.4, 1, 2, width_ratios=[3, 2])
    lengths = data[data["panel"] == "length"]
    for side in SIDES:
        own = lengths[lengths["side"] == side]
        edges = [*own["start"], own["end"].iloc[-1]]
        # Filled, so that it is seen where both sides are alike.
        look: dict[str, Any] = {"fill": True, "alpha": 0.35} if side == "train" else {"linewidth": 1.7}
        left.stairs(100 * own["share"], edges, color=COLORS[side], label=NAMES[side], **look)
    length_axis(left, [lengths["start"].min(), lengths["end"].max()], "tokens of a document, in training lengths L", 2)
    left.set_ylabel("tokens of the side (%)")
    left.set_ylim(bottom=0)
    shared = data[data["panel"] == "overlap"]
    names = [f"≤ {100 * end:.0f}%" if end else "none" for end in shared["end"]]
    right.bar(names, shared["documents"], color=COLORS["validation"], width=0.7)
    right.grid(axis="x", visible=False)
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_ylabel("held-out documents")
    right.set_xlabel("share of phrases also in the training text")
    add_legend(figure)
    return Drawing(figure, data)


def _lengths(tables: ArmTables) -> pd.DataFrame:
    """Return documents and share of the tokens of each side, in bins of half an octave of length."""
    frame = tables.documents
    octaves = np.log2(frame["tokens"] / tables.length)
    edges = np.arange(np.floor(2 * octaves.min()), np.floor(2 * octaves.max()) + 2) / 2
    parts = []
    for side in SIDES:
        own = frame["split"] == side
        counts, _ = np.histogram(octaves[own], edges)
        tokens, _ = np.histogram(octaves[own], edges, weights=frame["tokens"][own])
        columns = {"start": 2 ** edges[:-1], "end": 2 ** edges[1:], "documents": counts}
        parts.append(pd.DataFrame(columns | {"share": tokens / max(1, tokens.sum())}).assign(panel="length", side=side))
    return pd.concat(parts)[["panel", "side", "start", "end", "documents", "share"]]


def _overlap(tables: ArmTables) -> pd.DataFrame:
    """Return the held-out documents by the share of their phrases that the training side has too."""
    description = read_json(tables.paths.corpus(tables.arm.data_key) / "corpus.json")
    counts = {float(end): count for end, count in description["overlap"]["documents_up_to"].items()}
    ends = sorted(counts)
    rows = [
        {"panel": "overlap", "side": "validation", "start": start, "end": end, "documents": counts[end]}
        for start, end in zip([0.0, *ends], ends, strict=False)
    ]
    return pd.DataFrame(rows).assign(share=lambda frame: frame["documents"] / max(1, frame["documents"].sum()))
