"""Interventions on a trained model's frequency components: their effect on the U-shape and the loss."""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.component_sets import COMPONENT_SETS, DRAWS, ComponentSet
from hope.analysis.intervened_model import MODES, REACH, Mode, intervened, mean_contributions
from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.model.bounded_passes import leave_out
from hope.model.kept import Arrays, Kept
from hope.model.language_model import LanguageModel
from hope.tables import write_table

MOST_RUNS = 1 + len(MODES) * (len(COMPONENT_SETS) - 2 + 2 * DRAWS)
"""Most runs over the tested documents: one of the unchanged model, and one per set and mode."""
INTERVENTION_COLUMNS = ("document", "mode", "set", "components", "variance_share", "measure", "value")


def intervene(
    model: LanguageModel,
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
        the same from L to 2 L - 1, left out where the windows end before.
    """
    length = model.training_length
    scope = Scope(model.shape.layers, model.shape.heads, [length], queries, len(tokens))
    ushape = UShape(scope)
    tokens = tokens[:, : REACH * length + 1]
    with intervened(model, chosen, mode, means) if chosen else nullcontext():
        losses = observe_attention(model, tokens, scope, [ushape], losses=True)
    assert losses is not None
    return measures_of(ushape.measures()["index_without_sink"][0], losses, length)


def measures_of(index: NDArray[np.float64], losses: Tensor, length: int) -> dict[str, NDArray[np.float64]]:
    """Return the measures of :func:`intervene`.

    Args:
        index: the U-shape index without the first token, at the last queries within L, ``[layers, heads, documents]``.
        losses: in nats, ``[documents, tokens]``.
        length: the training length L.
    """
    values = losses[:, : REACH * length].double().numpy()
    measures = {"index_without_sink": index.mean(axis=(0, 1)), "loss_within": values[:, :length].mean(axis=1)}
    if values.shape[1] == REACH * length:
        measures["loss_past"] = values[:, length:].mean(axis=1)
    return measures


def runs_of(kept: Kept) -> int:
    """Return the most runs over the tested documents that are still to do, of the changed models."""
    return MOST_RUNS - 1 - sum(kept.has(_name(number)) for number in range(MOST_RUNS))


def _name(number: int) -> str:
    return f"intervention-{number:02d}"


def write_intervention(
    path: Path,
    model: LanguageModel,
    chosen_from: Tensor,
    tokens: Tensor,
    documents: NDArray[np.int64],
    queries: int,
    groups: Sequence[ComponentSet],
    unchanged: dict[str, NDArray[np.float64]] | None = None,
    kept: Kept | None = None,
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
        unchanged: the measures of the unchanged model; None to measure them.
        kept: keeps the result of every run.
    """
    kept = kept or Kept()
    columns: dict[str, list] = {name: [] for name in INTERVENTION_COLUMNS}

    def add(mode: str, group: ComponentSet, runs: list[Arrays]) -> None:
        for measure in runs[0]:
            labels = mode, group.name, group.labels(), group.variance_share, measure
            for name, label in zip(INTERVENTION_COLUMNS[1:-1], labels, strict=True):
                columns[name] += [label] * len(documents)
            columns["document"] += documents.tolist()
            columns["value"] += np.mean([run[measure] for run in runs], axis=0).tolist()

    add("none", ComponentSet("none", [[]]), [unchanged or intervene(model, tokens, queries)])
    sets = [chosen for group in groups for chosen in group.sets]

    def contributions() -> Arrays:
        return {"means": mean_contributions(model, chosen_from[:, :-1], sets).cpu().numpy()}

    means = iter(torch.from_numpy(kept.get("means", contributions)["means"]).to(model.device))
    numbers = itertools.count()
    fewer = MOST_RUNS - 1 - len(MODES) * len(sets)
    leave_out(fewer * len(tokens) * min(tokens.shape[1] - 1, REACH * model.training_length))
    for group in groups:
        for mode in MODES:
            runs = []
            for chosen in group.sets:
                mean = next(means) if mode == "mean" else None
                run = partial(intervene, model, tokens, queries, chosen, mode, mean)
                runs.append(kept.get(_name(next(numbers)), run))
            add(mode, group, runs)
    # The type is given because an empty list does not show it.
    texts = pyarrow.array(columns["components"], pyarrow.list_(pyarrow.string()))
    write_table(path, {**columns, "components": texts})
