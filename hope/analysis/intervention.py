"""What becomes of a trained model when frequency components are changed: what makes the U-shape, and what limits."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.component_sets import COMPONENT_SETS, DRAWS, ComponentSet
from hope.analysis.intervened_model import MODES, REACH, Mode, intervened, mean_contributions
from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.model.decoder import Decoder
from hope.model.loss import losses_of_rows
from hope.tables import write_table

MOST_RUNS = 1 + len(MODES) * (len(COMPONENT_SETS) - 2 + 2 * DRAWS)
"""Runs over the tested documents at most: of the model as it is, and of every set in every mode."""
INTERVENTION_COLUMNS = ("document", "mode", "set", "components", "variance_share", "measure", "value")


def intervene(
    model: Decoder,
    tokens: Tensor,
    queries: int,
    chosen: Sequence[int] = (),
    mode: Mode = "freeze",
    means: Tensor | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return measures of the model while some components are changed.

    Args:
        model: a model with a rotary encoding, of training length L.
        tokens: int64 ``[documents, tokens + 1]``, at least L tokens and one to tell.
        queries: neighbouring queries of the U-shape index.
        chosen: indices of the components; none for the model as it is.
        mode: what becomes of them (:mod:`hope.analysis.intervened_model`).
        means: for ``mean``, what takes their place (:func:`hope.analysis.intervened_model.mean_contributions`).

    Returns:
        By name, one number a document: ``index_without_sink``, the U-shape index at the last queries
        within L, mean over layers and heads; ``loss_within``, the mean loss in nats a token at
        positions 0 to L - 1; ``loss_past``, the same at L to 2 L - 1 or as far as the tokens reach,
        left out where they do not reach past L.
    """
    length = model.training_length
    scope = Scope(model.shape.layers, model.shape.heads, [length], queries, len(tokens))
    ushape = UShape(scope)
    tokens = tokens[:, : REACH * length + 1]
    with intervened(model, chosen, mode, means) if chosen else nullcontext():
        observe_attention(model, tokens, scope, [ushape])
        losses = losses_of_rows(model, tokens, "loss with components changed").double().numpy()
    measures = {
        "index_without_sink": ushape.measures()["index_without_sink"].mean(axis=(0, 1, 2)),
        "loss_within": losses[:, :length].mean(axis=1),
    }
    if losses.shape[1] > length:
        measures["loss_past"] = losses[:, length:].mean(axis=1)
    return measures


def write_intervention(
    path: Path,
    model: Decoder,
    chosen_from: Tensor,
    tokens: Tensor,
    documents: NDArray[np.int64],
    queries: int,
    groups: Sequence[ComponentSet],
) -> None:
    """Write ``intervention.parquet``: one row a mode, set, measure and document.

    The model as it is comes first, with ``none`` for mode and set.

    Args:
        path: the file.
        model: a model with a rotary encoding.
        chosen_from: int64 ``[documents, tokens + 1]``: the documents on which the sets were chosen; the mean
            contributions are theirs too.
        tokens: the same, of documents that had no say in either.
        documents: numbers of the latter.
        queries: neighbouring queries of the U-shape index.
        groups: what is changed (:func:`hope.analysis.component_sets.component_sets`).
    """
    columns: dict[str, list] = {name: [] for name in INTERVENTION_COLUMNS}

    def add(mode: str, group: ComponentSet, runs: list[dict[str, NDArray[np.float64]]]) -> None:
        for measure in runs[0]:
            labels = mode, group.name, group.labels(), group.variance_share, measure
            for name, label in zip(INTERVENTION_COLUMNS[1:-1], labels, strict=True):
                columns[name] += [label] * len(documents)
            columns["document"] += documents.tolist()
            columns["value"] += np.mean([run[measure] for run in runs], axis=0).tolist()

    add("none", ComponentSet("none", [[]]), [intervene(model, tokens, queries)])
    means = iter(mean_contributions(model, chosen_from[:, :-1], [chosen for group in groups for chosen in group.sets]))
    for group in groups:
        for mode in MODES:
            given = [next(means) if mode == "mean" else None for _ in group.sets]
            runs = [
                intervene(model, tokens, queries, chosen, mode, mean)
                for chosen, mean in zip(group.sets, given, strict=True)
            ]
            add(mode, group, runs)
    # A list without items does not show its type.
    texts = pyarrow.array(columns["components"], pyarrow.list_(pyarrow.string()))
    write_table(path, {**columns, "components": texts})
