"""The attention analysis during training: when the U-shape appears, and when components become activated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope import config
from hope.analysis.activation import activated_components
from hope.analysis.attention import WINDOW_SEED
from hope.analysis.columns import Axes, Columns, long_columns, stacked
from hope.analysis.components import Components
from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.data.windows import analysis_length, evaluation_windows
from hope.encodings.rotary import Rotary
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import initial_model, load_snapshot, open_model_with_data, read_description
from hope.model.loss import losses_of_rows
from hope.tables import write_table

ALL = -1
"""Layer, component or document of a value over all of them."""
INDICES = ("index", "index_without_sink")


def write_dynamics(settings: config.DynamicsStage, model: Path, data: Path, output: Path) -> None:
    """Write ``dynamics.parquet``: measures of a model at its initialisation, at its snapshots and at its end.

    The measures are those of :func:`hope.analysis.attention.analyze` at the last queries within L, on the same
    windows: the U-shape index with and without the first token, per layer, mean over heads; for a rotary encoding the
    spread of each component and whether it counts as activated; and the loss within L.

    Args:
        settings: of the analysis, and the moments.
        model: folder of the trained model, with its snapshots.
        data: folder that holds ``validation/``.
        output: folder of the table.

    Raises:
        UserError: model, snapshots and data are missing, damaged or do not belong together, too few held-out
            documents are long enough, or the encoding ends before L.
    """
    asked = settings.analysis
    trained, corpus = open_model_with_data(model, data, asked.threads)
    length, encoding = trained.training_length, trained.encoding
    reach = min((limit for limit in (encoding.longest, encoding.span) if limit is not None), default=length)
    if reach < length:
        raise UserError(f"{model}: its attention can be looked at over {reach} tokens, and L is {length}")
    windows = config.Windows.model_validate(read_description(model)["windows"])
    cut, documents = evaluation_windows(
        corpus, asked.documents, 1, analysis_length(asked, length), windows, seed=WINDOW_SEED
    )
    tokens = torch.from_numpy(cut)[:, : length + 1]
    parts = []
    for step, snapshot in _moments(settings, model, trained):
        parts += moment_columns(snapshot, tokens, documents, asked, step, step * settings.batch_tokens)
    write_table(output / "dynamics.parquet", stacked(parts))


def _moments(settings: config.DynamicsStage, folder: Path, trained: Decoder) -> Iterator[tuple[int, Decoder]]:
    """Yield each moment's step, rising, and the model then; a model yielded earlier may change."""
    yield 0, initial_model(folder)
    whole = {name: weight.clone() for name, weight in trained.state_dict().items()}
    for step in settings.snapshots:
        yield step, load_snapshot(trained, folder, step)
    trained.load_state_dict(whole)
    yield settings.steps, trained


def moment_columns(
    model: Decoder, tokens: Tensor, documents: NDArray[np.int64], asked: config.Analysis, step: int, seen: int
) -> list[Columns]:
    """Return the rows of one moment.

    Args:
        model: the model at that moment.
        tokens: int64 ``[documents, L + 1]``.
        documents: their numbers.
        asked: settings of the analysis.
        step: optimiser steps done.
        seen: training tokens seen.
    """
    length, encoding = model.training_length, model.encoding
    scope = Scope(model.shape.layers, model.shape.heads, [length], asked.queries, len(tokens))
    ushape = UShape(scope)
    components = None
    if isinstance(encoding, Rotary):
        components = Components(scope, encoding.frequencies.cpu().numpy(), length, len(tokens) // 2)
    observe_attention(model, tokens, scope, [ushape] if components is None else [ushape, components])

    def rows(measure: str, values: NDArray[np.float64], layer: Sequence[int], component: Sequence[int]) -> Columns:
        """Return the rows of one measure; values ``[layers, components, documents or 1]``."""
        axes: Axes = {
            "step": [step],
            "tokens": [seen],
            "measure": [measure],
            "layer": layer,
            "component": component,
            "document": documents if values.shape[-1] == len(documents) else [ALL],
        }
        return long_columns(axes, {"value": values})

    layers = range(scope.layers)
    columns = [rows("loss", losses_within(model, tokens)[None, None], [ALL], [ALL])]
    for name in INDICES:
        # There is one end; the mean is over heads.
        columns.append(rows(name, ushape.measures()[name][0].mean(axis=1)[:, None], layers, [ALL]))
    if components is not None:
        numbers = range(len(components.frequencies))
        chosen, _ = activated_components(components.spread(), components.frequencies, asked.active_share)
        spreads = np.vstack([components.spread(), components.head_spreads().mean(axis=1)])
        columns.append(rows("spread", spreads[..., None], range(ALL, scope.layers), numbers))
        columns.append(rows("activated", np.isin(numbers, chosen).astype(np.float64)[None, :, None], [ALL], numbers))
    return columns


def losses_within(model: Decoder, tokens: Tensor) -> NDArray[np.float64]:
    """Return the mean loss of each document within L, in nats per token, ``[documents]``."""
    return losses_of_rows(model, tokens, "loss at a moment of training").double().mean(dim=1).numpy()
