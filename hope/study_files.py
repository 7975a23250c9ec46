"""The user's own files that a study reads, found from the config and checked before anything runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hope.adopt import check_layout
from hope.config import Arm, Study
from hope.data.sources.files import find_files
from hope.errors import UserError
from hope.paths import StudyPaths
from hope.reporting.claims_check import checked_claims
from hope.reporting.claims_file import ClaimsFile


@dataclass(frozen=True)
class ArmFiles:
    """The user's own files that an arm reads.

    Attributes:
        corpus: text files; empty for another source of text.
        encodings: by name, the file of an encoding of the user's own; empty for built-in ones.
        trained_tasks: files of the user's own tasks in the training.
        tasks: files of the user's own tasks in the evaluation.
    """

    corpus: list[Path]
    encodings: dict[str, list[Path]]
    trained_tasks: list[Path]
    tasks: list[Path]

    @property
    def watched(self) -> list[str]:
        """The text files whose change makes Snakemake prepare the corpus again.

        Names with braces, which Snakemake reads as wildcards, are left out. Of more than 10,000 files none is watched,
        since Snakemake would check each of them; ``--forcerun prepare_corpus`` does it then.
        """
        names = [name for name in map(str, self.corpus) if not {"{", "}"} & set(name)]
        return names if len(names) <= 10_000 else []


class StudyFiles(NamedTuple):
    """The claims under test, and the user's own files of each arm."""

    claims: ClaimsFile
    arms: dict[str, ArmFiles]


def check_study(study: Study) -> StudyFiles:
    """Check that a study's claims fit it and that the user's own files exist; return both.

    Raises:
        UserError: the project's path has braces, the study's results are of before there were arms, the claims file is
            wrong, a path of the corpus leads to no file, or a hostfile or the file of an encoding or a
            task is missing.
    """
    here = str(Path.cwd())
    if {"{", "}"} & set(here):
        raise UserError(f"{here}: Snakemake reads braces in a path as wildcards; move the project to a path without")
    check_layout(StudyPaths.named(study.study).root)
    return StudyFiles(checked_claims(study), {name: _files_of(arm) for name, arm in study.arms.items()})


def _files_of(arm: Arm) -> ArmFiles:
    hostfile = arm.training.hostfile
    if hostfile is not None and not Path(hostfile).is_file():
        raise UserError(
            f"training.hostfile: there is no file '{hostfile}'; write one with a line HOST slots=N per node"
        )
    corpus = find_files(arm.corpus.files.paths)[0] if arm.reads_text and arm.corpus.source == "files" else []
    sources = {name: arm.source(name) for name in arm.encodings}
    return ArmFiles(
        corpus=[path for path, _ in corpus],
        encodings={name: [path] if path else [] for name, path in sources.items()},
        trained_tasks=arm.task_sources(arm.trained_tasks),
        tasks=arm.task_sources(arm.retrieval.tasks),
    )
