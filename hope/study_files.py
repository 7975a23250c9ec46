"""The files of the user's own that a study reads, checked before anything runs, from the config alone."""

from dataclasses import dataclass
from pathlib import Path

from hope.config import Study
from hope.data.sources.files import find_files
from hope.reporting.claims_check import checked_claims
from hope.reporting.claims_file import ClaimsFile


@dataclass(frozen=True)
class StudyFiles:
    """What a study reads beside its config.

    Attributes:
        claims: the claims under test.
        corpus: text files; none where the corpus is not made of the user's files.
        encodings: by name, the file of an encoding of the user's own; empty for the others.
        trained_tasks: files of the user's own tasks that are mixed into training.
        tasks: files of the user's own tasks that are evaluated.
    """

    claims: ClaimsFile
    corpus: list[Path]
    encodings: dict[str, list[Path]]
    trained_tasks: list[Path]
    tasks: list[Path]


def check_study(study: Study) -> StudyFiles:
    """Return the files that a study reads, once they are known to be there and its claims to fit it.

    Raises:
        UserError: the claims file is wrong, a path of the corpus leads to no file, or there is no file of an
            encoding or a task of the user's own.
    """
    corpus = find_files(study.corpus.files.paths)[0] if study.corpus.source == "files" else []
    sources = {name: study.source(name) for name in study.encodings}
    return StudyFiles(
        claims=checked_claims(study),
        corpus=[path for path, _ in corpus],
        encodings={name: [path] if path else [] for name, path in sources.items()},
        trained_tasks=study.task_sources(study.mixture.tasks if study.mixture.share else []),
        tasks=study.task_sources(study.retrieval.tasks),
    )
