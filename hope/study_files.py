"""The user's own files that a study reads, found from the config and checked before anything runs."""

import contextlib
import functools
import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hope.adopt import check_layout
from hope.config import Arm, Study, TextSource, to_json
from hope.config.data import SPECIAL_TOKENS
from hope.data.sources.files import files_below, find_files
from hope.errors import UserError
from hope.files import sha256_of_file
from hope.paths import StudyPaths
from hope.reporting.claims_check import checked_claims
from hope.reporting.claims_file import ClaimsFile
from hope.tasks import NoText, Vocabulary, try_own


@dataclass(frozen=True)
class ArmFiles:
    """The user's own files that an arm reads.

    Attributes:
        corpus: text files, also those of a local dataset in the hub's layout; empty for another source of text.
        tokenizer: files of a pretrained tokenizer; empty if it is fitted, or on the hub.
        tokens: settings of the tokens, as JSON.
        encodings: by name, the file of an encoding of the user's own; empty for built-in ones.
        trained_tasks: files of the user's own tasks in the training.
        tasks: files of the user's own tasks in the evaluation.
    """

    corpus: list[Path]
    tokenizer: list[Path]
    tokens: str
    encodings: dict[str, list[Path]]
    trained_tasks: list[Path]
    tasks: list[Path]

    @functools.cached_property
    def corpus_state(self) -> str:
        """:func:`state_of` the text files: if it changes, Snakemake prepares the corpus again."""
        return state_of(self.corpus)

    @functools.cached_property
    def tokenizer_state(self) -> str:
        """:func:`state_of` the tokenizer: if it changes, Snakemake makes the tokens again."""
        # Snakemake compares the set of all parameters: without a local tokenizer this one is among them already.
        return state_of(self.tokenizer) or self.tokens


LONGEST_WORD = 120_000
"""Bytes of the config in a command line. Linux takes 131,072 in one argument, here the whole command of a step."""

COMPARED_BYTES = 100_000_000
"""Size of the files of a corpus, or of a tokenizer, up to which they are compared by content."""


def state_of(paths: list[Path]) -> str:
    """Return a digest of the names and contents of files; empty if there are none.

    Of large files, the sizes and the times of their last change, older or newer, stand for their contents, since each
    start of Snakemake asks for them.
    """
    found = [(path, path.stat() if os.path.isfile(path) else None) for path in sorted(paths)]
    small = sum(about.st_size for _, about in found if about) <= COMPARED_BYTES
    states: list[tuple[str, object]] = []
    for path, about in found:
        state: object = about and (about.st_size, about.st_mtime_ns)
        if small and about:
            with contextlib.suppress(OSError):  # The step that reads the file says what is wrong with it.
                state = sha256_of_file(path)
        states.append((str(path), state))
    return hashlib.sha256(repr(states).encode()).hexdigest() if states else ""


MANY_TOKENS = 100_000
"""Stands for the size of a pretrained tokenizer, which is not loaded before the study runs."""


class StudyFiles(NamedTuple):
    """The claims under test, and the user's own files of each arm."""

    claims: ClaimsFile
    arms: dict[str, ArmFiles]


def check_study(study: Study) -> StudyFiles:
    """Check that a study's claims fit it and that the user's own files exist; return both.

    Raises:
        UserError: the path of the project or of the claims has braces, the config is too large for a command line, the
            study's results are of before there were arms, the claims file is wrong, a path of the corpus leads to no
            file, or a hostfile or the file of an encoding or a task is missing.
    """
    for path, remedy in ((str(Path.cwd()), "move the project to a path without"), (study.claims, "rename the file")):
        if {"{", "}"} & set(path):
            raise UserError(f"{path}: Snakemake reads braces in a path as wildcards; {remedy}")
    size = len(shlex.quote(to_json(study)).encode())
    if size > LONGEST_WORD:
        raise UserError(
            f"corpus.files.paths: the config has {size:,} bytes, and a command line takes {LONGEST_WORD:,}; name "
            "folders or globs in place of single files"
        )
    check_layout(StudyPaths.named(study.study).root)
    return StudyFiles(checked_claims(study), {name: _files_of(arm) for name, arm in study.arms.items()})


def check_tasks(study: Study) -> None:
    """Build the user's own tasks, and draw an example of each length that they are trained and scored at.

    This imports the user's files, and what they need: the workflow's own process may lack it, and does not call this.

    Raises:
        UserError: a class cannot be imported, does not take its settings, or draws what is no example.
    """
    for arm_name, arm in study.arms.items():
        if arm.reads_text:
            size = arm.tokens.vocabulary if arm.tokens.tokenizer == "bpe" else MANY_TOKENS
        else:
            size = arm.symbols + len(SPECIAL_TOKENS)
        vocabulary = Vocabulary(size, {token.strip("<|>"): index for index, token in enumerate(SPECIAL_TOKENS)})
        for key, names, lengths in arm.task_lengths():
            scored = key == "retrieval.multiples"
            for name in names:
                try:
                    try_own(name, arm.tasks.task(name), vocabulary, NoText(arm.reads_text), lengths, scored)
                except UserError as error:
                    raise UserError(f"arms.{arm_name}: {error}") from error


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
        tokens=to_json(arm.tokens),
        encodings={name: [path] if path else [] for name, path in sources.items()},
        trained_tasks=arm.task_sources(arm.trained_tasks),
        tasks=arm.task_sources(arm.retrieval.tasks),
    )


def _texts_of(source: TextSource) -> list[Path]:
    """Return the user's own files of a source of text."""
    if source.source == "files":
        return [path for path, _ in find_files(source.files.paths)[0]]
    if source.source == "hub" and source.hub.folder:
        return [path for path, _ in files_below(source.hub.folder, source.hub.folder) if os.path.isfile(path)]
    return []
