"""A corpus and a token folder that the tests of this room share."""

from pathlib import Path

import pytest
from made_data import prose

from hope.config import Corpus, Files, Tokens, Validation
from hope.data.corpus import prepare_corpus
from hope.data.tokenize import tokenize_corpus


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 documents: 12 long ones, and a literal end token in one."""
    folder = tmp_path_factory.mktemp("texts")
    for index in range(40):
        (folder / f"{index:02d}.txt").write_text(prose(index, 60 if index % 3 == 0 else 12))
    (folder / "39.txt").write_text("About the token <|end|> and the token <|start|>.\n" + prose(39, 60))
    return folder


@pytest.fixture(scope="session")
def settings(texts: Path) -> Corpus:
    """The corpus of those texts, four long documents held out."""
    validation = Validation(share=0.2, long_documents=4, long_characters=2_000)
    return Corpus(source="files", files=Files(paths=[str(texts)]), validation=validation, max_document_share=0.5)


@pytest.fixture(scope="session")
def data(settings: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's data folder, prepared and tokenized."""
    folder = tmp_path_factory.mktemp("data")
    prepare_corpus(settings, folder / "corpus")
    tokenize_corpus(Tokens(vocabulary=400, shard_tokens=1_000), folder / "corpus", folder)
    return folder
