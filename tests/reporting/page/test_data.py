"""What the report says about a corpus, against the corpus itself."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hope.config import Corpus, Tokens
from hope.data.corpus import prepare_corpus
from hope.data.tokenize import tokenize_corpus
from hope.data.tokens import TokenCorpus
from hope.paths import StudyPaths
from hope.reporting.documents import read_documents
from hope.reporting.figures.documents import documents
from hope.reporting.page.data import data_view
from hope.reporting.page.templating import environment
from tests.reporting.pages import broken_joins


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """A study with a mixture: an exact copy, near copies, an empty file, a damaged one, and a long one."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), rng.integers(2, 9))) for _ in range(400)]
    texts = [" ".join(rng.choice(words, 120)) for _ in range(24)]
    texts[1] = texts[0]
    texts[2] = texts[0][:-9] + "the end"
    texts[3] = " ".join(rng.choice(words, 3_000))
    for index, text in enumerate([*texts, " "]):
        path = folder / ("web" if index < 16 else "code") / f"{index:02d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() + (b"\xff" if index == 5 else b""))
    weights = {"web": 1.0, "code": 0.01}  # so that the web stays whole
    mixture = {
        name: {"source": "files", "files": {"paths": [str(folder / name)]}, "weight": weight}
        for name, weight in weights.items()
    }
    validation = {"long_documents": 1, "long_characters": 100, "share": 0.3}
    paths = StudyPaths(folder / "results")
    settings = Corpus.model_validate(
        {"source": "mixture", "mixture": mixture, "validation": validation, "max_document_share": 0.2}
    )
    prepare_corpus(settings, paths.corpus("key"))
    tokenize_corpus(Tokens(vocabulary=400), paths.corpus("key"), paths.data("key"))
    return paths


def test_the_facts_are_those_of_the_corpus(study: StudyPaths) -> None:
    view = data_view(study, "key")
    table = pd.read_parquet(study.corpus("key") / "documents.parquet")
    tokens = sum(TokenCorpus.open(study.data("key") / split).tokens for split in ("train", "validation"))
    assert [source["name"] for source in view["sources"]] == ["code", "web"]
    assert sum(source["tokens"] for source in view["sources"]) == tokens
    for source in view["sources"]:
        mine = table[table.source == source["name"]]
        assert (source["documents"], source["bytes"]) == (len(mine), mine.bytes.sum())
        assert source["lengths"][0] == mine.characters.min() and source["lengths"][-1] == mine.characters.max()


def test_the_page_names_what_was_dropped_cut_and_damaged(study: StudyPaths) -> None:
    text = environment().get_template("data.html.j2").render(views={("text",): data_view(study, "key")})
    for said in (
        "1 exact copy (such as web/01.txt, a copy of web/00.txt)",
        "1 empty document",
        "1 document (web/03.txt)",
        "the largest of 2 (web/00.txt and web/02.txt)",
        "1 text: web/05.txt: damaged utf-8 from line 1 on",
        "bytes per token",
    ):
        assert said in " ".join(text.split()), said
    assert broken_joins(text) == []


def test_the_figure_counts_every_document_once(study: StudyPaths) -> None:
    frame = read_documents(study, "key")
    assert frame.groupby("split")["tokens"].sum().to_dict() == {
        side: TokenCorpus.open(study.data("key") / side).tokens for side in ("train", "validation")
    }
    tables = SimpleNamespace(documents=frame, length=32, paths=study, arm=SimpleNamespace(data_key="key"))
    drawing = documents(tables)  # type: ignore[arg-type]
    assert drawing is not None
    by = drawing.data.groupby(["panel", "side"])
    held = int((frame["split"] == "validation").sum())
    assert by["documents"].sum().to_dict() == {
        ("length", "train"): len(frame) - held,
        ("length", "validation"): held,
        ("overlap", "validation"): held,
    }
    assert by["share"].sum().to_numpy() == pytest.approx(1)
    one = drawing.data.query("panel == 'length' and side == 'train'").iloc[-1]
    inside = frame[(frame["split"] == "train") & (frame["tokens"] >= 32 * one["start"] - 1e-9)]
    assert len(inside) == one["documents"]
    assert inside["tokens"].sum() / frame.query("split == 'train'")["tokens"].sum() == pytest.approx(one["share"])


def test_a_corpus_that_is_not_there_has_no_facts(tmp_path: Path) -> None:
    assert data_view(StudyPaths(tmp_path), "key") == {}
