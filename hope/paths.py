"""The paths of all files of a study; every other module takes them from here."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path("results")
"""Folder of all studies, below the project's own folder."""
SNAPSHOTS = "snapshots"
"""Folder of the weights that are kept during training, within the model's folder."""


def snapshot_file(folder: Path, step: int) -> Path:
    """Return the file of the weights after ``step`` steps, within the folder of all snapshots."""
    return folder / f"step-{step:08d}.safetensors"


def snapshot_files(model: Path, steps: Iterable[int]) -> list[Path]:
    """Return the files of the weights after these steps, within the folder of a trained model."""
    return [snapshot_file(model / SNAPSHOTS, step) for step in steps]


def part_folder(folder: Path, part: int | str) -> Path:
    """Return the folder of one part of a corpus or of its tokens.

    Args:
        folder: of the corpus, or of the tokens.
        part: its number, or a wildcard.
    """
    return folder / "parts" / (f"{part:05d}" if isinstance(part, int) else part)


def cost_file(folder: Path, step: str, name: str = "") -> Path:
    """Return the file of the cost of a step without a record, beside its outputs.

    Args:
        folder: of the step's outputs.
        step: name of the step.
        name: of the job, if the folder holds the outputs of several.
    """
    return folder / f"{name or step}.cost.json"


@dataclass(frozen=True)
class RunPaths:
    """Files of one trained model, under ``models/``, ``analysis/`` and ``evaluation/``."""

    study: Path
    arm: str
    encoding: str
    seed: int | str

    @classmethod
    def of_model(cls, folder: Path) -> "RunPaths":
        """Return the paths of the trained model in ``folder``, which is :attr:`model` of the result."""
        whole = folder if len(folder.parts) > 4 else folder.absolute()
        _, arm, encoding, seed = whole.parts[-4:]
        return cls(whole.parents[3], arm, encoding, seed.removeprefix("seed"))

    def _folder(self, room: str) -> Path:
        return self.study / room / self.arm / self.encoding / f"seed{self.seed}"

    @property
    def model(self) -> Path:
        """Folder with ``model.safetensors``, ``config.json``, ``history.parquet`` and ``run.json``."""
        return self._folder("models")

    @property
    def analysis(self) -> Path:
        """Folder with the tables of the attention analysis."""
        return self._folder("analysis")

    @property
    def evaluation(self) -> Path:
        """Folder with the tables of extrapolation and retrieval."""
        return self._folder("evaluation")

    @property
    def name(self) -> str:
        """The run's name in logs and in the tracking store."""
        return f"{self.arm}/{self.encoding}/seed{self.seed}"


@dataclass(frozen=True)
class StudyPaths:
    """Files of one study, in the folder ``root``."""

    root: Path

    @classmethod
    def named(cls, study: str) -> "StudyPaths":
        """Return the paths of the study with this name, in ``results/<study>``."""
        return cls(RESULTS / study)

    def run(self, arm: str, encoding: str, seed: int | str) -> RunPaths:
        """Paths of one trained model; all arguments may be Snakemake wildcards in braces."""
        return RunPaths(self.root, arm, encoding, seed)

    def data(self, key: str) -> Path:
        """Folder of tokens of one corpus and tokenizer, with ``tokenizer/``, ``train/`` and ``validation/``.

        Args:
            key: :attr:`hope.config.Arm.data_key` of the arms that use it.
        """
        return self.root / "data" / key

    def corpus(self, key: str) -> Path:
        """Folder with the texts, ``documents.parquet`` and ``corpus.json``: what :meth:`data` is made from."""
        return self.data(key) / "corpus"

    def theory(self, arm: str) -> Path:
        """Folder with the tables of an arm that are computed without a trained model."""
        return self.root / "analysis" / arm / "theory"

    @property
    def tables(self) -> Path:
        """Folder with tables across encodings and seeds."""
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        """Folder with figures, each as SVG and PNG with its data as CSV."""
        return self.root / "figures"

    @property
    def claims(self) -> Path:
        """The verdicts on the claims."""
        return self.root / "claims.json"

    @property
    def report(self) -> Path:
        """Folder with ``index.html`` and the rendered notebooks."""
        return self.root / "report"

    @property
    def tracking(self) -> Path:
        """Folder of the embedded MLflow store: ``mlflow.db`` and ``artifacts/``."""
        return self.root / "mlflow"

    @property
    def logs(self) -> Path:
        """Folder with one log file per job."""
        return self.root / "logs"

    @property
    def checkpoints(self) -> Path:
        """Folder with the state of unfinished trainings. It is no rule's output, so that no failure deletes it."""
        return self.root / "checkpoints"

    def costs(self) -> list[Path]:
        """Return the existing files of :func:`cost_file`."""
        return sorted(
            path for room in ("data", "tables", "figures", "report") for path in (self.root / room).rglob("*.cost.json")
        )

    @property
    def config(self) -> Path:
        """The resolved config of the study."""
        return self.root / "study.json"
