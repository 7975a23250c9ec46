"""Freeze frequency components of a trained model, to see what makes the U-shape and what limits."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.encodings.rotary import Rotary
from hope.model.decoder import Decoder
from hope.model.inputs import batches
from hope.model.loss import token_losses
from hope.seeding import generator
from hope.tables import write_table

RANDOM_SETS = 8
"""Random sets of components whose effects are averaged."""


@dataclass(frozen=True)
class Frozen:
    """Sets of components that are frozen one at a time, and whose effects are averaged."""

    name: str
    sets: list[list[int]]

    def labels(self) -> list[str]:
        """Return what the table says of the sets: the components of a single set, else ``1+4+6`` a set."""
        if len(self.sets) == 1:
            return [str(component) for component in self.sets[0]]
        return ["+".join(map(str, chosen)) for chosen in self.sets]


def frozen_sets(activated: list[int], others: list[int]) -> list[Frozen]:
    """Return what is frozen: nothing, the activated components, and as many others at random.

    The random sets are distinct, and do not depend on the model beyond the components that it has.
    """
    possible = math.comb(len(others), len(activated))
    draw = generator("analysis", "frozen components", *activated, "others", *others)
    sets: list[list[int]] = []
    while len(sets) < min(RANDOM_SETS, possible):
        chosen = sorted(draw.choice(others, len(activated), replace=False).tolist())
        if chosen not in sets:
            sets.append(chosen)
    return [Frozen("none", [[]]), Frozen("activated", [activated]), Frozen("random", sorted(sets))]


def intervene(model: Decoder, tokens: Tensor, queries: int, frozen: list[int]) -> dict[str, NDArray[np.float64]]:
    """Return measures of the model while some components stand still (angle 0 at every position).

    Args:
        model: a model with a rotary encoding, of training length L.
        tokens: int64 ``[documents, tokens + 1]``, at least L tokens and one to tell.
        queries: neighbouring queries of the U-shape index.
        frozen: indices of the components.

    Returns:
        By name, one number a document: ``index_without_sink``, the U-shape index at the last queries
        within L, mean over layers and heads; ``loss_within``, the mean loss in nats a token at
        positions 0 to L - 1; ``loss_past``, the same at L to 2 L - 1 or as far as the tokens reach,
        left out where they do not reach past L.
    """
    length, encoding = model.training_length, model.encoding
    assert isinstance(encoding, Rotary)
    frequencies = encoding.frequencies.clone()
    frequencies[frozen] = 0.0
    scope = Scope(model.shape.layers, model.shape.heads, [length], queries, len(tokens))
    ushape = UShape(scope)
    device = next(model.parameters()).device
    tokens = tokens[:, : 2 * length + 1]
    with encoding.replaced(frequencies):
        observe_attention(model, tokens, scope, [ushape])
        losses = torch.cat(
            [
                token_losses(model, tokens[rows].to(device)).double().cpu()
                for rows in batches(len(tokens), tokens.shape[1], device, "loss with components frozen")
            ]
        ).numpy()
    measures = {
        "index_without_sink": ushape.measures()["index_without_sink"].mean(axis=(0, 1, 2)),
        "loss_within": losses[:, :length].mean(axis=1),
    }
    if losses.shape[1] > length:
        measures["loss_past"] = losses[:, length:].mean(axis=1)
    return measures


def write_intervention(
    path: Path, model: Decoder, tokens: Tensor, documents: NDArray[np.int64], queries: int, frozen: list[Frozen]
) -> None:
    """Write ``intervention.parquet``: one row a document, set and measure.

    Args:
        path: the file.
        model: a model with a rotary encoding.
        tokens: int64 ``[documents, tokens + 1]``: documents that had no say in what is activated.
        documents: the documents' numbers.
        queries: neighbouring queries of the U-shape index.
        frozen: what is frozen; nothing for a table without rows.
    """
    columns: dict[str, list] = {name: [] for name in ("document", "set", "components", "measure", "value")}
    for group in frozen:
        runs = [intervene(model, tokens, queries, chosen) for chosen in group.sets]
        for measure in runs[0]:
            columns["document"] += documents.tolist()
            columns["set"] += [group.name] * len(documents)
            columns["components"] += [group.labels()] * len(documents)
            columns["measure"] += [measure] * len(documents)
            columns["value"] += np.mean([run[measure] for run in runs], axis=0).tolist()
    # A table without rows, or a list without items, does not show its type.
    text, number = pyarrow.string(), pyarrow.float64()
    types = dict(zip(columns, (pyarrow.int64(), text, pyarrow.list_(text), text, number), strict=True))
    write_table(path, {name: pyarrow.array(column, types[name]) for name, column in columns.items()})
