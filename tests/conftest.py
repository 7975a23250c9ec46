"""Small data and small models that several rooms test on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hope import config

ROOT = Path(__file__).parents[1]

TINY = {
    "study": "tiny",
    "encodings": ["rope", "hope", "none", "alibi", "learned"],
    "corpus": {
        "source": "files",
        "validation": {"share": 0.2, "long_documents": 6, "long_characters": 2000},
        "max_document_share": 1.0,
    },
    "tokens": {"vocabulary": 512},
    "model": {"layers": 2, "width": 32, "heads": 2, "mlp_width": 64},
    "training": {
        "length": 32,
        "tokens": 32 * 8 * 12,
        "batch_windows": 8,
        "warmup_steps": 2,
        "log_steps": 4,
    },
    "mixture": {"share": 0.3, "tasks": {"copy": 0.7, "recall": 0.3}, "multiples": [0.5, 1.0]},
    "extrapolation": {"targets": 8},
    "retrieval": {"multiples": [0.5, 1.0, 2.0]},
}


def tiny_study(files: Path, **over: dict) -> config.Study:
    """Return a study whose models train in a second; ``over`` is laid over it."""
    content = config.merge(TINY, {"corpus": {"files": {"paths": [str(files)]}}})
    return config.parse_study(config.merge(content, over), "tiny")


def tiny_arm(files: Path, **over: dict) -> config.Arm:
    """Return the only arm of that study."""
    return tiny_study(files, **over).arms[config.MAIN]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker ends with one of them alone."""
    first = ["test_smoke.py", "test_reruns.py", "test_launch.py", "test_worlds.py", "test_reproduce.py"]
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 40 text files, made of words drawn by a seeded generator."""
    from hope.seeding import generator

    folder = tmp_path_factory.mktemp("files")
    random = generator("test corpus")
    words = ["".join(random.choice(list("abcdefghij"), random.integers(2, 8))) for _ in range(300)]
    for document in range(40):
        lines = [" ".join(random.choice(words, 12)) for _ in range(60)]
        (folder / f"{document:02d}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_data(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder of the tiny study."""
    from hope.data.corpus import prepare_corpus
    from hope.data.tokenize import tokenize_corpus

    arm = tiny_arm(tiny_files)
    folder = tmp_path_factory.mktemp("data")
    prepare_corpus(arm.corpus, folder / "corpus")
    tokenize_corpus(arm.tokens, folder / "corpus", folder)
    return folder


@pytest.fixture
def hope_command() -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs ``python -m hope`` as a user does, from the project's root."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "hope", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]

    return run
