"""Each piece of an article is shown for the arms that have its tables, under their names."""

import re
from pathlib import Path

import pytest

from hope.errors import UserError
from hope.reporting.articles.article import Article
from tests.reporting.finished import judged
from tests.reporting.make_study import RETRIEVAL, TEXT, make_study, with_retrieval
from tests.reporting.pages import Page

SEEDS = {"rope": 2, "hope": 2}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study like the default: the arm of text has no tasks, and there is a second arm of text."""
    arms = with_retrieval(SEEDS, retrieval={"multiples": [1.0, 2.0]})
    arms[TEXT] = arms["larger"] = {"mixture": {"share": 0.0, "tasks": {}}, "retrieval": {"tasks": []}}
    return judged(make_study(tmp_path_factory.mktemp("study"), seeds=SEEDS, arms=arms))


def arms_of(html: str) -> list[str]:
    return re.findall(r"[Aa]rm <code>([^<]+)</code>", html)


def test_retrieval_is_that_of_the_arm_that_has_it(study: Path) -> None:
    article = Article(study)
    assert arms_of(article.facts("retrieval").html) == [RETRIEVAL]
    for piece in (article.figure("retrieval"), article.table("retrieval")):
        assert arms_of(piece.html) == [RETRIEVAL]
        assert "no data" not in piece.html and "no table" not in piece.html
    assert "repeat" in Page(article.table("retrieval").html).text
    assert f'id="figure-{RETRIEVAL}-retrieval"' in article.figure("retrieval").html


def test_each_arm_that_has_the_tables_is_shown(study: Path) -> None:
    article = Article(study)
    assert arms_of(article.facts().html) == ["larger", RETRIEVAL, TEXT]
    assert arms_of(article.figure("training_loss").html) == ["larger", RETRIEVAL, TEXT]
    for piece in (article.facts("loss_by_position"), article.table("losses"), article.finding("ushape")):
        assert arms_of(piece.html) == ["larger", TEXT]
    assert arms_of(article.figure("story").html) == []


def test_an_arm_that_is_named_is_shown_alone(study: Path) -> None:
    article = Article(study, arm=TEXT)
    assert arms_of(article.table("losses").html) == arms_of(article.facts().html) == [TEXT]
    assert "no data for it" in article.figure("retrieval").html
    assert "no table of retrieval yet" in article.table("retrieval").html
    with pytest.raises(UserError, match="'tex' is no arm of this study"):
        Article(study, arm="tex")


def test_one_arm_needs_no_name(shared_study: Path) -> None:
    assert "Arm <code>" not in Article(shared_study).finding("sink").html
