"""A study's tables as the figures want them: joined over models, with intervals over seeds and units."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hope.catalogue import FAMILIES
from hope.catalogue.spectra import Spectrum
from hope.config import Study, from_json
from hope.encodings.identities import coinciding
from hope.encodings.shape import encoding_shape
from hope.errors import UserError
from hope.paths import StudyPaths
from hope.reporting.figures.style import EncodingStyle, encoding_styles
from hope.statistics import crossed_mean

_ROOMS = {
    "history": "model",
    "extrapolation": "evaluation",
    "context": "evaluation",
    "retrieval": "evaluation",
    "profile": "analysis",
    "ushape": "analysis",
    "components": "analysis",
    "activation": "analysis",
    "kernel_trained": "analysis",
    "divergence": "analysis",
    "intervention": "analysis",
    "dynamics": "analysis",
}


class Drawing(NamedTuple):
    """A figure and the numbers in it, one row a mark."""

    figure: Figure
    data: pd.DataFrame


class StudyTables:
    """The tables of one study, read when first asked for."""

    def __init__(self, root: Path) -> None:
        """Open the study at ``root``.

        Raises:
            UserError: the folder holds no readable ``study.json``.
        """
        self.paths = StudyPaths(root)
        try:
            text = self.paths.config.read_text(encoding="utf-8")
        except OSError:
            raise UserError(
                f"{self.paths.config}: there is no such file; give the folder of a study, results/<name>"
            ) from None
        self.study: Study = from_json(Study, text)
        self._read: dict[str, pd.DataFrame] = {}

    @property
    def encodings(self) -> list[str]:
        """The encodings in the order of the config."""
        return self.study.encodings

    @property
    def length(self) -> int:
        """The training length L in tokens."""
        return self.study.training.length

    @property
    def confidence(self) -> float:
        """Confidence of every interval."""
        return self.study.report.confidence

    @cached_property
    def styles(self) -> dict[str, EncodingStyle]:
        """How each encoding is drawn."""
        return encoding_styles(self.encodings)

    @cached_property
    def same(self) -> dict[str, str]:
        """The earlier encoding that an encoding coincides with at the study's sizes, by name."""
        shape = encoding_shape(self.study.model, self.study.training.length)
        return coinciding([self.study.encoding(name) for name in self.encodings], shape)

    def seeds(self, encoding: str) -> list[int]:
        """Return the seeds of an encoding."""
        return [seed for name, seed in self.study.runs() if name == encoding]

    def label(self, encoding: str, seeds: int | None = None) -> str:
        """Return the encoding's name for a legend, with what must be known of it.

        Said are a single seed, for it has no interval, and an earlier encoding that it coincides with.
        """
        seeds = len(self.seeds(encoding)) if seeds is None else seeds
        name = f"{encoding} = {self.same[encoding]}" if encoding in self.same else encoding
        return f"{name} (1 seed)" if seeds == 1 else name

    def read(self, table: str, extended: bool = False) -> pd.DataFrame:
        """Return a table of all models, with columns ``encoding`` and ``seed``; empty if no model has it.

        Args:
            table: its name.
            extended: keep the rows of length extensions too, not only those of the models as they were trained.
        """
        frame = self._joined(table)
        return frame if extended or "extension" not in frame else frame[frame["extension"] == "none"]

    def _joined(self, table: str) -> pd.DataFrame:
        if table not in self._read:
            parts = []
            for encoding, seed in self.study.runs():
                path = getattr(self.paths.run(encoding, seed), _ROOMS[table]) / f"{table}.parquet"
                if path.exists():
                    part = pd.read_parquet(path)
                    parts.append(part.assign(encoding=encoding, seed=seed))
            self._read[table] = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        return self._read[table]

    def theory(self, table: str) -> pd.DataFrame:
        """Return a table of the theoretical kernels, or an empty one."""
        path = self.paths.theory / f"{table}.parquet"
        return pd.read_parquet(path) if path.exists() else pd.DataFrame()

    def rotary(self) -> list[str]:
        """Return the rotary encodings of the study."""
        return [name for name in self.encodings if self.study.is_rotary(name)]

    def bounded(self, encoding: str) -> bool:
        """Return whether an encoding has no positions past the training length."""
        family = FAMILIES.get(self.study.encoding(encoding).family)
        return family is not None and family.bounded

    def spectrum(self, encoding: str) -> Spectrum:
        """Return the frequencies of a rotary encoding."""
        spectrum = self.study.spectrum(encoding)
        assert spectrum is not None, f"{encoding} is not rotary"
        return spectrum

    def wavelengths(self, encoding: str) -> np.ndarray:
        """Return the wavelength of each component of a rotary encoding, in training lengths: 2 pi / (theta_j L).

        Of a component that stands still, that which it had before it was stopped; infinite if it had none.
        """
        spectrum = self.spectrum(encoding)
        used, whole = np.array(spectrum.frequencies), np.array(spectrum.whole)
        with np.errstate(divide="ignore"):
            return 2 * np.pi / (np.where(used > 0, used, whole) * self.length)

    def kept(self, encoding: str) -> int:
        """Return the number K of components that a rotary encoding turns."""
        return self.spectrum(encoding).kept


