"""The user's own files that a study reads, found from the config and checked before anything runs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hope.adopt import check_layout
from hope.config import Arm, Study, TextSource
from hope.data.sources.files import find_files
from hope.errors import UserError
from hope.paths import StudyPaths
from hope.reporting.claims_check import checked_claims
from hope.reporting.claims_file import ClaimsFile


@dataclass(frozen=True)
class ArmFiles:
    """The user's own files that an arm reads.

    Attributes:
        corpus: text files, also those of a local dataset in the hub's layout; empty for another source of text.
        tokenizer: files of a pretrained tokenizer; empty if it is fitted, or on the hub.
        encodings: by name, the file of an encoding of the user's own; empty for built-in ones.
        trained_tasks: files of the user's own tasks in the training.
        tasks: files of the user's own tasks in the evaluation.
    """

    corpus: list[Path]
    tokenizer: list[Path]
    encodings: dict[str, list[Path]]
    trained_tasks: list[Path]
    tasks: list[Path]

    @property
    def watched(self) -> list[str]:
        """The text files that are inputs of a rule, so that Snakemake prepares the corpus again when one changes.

        Names that Snakemake cannot take (with braces, which it reads as wildcards, or not in UTF-8) are left out. Of
        more than 10,000 files none is an input, since Snakemake would check each of them for each job.
        """
        names = [name for name in map(str, self.corpus) if name.isprintable() and not {"{", "}"} & set(name)]
        return names if len(names) <= 10_000 else []

    @property
    def unwatched(self) -> str:
        """A digest of names, sizes and times of the text files that are no inputs; empty if all are."""
        left = sorted(set(map(str, self.corpus)) - set(self.watched))
        states = [(name, state.st_size, state.st_mtime_ns) for name in left for state in [Path(name).stat()]]
        return hashlib.sha256(repr(states).encode()).hexdigest() if states else ""


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
    sources = {name: arm.source(name) for name in arm.encodings}
    tokenizer = arm.tokens.local if arm.reads_text else None
    return ArmFiles(
        corpus=[path for source in arm.corpus.sources.values() for path in _texts_of(source)] if arm.reads_text else [],
        tokenizer=[tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer] if tokenizer else [],
        encodings={name: [path] if path else [] for name, path in sources.items()},
        trained_tasks=arm.task_sources(arm.trained_tasks),
        tasks=arm.task_sources(arm.retrieval.tasks),
    )


def _texts_of(source: TextSource) -> list[Path]:
    """Return the user's own files of a source of text."""
    if source.source == "files":
        return [path for path, _ in find_files(source.files.paths)[0]]
    if source.source == "hub" and source.hub.folder:
        found = (path.relative_to(source.hub.folder) for path in source.hub.folder.rglob("*") if path.is_file())
        return [source.hub.folder / path for path in sorted(found) if not any(part[0] == "." for part in path.parts)]
    return []
