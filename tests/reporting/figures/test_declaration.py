"""A figure is declared where it is drawn, and everything else reads that declaration."""

import shutil
import subprocess
import sys
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
        "training_dynamics", "training_loss", "documents",
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
        ("def not_a_figure", '@figure(title="", look="", alt="", needs=())\ndef mine', "'mine' is declared twice"),
    ],
)
def test_a_wrong_declaration_is_one_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BLANK.replace(old, new))
    with pytest.raises(UserError, match=words):
        declared_figures(tmp_path)


def test_words_are_sentences_and_the_caption_is_plain_text() -> None:
    for declared in declared_figures():
        assert declared.look.endswith(".") and declared.alt.endswith(".") and not declared.title.endswith(".")
        html = publish_parts(declared.caption, writer="html", settings_overrides={"report_level": 1})["body"]
        assert html.startswith(f"<p><strong>{declared.title}.</strong>") and "problematic" not in html
        assert declared.alt.replace("<", "&lt;") in " ".join(html.split())


def test_a_figure_without_one_of_its_tables_is_drawn_and_empty(judged_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(judged_study, tmp_path / "study")
    for declared in declared_figures():
        needed = [Path(table).name for table in declared.needs or EITHER[declared.name]]
        hidden = [path.rename(f"{path}.hidden") for name in needed for path in study.rglob(name)]
        tables = StudyTables(study)
        assert hidden and draw_one(tables if declared.across else tables.arms["text"], declared.name).data.empty
        for path in hidden:
            path.rename(path.with_suffix(""))


def test_declarations_are_read_without_any_library() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['numpy', 'pandas', 'matplotlib', 'pydantic', 'yaml']);"
        "from hope.reporting.figures.declaration import declared_figures; assert len(declared_figures()) > 10"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
