"""Interventions on a trained model's frequency components: their effect on the U-shape and the loss."""

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
"""Most runs over the tested documents: one of the unchanged model, and one per set and mode."""
INTERVENTION_COLUMNS = ("document", "mode", "set", "components", "variance_share", "measure", "value")


def intervene(
    model: Decoder,
    tokens: Tensor,
    queries: int,
    chosen: Sequence[int] = (),
    mode: Mode = "freeze",
    means: Tensor | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return measures of a model with some components changed.

    Args:
        model: a model with a rotary encoding, of training length L.
        tokens: int64 ``[documents, tokens + 1]``, at least L tokens and one to predict.
        queries: neighbouring queries of the U-shape index.
        chosen: indices of the components; none for the unchanged model.
        mode: the intervention (:mod:`hope.analysis.intervened_model`).
        means: for ``mean``, their replacement (:func:`hope.analysis.intervened_model.mean_contributions`).

    Returns:
        By name, one number per document: ``index_without_sink``, the U-shape index at the last queries within L, mean
        over layers and heads; ``loss_within``, the mean loss in nats per token at positions 0 to L - 1; ``loss_past``,
        the same from L to 2 L - 1 or to the last token, left out where no token lies past L.
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
    """Write ``intervention.parquet``: one row per mode, set, measure and document.

    The unchanged model comes first, with ``none`` for mode and set.

    Args:
        path: the file.
        model: a model with a rotary encoding.
        chosen_from: int64 ``[documents, tokens + 1]``: the documents on which the sets were chosen and the mean
            contributions are computed.
        tokens: the same of other documents, on which the model is tested.
        documents: numbers of the tested documents.
        queries: neighbouring queries of the U-shape index.
        groups: the sets to change (:func:`hope.analysis.component_sets.component_sets`).
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
    # The type is given because an empty list does not show it.
    texts = pyarrow.array(columns["components"], pyarrow.list_(pyarrow.string()))
    write_table(path, {**columns, "components": texts})
