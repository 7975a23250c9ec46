"""The files of the user's own that a study reads, checked before anything runs, from the config alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hope.adopt import check_layout
from hope.config import Arm, Study
from hope.data.sources.files import find_files
from hope.paths import StudyPaths
from hope.reporting.claims_check import checked_claims
from hope.reporting.claims_file import ClaimsFile


@dataclass(frozen=True)
class ArmFiles:
    """What an arm reads beside its config.

    Attributes:
        corpus: text files; none where the corpus is not made of the user's files.
        encodings: by name, the file of an encoding of the user's own; empty for the others.
        trained_tasks: files of the user's own tasks that are part of training.
        tasks: files of the user's own tasks that are evaluated.
    """

    corpus: list[Path]
    encodings: dict[str, list[Path]]
    trained_tasks: list[Path]
    tasks: list[Path]

    @property
    def watched(self) -> list[str]:
        """Those of the text files whose change makes the corpus anew.

        A name with braces, which Snakemake takes for wildcards, is not among them, and of more than 10,000 files,
        which it would look at one by one, none is: the user has ``--forcerun prepare_corpus``.
        """
        names = [name for name in map(str, self.corpus) if not {"{", "}"} & set(name)]
        return names if len(names) <= 10_000 else []


class StudyFiles(NamedTuple):
    """The claims under test, and what each arm of a study reads."""

    claims: ClaimsFile
    arms: dict[str, ArmFiles]


def check_study(study: Study) -> StudyFiles:
    """Return what a study reads beside its config, once it is known to be there and the claims to fit.

    Raises:
        UserError: what the study has made so far is of before there were arms, the claims file is wrong, a path of
            the corpus leads to no file, or there is no file of an encoding or a task of the user's own.
    """
    check_layout(StudyPaths(Path("results") / study.study).root)
    return StudyFiles(checked_claims(study), {name: _files_of(arm) for name, arm in study.arms.items()})


def _files_of(arm: Arm) -> ArmFiles:
    corpus = find_files(arm.corpus.files.paths)[0] if arm.reads_text and arm.corpus.source == "files" else []
    sources = {name: arm.source(name) for name in arm.encodings}
    return ArmFiles(
        corpus=[path for path, _ in corpus],
        encodings={name: [path] if path else [] for name, path in sources.items()},
        trained_tasks=arm.task_sources(arm.trained_tasks),
        tasks=arm.task_sources(arm.retrieval.tasks),
    )
