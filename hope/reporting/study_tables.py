"""The one reader of a study: its config, and its tables joined over the models of an arm."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hope.adopt import check_layout
from hope.catalogue import FAMILIES, is_custom
from hope.catalogue.spectra import Spectrum
from hope.config import Arm, Study, parse_study
from hope.encodings.identities import coinciding
from hope.encodings.shape import encoding_shape
from hope.errors import UserError
from hope.files import check_unaltered, read_json
from hope.paths import StudyPaths, cost_file
from hope.reporting.documents import read_documents
from hope.reporting.estimates import Observations

if TYPE_CHECKING:
    from hope.reporting.figures.style import EncodingStyle

_ROOMS = {
    "history": "model",
    "extrapolation": "evaluation",
    "context": "evaluation",
    "strided": "evaluation",
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
"""The tables of a model, and the folder of each."""


class StudyTables:
    """One study: its config, its tables across models, and its arms."""

    def __init__(self, root: Path) -> None:
        """Open the study at ``root``.

        Raises:
            UserError: the folder holds no readable ``study.json``.
        """
        self.paths = StudyPaths(root)
        check_layout(root)
        if not self.paths.config.exists():
            raise UserError(f"{self.paths.config}: there is no such file; give the folder of a study, results/<name>")
        self.study: Study = parse_study(read_json(self.paths.config), str(self.paths.config))
        self.arms = {name: ArmTables(self, name) for name in self.study.arms}

    @cached_property
    def styles(self) -> dict[str, "EncodingStyle"]:
        """The style of each encoding in figures."""
        from hope.reporting.figures.style import encoding_styles

        return encoding_styles(list(dict.fromkeys(run.encoding for run in self.study.runs())))

    @property
    def confidence(self) -> float:
        """Confidence of every interval."""
        return self.study.report.confidence

    @property
    def judged(self) -> dict[str, Any]:
        """The content of ``claims.json``; one without claims if none has been judged."""
        if not self.paths.claims.exists():
            return {"claims": [], "confidence": self.confidence, "correction": {"method": "Holm", "endpoints": 0}}
        check_unaltered(self.paths.claims, [cost_file(self.paths.tables, "judge")])
        return read_json(self.paths.claims)

    def summary(self, table: str) -> pd.DataFrame:
        """Return a table across models, or an empty one."""
        path = self.paths.tables / f"{table}.parquet"
        return read_table(path) if path.exists() else pd.DataFrame()


class ArmTables:
    """The tables of one arm of a study, each read on first use."""

    def __init__(self, whole: StudyTables, name: str) -> None:
        """Take the arm ``name`` of a study."""
        self.whole, self.name, self.paths = whole, name, whole.paths
        self.arm: Arm = whole.study.arms[name]
        self._joined: dict[str, pd.DataFrame] = {}

    @property
    def encodings(self) -> list[str]:
        """The encodings in the order of the config."""
        return self.arm.encodings

    @property
    def length(self) -> int:
        """The training length L in tokens."""
        return self.arm.training.length

    @property
    def confidence(self) -> float:
        """Confidence of every interval."""
        return self.whole.confidence

    @property
    def styles(self) -> dict[str, "EncodingStyle"]:
        """The style of each encoding in figures, the same in every arm."""
        return self.whole.styles

    @property
    def figures(self) -> Path:
        """The folder of the arm's figures."""
        return self.paths.figures / self.name

    @cached_property
    def same(self) -> dict[str, str]:
        """By encoding, the earlier encoding that it coincides with at the arm's sizes."""
        shape = encoding_shape(self.arm.model, self.length)
        return coinciding([self.arm.encoding(name) for name in self.encodings], shape)

    @cached_property
    def documents(self) -> pd.DataFrame:
        """The documents of the arm's corpus, as :func:`read_documents` returns them."""
        return read_documents(self.paths, self.arm.data_key)

    @cached_property
    def observations(self) -> Observations:
        """The arm's endpoints; none as long as the study has no ``endpoints.parquet``."""
        return Observations(self.summary("endpoints"))

    def seeds(self, encoding: str) -> list[int]:
        """Return the seeds of an encoding."""
        return [seed for name, seed in self.arm.runs() if name == encoding]

    def label(self, encoding: str, seeds: int | None = None) -> str:
        """Return the encoding's name for a legend, with the earlier encoding that it coincides with.

        A single seed is mentioned too, because it has no interval.
        """
        seeds = len(self.seeds(encoding)) if seeds is None else seeds
        name = f"{encoding} = {self.same[encoding]}" if encoding in self.same else encoding
        return f"{name} (1 seed)" if seeds == 1 else name

    def path(self, table: str, encoding: str, seed: int) -> Path:
        """Return the path of a table of one model."""
        folder: Path = getattr(self.paths.run(self.name, encoding, seed), _ROOMS[table])
        return folder / f"{table}.parquet"

    def of_model(self, table: str, encoding: str, seed: int) -> pd.DataFrame:
        """Return a table of one model.

        Raises:
            UserError: as :func:`read_table`.
        """
        return read_table(self.path(table, encoding, seed))

    def read(self, table: str, extended: bool = False) -> pd.DataFrame:
        """Return a table of all models, with columns ``encoding`` and ``seed``; empty if no model has it.

        Args:
            table: its name.
            extended: keep the rows of length extensions, not only those of the models as trained.

        Raises:
            UserError: a table cannot be read.
        """
        if table not in self._joined:
            parts = [
                self.of_model(table, encoding, seed).assign(encoding=encoding, seed=seed)
                for encoding, seed in self.arm.runs()
                if self.path(table, encoding, seed).exists()
            ]
            self._joined[table] = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        frame = self._joined[table]
        return frame if extended or "extension" not in frame else frame[frame["extension"] == "none"]

    def theory(self, table: str) -> pd.DataFrame:
        """Return a table of the theoretical kernels, or an empty one."""
        path = self.paths.theory(self.name) / f"{table}.parquet"
        return read_table(path) if path.exists() else pd.DataFrame()

    def summary(self, table: str) -> pd.DataFrame:
        """Return this arm's rows of a table across models, or an empty table."""
        frame = self.whole.summary(table)
        return frame if frame.empty else frame[frame["arm"] == self.name].reset_index(drop=True)

    def rotary(self) -> list[str]:
        """Return the arm's rotary encodings."""
        return [name for name in self.encodings if self.arm.is_rotary(name)]

    def bounded(self, encoding: str) -> bool:
        """Return whether an encoding has no positions past the training length."""
        family = self.arm.encoding(encoding).family
        return not is_custom(family) and FAMILIES[family].bounded

    def spectrum(self, encoding: str) -> Spectrum:
        """Return the frequencies of a rotary encoding."""
        spectrum = self.arm.spectrum(encoding)
        assert spectrum is not None, f"{encoding} is not rotary"
        return spectrum

    def wavelengths(self, encoding: str) -> np.ndarray:
        """Return the wavelength of each component of a rotary encoding, in training lengths: 2 pi / (theta_j L).

        A stopped component has the wavelength from before it was stopped, or an infinite one if it had none.
        """
        spectrum = self.spectrum(encoding)
        used, whole = np.array(spectrum.frequencies), np.array(spectrum.whole)
        with np.errstate(divide="ignore"):
            return 2 * np.pi / (np.where(used > 0, used, whole) * self.length)

    def kept(self, encoding: str) -> int:
        """Return the number K of components that turn in a rotary encoding."""
        return self.spectrum(encoding).kept


def read_table(path: Path) -> pd.DataFrame:
    """Return a table.

    Raises:
        UserError: it is missing, altered or cannot be read: one line that names the file.
    """
    try:
        check_unaltered(path)
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the study to its end first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({reason}); delete it and run the study again") from None
