"""A figure is declared where it is drawn, and everything else reads that declaration."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from docutils.core import publish_parts

from hope.errors import UserError
from hope.reporting.figures.declaration import declared_figures
from hope.reporting.figures.draw import draw_one
from hope.reporting.study_tables import StudyTables
from tests.reporting.finished import ROOT

BLANK = """
from hope.reporting.figures.declaration import figure


@figure(title="Mine", look="Look here.", alt="A thing.", needs=("model/history.parquet",))
def mine(tables):
    return None


def not_a_figure():
    return mine
"""

EITHER = {"story": ("evaluation/retrieval.parquet", "evaluation/extrapolation.parquet")}
"""Tables of figures that need none of them, but have nothing to draw without any."""


def test_the_report_keeps_its_order() -> None:
    assert [declared.name for declared in declared_figures()] == [
        "story", "claims", "loss_by_position", "context_gain", "extensions", "retrieval", "retrieval_depth",
        "comparisons", "comparisons_hope", "attention_profile", "ushape_heads", "components", "activation",
        "intervention", "divergence", "kernel", "kernel_sizes", "kernel_sweep", "kernel_trained",
        "training_dynamics", "training_loss",
    ]  # fmt: skip


def test_a_new_file_comes_last_and_is_read_without_being_run(tmp_path: Path) -> None:
    (tmp_path / "zebra.py").write_text("raise SystemExit\n" + BLANK)
    (tmp_path / "training.py").write_text(BLANK.replace("mine", "first"))
    names = [(declared.name, declared.module) for declared in declared_figures(tmp_path)]
    assert names == [("first", "training"), ("mine", "zebra")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"Look here."', "LOOK", r"mine\.py:5: 'look' of figure 'mine' must be a literal"),
        (', alt="A thing."', "", r"mine\.py:5: figure 'mine' must have exactly alt, look, needs, title"),
        ('alt="A thing."', 'alt="A thing.", caption=""', "must have exactly"),
        ("def not_a_figure", '@figure(title="", look="", alt="", needs=())\ndef mine', "'mine' is declared already"),
    ],
)
def test_a_wrong_declaration_is_one_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BLANK.replace(old, new))
    with pytest.raises(UserError, match=words):
        declared_figures(tmp_path)


@pytest.mark.parametrize("declared", declared_figures(), ids=lambda declared: declared.name)
def test_words_are_sentences_and_the_caption_is_plain_text(declared) -> None:
    assert declared.look.endswith(".") and declared.alt.endswith(".") and not declared.title.endswith(".")
    html = publish_parts(declared.caption, writer="html", settings_overrides={"report_level": 1})["body"]
    assert html.startswith(f"<p><strong>{declared.title}.</strong>") and "problematic" not in html
    assert declared.alt.replace("<", "&lt;") in " ".join(html.split())


@pytest.mark.parametrize("declared", declared_figures(), ids=lambda declared: declared.name)
def test_a_figure_without_one_of_its_tables_is_drawn_and_empty(declared, new_study: Callable[..., Path]) -> None:
    study = new_study(seeds={"rope": 1, "hope": 1})
    needs = declared.needs or EITHER[declared.name]
    for table in needs:
        path = Path(table)
        for file in [*study.rglob(path.name)]:
            file.unlink()
    tables = StudyTables(study)
    assert draw_one(tables if declared.across else tables.arms["text"], declared.name).data.empty


def test_declarations_are_read_without_any_library() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['numpy', 'pandas', 'matplotlib', 'pydantic', 'yaml']);"
        "from hope.reporting.figures.declaration import declared_figures; assert len(declared_figures()) > 10"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