def summarize(
    frame: pd.DataFrame, by: Sequence[str], value: str, unit: str, confidence: float, minus: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the mean of ``value`` in each cell of ``by``, with its interval over crossed seeds and units.

    Args:
        frame: one row an observation, with columns ``seed``, ``unit``, ``value`` and those of ``by``.
        by: columns that name a cell; observations of one seed and unit within a cell are averaged.
        value: the column averaged.
        unit: the column that names documents or prompts.
        confidence: of the interval.
        minus: if given, observations with the same columns that are subtracted, paired by seed and unit.

    Returns:
        One row a cell: the columns of ``by``, estimate, low, high (NaN where no interval can be given),
        seeds, units.
    """
    matrices = _matrices(frame, by, value, unit)
    subtract = None if minus is None else dict(_matrices(minus, by, value, unit))
    rows = []
    for cell, matrix in matrices:
        if subtract is not None:
            if cell not in subtract:
                continue
            seeds = matrix.index.intersection(subtract[cell].index)
            units = matrix.columns.intersection(subtract[cell].columns)
            matrix = matrix.loc[seeds, units] - subtract[cell].loc[seeds, units]
        if matrix.empty:
            continue
        found = crossed_mean(matrix.to_numpy())
        # The spread between documents of one seed says nothing of another seed: better no interval than that.
        low, high = found.interval(confidence) if found.decides else (np.nan, np.nan)
        numbers = {"estimate": found.mean, "low": low, "high": high, "seeds": found.seeds, "units": found.units}
        rows.append({**dict(zip(by, cell, strict=True)), **numbers})
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high", "seeds", "units"])


def _matrices(frame: pd.DataFrame, by: Sequence[str], value: str, unit: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield each cell's name and its [seeds, units] means; a unit that a seed lacks is left out."""
    if frame.empty:
        return
    means = frame.groupby([*by, "seed", unit], observed=True)[value].mean()
    table = means.unstack(unit)
    for cell, part in table.groupby(level=list(range(len(by))), sort=True):
        matrix = part.droplevel(list(range(len(by))))
        yield (cell if isinstance(cell, tuple) else (cell,)), matrix.dropna(axis=1)


def nll_per_token(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the loss in nats a token by cell of ``by``, seed and document: summed over windows, then divided."""
    if frame.empty:
        return frame
    sums = frame.groupby([*by, "seed", "document"], observed=True)[["nll", "tokens"]].sum().reset_index()
    return sums.assign(loss=sums["nll"] / sums["tokens"])


def band(
    axes: Axes,
    x: Iterable[float],
    rows: pd.DataFrame,
    style: EncodingStyle,
    label: str | None,
    shade: float = 0.16,
    **line: Any,
) -> None:
    """Draw estimates as a line with markers, and their interval as a band where there is one.

    Args:
        axes: where.
        x: abscissas.
        rows: columns estimate, low and high.
        style: the encoding's.
        label: name in the legend.
        shade: opacity of the band.
        line: keywords of the line that differ from the style's.
    """
    axes.plot(np.asarray(x), rows["estimate"], label=label, **style.line(**line))
    if rows["low"].notna().any():
        axes.fill_between(
            np.asarray(x), rows["low"], rows["high"], color=style.color, alpha=shade, linewidth=0, zorder=1
        )
