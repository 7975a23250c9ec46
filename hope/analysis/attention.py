"""The attention analysis of one model: where its heads attend, and which components cause it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope import config
from hope.analysis.activation import activated_components, activation_columns
from hope.analysis.columns import stacked
from hope.analysis.component_sets import component_sets
from hope.analysis.components import Components
from hope.analysis.divergence import Divergence
from hope.analysis.intervened_model import REACH
from hope.analysis.intervention import measures_of, runs_of, write_intervention
from hope.analysis.profile import Profile
from hope.analysis.stream import Accumulator, Scope, observe_attention
from hope.analysis.trained_kernels import trained_kernel_columns
from hope.analysis.ushape import FEWEST_KEYS, UShape
from hope.data.windows import analysis_length, evaluation_windows
from hope.encodings.rotary import Rotary
from hope.errors import UserError
from hope.model.bounded_passes import whole_work
from hope.model.kept import Kept
from hope.model.language_model import LanguageModel
from hope.model.loading import initial_model, open_model_with_data, read_description
from hope.seeding import generator
from hope.tables import write_table

# The windows are the same for every encoding and every seed of training, so that measures pair on them.
WINDOW_SEED = 0
SUBJECTS = ("trained", "initial", "shuffled")


@dataclass(frozen=True)
class AnalyzedModel:
    """A model to analyse.

    Attributes:
        name: its folder, which errors name.
        trained: the model.
        initial: returns the model as it is before any training.
        remedy: what to do if its attention is not finite.
    """

    name: Path
    trained: LanguageModel
    initial: Callable[[], LanguageModel]
    remedy: str = "the training diverged: lower training.learning_rate and train again"


def analyze(settings: config.Analysis, model: Path, data: Path, output: Path) -> None:
    """Write the tables of one model's attention.

    ``profile.parquet`` (mean attention mass by distance and by key position), ``ushape.parquet`` (the
    U-shape index of each document, :class:`hope.analysis.ushape.UShape`) and ``divergence.parquet``
    (attention past L against attention within, :class:`hope.analysis.divergence.Divergence`); the first
    two also for two nulls: the model at its initialisation, and the trained model on the same windows with
    their tokens in random order. For a rotary encoding also ``components.parquet``
    (:class:`hope.analysis.components.Components`), ``activation.parquet``
    (:func:`hope.analysis.activation.activation_columns`), ``kernel_trained.parquet``
    (:func:`hope.analysis.trained_kernels.trained_kernel_columns`) and ``intervention.parquet``
    (:mod:`hope.analysis.intervention`), in which sets of components, chosen on the first half of the documents,
    are changed on the second half.

    An encoding with a last position (``longest``), or with a largest number of tokens that it can process together
    (``span``), is analysed up to there, on the first tokens of the same windows.

    Args:
        settings: of the analysis.
        model: folder of the trained model.
        data: folder that holds ``validation/``.
        output: folder of the tables.

    Raises:
        UserError: model and data are missing, damaged or do not belong together, too few held-out
            documents are long enough, a query position leaves too few keys, or the model's attention is
            not finite.
    """
    trained, corpus = open_model_with_data(model, data, settings.threads)
    query_ends(settings, trained.training_length)
    description = read_description(model)
    windows = config.Windows.model_validate(description["windows"])
    reach = analysis_length(settings, trained.training_length)
    cut, documents = evaluation_windows(corpus, settings.documents, 1, reach, windows, seed=WINDOW_SEED)
    subject = AnalyzedModel(model, trained, lambda: initial_model(model))
    if "imported" in description:
        subject = replace(subject, remedy="the checkpoint that it was imported from is damaged: import another copy")
    analyze_windows(settings, subject, cut, windows.start_token, documents, output)


def analyze_windows(
    settings: config.Analysis,
    subject: AnalyzedModel,
    cut: np.ndarray,
    start_token: bool,
    documents: np.ndarray,
    output: Path,
    kept: Kept | None = None,
) -> None:
    """Write the tables of :func:`analyze` for a loaded model and given windows.

    One line every few seconds reports the progress of the whole.

    Args:
        settings: of the analysis.
        subject: the model.
        cut: token ids ``[windows, tokens + 1]``, with as many tokens as the last query position needs.
        start_token: whether each begins with a start token.
        documents: the windows' numbers.
        output: folder of the tables.
        kept: keeps the result of every pass, and has those of an earlier call with the same arguments.

    Raises:
        UserError: as :func:`analyze`.
    """
    kept = kept or Kept()
    trained = subject.trained
    length, encoding = trained.training_length, trained.encoding
    ends = query_ends(settings, length)
    permuted = torch.from_numpy(shuffled(cut, start_token, ends))
    limits = [limit for limit in (encoding.longest, encoding.span) if limit is not None]
    ends = [end for end in ends if end <= min(limits, default=end)]
    if length not in ends:
        raise UserError(f"{subject.name}: its attention can be looked at over {min(limits)} tokens, and L is {length}")
    tokens = torch.from_numpy(cut)[:, : ends[-1] + 1]
    scope = Scope(trained.shape.layers, trained.shape.heads, ends, settings.queries, len(tokens))

    half = len(tokens) // 2
    divergence, components = Divergence(scope, length), _components(trained, scope, half)
    profiles = {subject: Profile(scope) for subject in SUBJECTS}
    ushapes = {subject: UShape(scope) for subject in profiles}
    added: dict[str, dict[str, Accumulator]] = {
        subject: {"profile": profiles[subject], "ushape": ushapes[subject]} for subject in SUBJECTS
    }
    added["trained"]["divergence"] = divergence
    if components is not None:
        added["trained"]["components"] = components
    # The windows' own cost is the unit, so that the time left is right.
    reach, windows = tokens.shape[1] - 1, len(tokens)
    changed = 0 if components is None else (runs_of(kept) * (windows - half) + half) * min(reach, REACH * length)
    passes = [name for name in SUBJECTS if not kept.has(name)]
    with whole_work("analysis", len(passes) * windows * ends[-1] + changed):
        losses = _pass(kept, "trained", lambda: trained, tokens, scope, added, components is not None)
        if not all(np.isfinite(profiles["trained"].mass(end, "key")).all() for end in ends):
            raise UserError(f"{subject.name}: the attention is not finite; {subject.remedy}")
        _pass(kept, "initial", subject.initial, tokens, scope, added)
        _pass(kept, "shuffled", lambda: trained, permuted[:, : tokens.shape[1]], scope, added)

        write_table(output / "profile.parquet", stacked([part.columns(name) for name, part in profiles.items()]))
        rows = [part.columns(name, documents) for name, part in ushapes.items()]
        write_table(output / "ushape.parquet", stacked(rows))
        write_table(output / "divergence.parquet", divergence.columns(documents))
        if components is not None:
            index = ushapes["trained"].measures()["index_without_sink"][ends.index(length), ..., half:]
            unchanged = measures_of(index, torch.from_numpy(losses)[half:], length)
            write_rotary(settings, trained, components, tokens, documents, unchanged, output, kept)


def _pass(
    kept: Kept,
    name: str,
    model: Callable[[], LanguageModel],
    tokens: Tensor,
    scope: Scope,
    added: Mapping[str, Mapping[str, Accumulator]],
    losses: bool = False,
) -> np.ndarray:
    """Fill the accumulators of one subject from a pass, or from what was kept of it.

    Returns:
        The losses of the pass, float32 ``[windows, tokens]``; empty if they were not asked for.
    """
    accumulators = added[name]

    def compute() -> dict[str, np.ndarray]:
        found = observe_attention(model(), tokens, scope, list(accumulators.values()), losses)
        sums = {f"{key} {part}": array for key, one in accumulators.items() for part, array in one.sums().items()}
        return sums | {"losses": np.empty(0) if found is None else found.numpy()}

    result = kept.get(name, compute)
    for key, one in accumulators.items():
        for part, array in one.sums().items():
            array[...] = result[f"{key} {part}"]
    return result["losses"]


def query_ends(settings: config.Analysis, training_length: int) -> list[int]:
    """Return the ends of the groups of queries, in tokens, rising.

    Raises:
        UserError: the first query of a group sees too few keys for the regions of the U-shape, or two
            groups end at the same token.
    """
    ends = [round(multiple * training_length) for multiple in settings.multiples]
    keys = ends[0] - settings.queries + 1
    if keys < FEWEST_KEYS:
        raise UserError(
            f"analysis.multiples: {settings.multiples[0]} times the training length {training_length}, with "
            f"analysis.queries {settings.queries}, leaves a query {max(keys, 0)} keys; it needs {FEWEST_KEYS}: "
            "raise the first multiple or lower queries"
        )
    if len(set(ends)) < len(ends):
        raise UserError(f"analysis.multiples: two of {settings.multiples} end at the same token; leave one out")
    return ends


def shuffled(windows: np.ndarray, start_token: bool, ends: Sequence[int]) -> np.ndarray:
    """Return windows with the tokens of each in a random order, the same for every model.

    Any pattern over distance that attention keeps then does not depend on which tokens are near or far. The queries at
    each end see the same tokens as in the windows: tokens change places only between two ends.

    Args:
        windows: token ids ``[windows, tokens]``.
        start_token: whether each begins with a start token, which stays in its place.
        ends: of the groups of queries, in tokens, rising.
    """
    random = generator("analysis", "shuffled tokens", WINDOW_SEED)
    first, *blocks = np.split(windows, [int(start_token), *ends], axis=1)
    return np.concatenate([first, *(random.permuted(block, axis=1) for block in blocks)], axis=1)


def _components(model: LanguageModel, scope: Scope, chosen_from: int) -> Components | None:
    """Return an empty accumulator of frequency components, or None where the encoding has none."""
    if not isinstance(model.encoding, Rotary):
        return None
    frequencies = model.encoding.frequencies.cpu().numpy()
    return Components(scope, frequencies, model.training_length, chosen_from, model.turned_layers)


def write_rotary(
    settings: config.Analysis,
    model: LanguageModel,
    components: Components,
    tokens: Tensor,
    documents: np.ndarray,
    unchanged: dict[str, NDArray[np.float64]],
    output: Path,
    kept: Kept,
) -> None:
    """Write the tables that only rotary encodings have.

    Args:
        settings: the share that counts as activated, and the queries of the U-shape index.
        model: the model.
        components: measured on it; its first documents choose the sets of the intervention.
        tokens: int64 ``[documents, tokens + 1]``, those measured.
        documents: their numbers.
        unchanged: the measures of an intervention for the unchanged model, on the second half of the documents.
        output: folder of the tables.
        kept: keeps the result of every intervention.
    """
    share, half = settings.active_share, components.chosen_from
    activated, _ = activated_components(components.spread(), components.frequencies, share)
    write_table(output / "components.parquet", components.columns(activated))
    write_table(output / "activation.parquet", activation_columns(components, share))
    write_table(output / "kernel_trained.parquet", trained_kernel_columns(components))
    groups = component_sets(components, share)
    tested = tokens[half:], documents[half:]
    path = output / "intervention.parquet"
    write_intervention(path, model, tokens[:half], *tested, settings.queries, groups, unchanged, kept)
