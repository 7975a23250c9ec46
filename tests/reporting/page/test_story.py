"""The opening of the report: one paragraph with the numbers of the tables, and one figure."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hope.reporting.figures.draw import draw_one, write_figure
from hope.reporting.page.claims import VERDICTS
from hope.reporting.page.write import write_report
from hope.reporting.story import not_learned, retrieval_arm, story, told_tasks
from hope.reporting.study_tables import StudyTables
from tests.reporting.finished import judged
from tests.reporting.make_study import RETRIEVAL, TEXT, with_retrieval
from tests.reporting.pages import Page, broken_joins

NUMBER = r"[+−-]?[\d.]+"
TEXT_ONLY = {"retrieval": {"tasks": []}, "mixture": {"share": 0.0, "tasks": {}}}


@pytest.fixture(scope="module")
def told(judged_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two arms with verdicts, the opening figure and a report."""
    return opened(shutil.copytree(judged_study, tmp_path_factory.mktemp("told") / "study"))


def opened(study: Path) -> Path:
    """Write the opening figure and the report of a study; return it."""
    write_figure(draw_one(StudyTables(study), "story"), study / "figures" / "story")
    write_report(study)
    return study


def html_of(study: Path) -> str:
    return (study / "report" / "index.html").read_text(encoding="utf-8")


def paragraph(study: Path) -> str:
    """Return the paragraph of the numbers."""
    (found,) = [block for block in Page(html_of(study)).blocks if "In brackets: the paired difference" in block]
    return found.replace("−", "-")


def only(table: pd.DataFrame, **values: Any) -> pd.Series:
    """Return the one row with these values; None stands for a missing one."""
    for column, value in values.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_the_numbers_of_the_paragraph_are_those_of_the_tables(told: Path) -> None:
    tables = {name: pd.read_csv(told / "tables" / f"{name}.csv") for name in ("comparisons", "retrieval", "losses")}
    said = paragraph(told)
    pair = {"encoding": "hope", "baseline": "rope", "multiple": 4.0, "depth": None, "extension": None}
    tasks = told_tasks(StudyTables(told).arms[RETRIEVAL])
    assert tasks and said.startswith("At prompts of 4L, ")
    for task in tasks:
        found = re.search(
            rf"{task}: hope ({NUMBER})% right, rope ({NUMBER})% right \(({NUMBER}) \[({NUMBER}), ({NUMBER})\]\)", said
        )
        assert found, task
        levels = [
            only(tables["retrieval"], arm=RETRIEVAL, task=task, multiple=4.0, depth=None, encoding=name)["accuracy"]
            for name in ("hope", "rope")
        ]
        assert [float(found[1]), float(found[2])] == pytest.approx([100 * level for level in levels], abs=0.51)
        row = only(tables["comparisons"], arm=RETRIEVAL, measure="accuracy", task=task, **pair)
        numbers = [float(found[place]) for place in (3, 4, 5)]
        assert numbers == pytest.approx(row[["estimate", "low", "high"]].tolist(), rel=6e-3, abs=6e-4)
    found = re.search(
        rf"Loss on text from 2L to 4L: hope ({NUMBER}) nats per token, rope ({NUMBER}) nats per token "
        rf"\(({NUMBER}) \[({NUMBER}), ({NUMBER})\]\)",
        said,
    )
    assert found
    levels = [
        only(tables["losses"], arm=TEXT, measure="octave_loss", multiple=4.0, extension=None, encoding=name)["estimate"]
        for name in ("hope", "rope")
    ]
    assert [float(found[1]), float(found[2])] == pytest.approx(levels, abs=0.0051)
    row = only(tables["comparisons"], arm=TEXT, measure="octave_loss", **pair)
    numbers = [float(found[place]) for place in (3, 4, 5)]
    assert numbers == pytest.approx(row[["estimate", "low", "high"]].tolist(), rel=6e-3, abs=6e-4)
    assert said.endswith("In brackets: the paired difference with its 95% interval.")
    assert broken_joins(html_of(told)) == []


def test_the_opening_has_the_chips_then_the_figure_then_the_paragraph(told: Path) -> None:
    html = html_of(told)
    opening = html.split("<main>")[0]
    claims = StudyTables(told).judged["claims"]
    chips = opening.split('<dl class="sum">')[1].split("</dl>")[0]
    for verdict in VERDICTS:
        named = [claim for claim in claims if claim["verdict"] == verdict]
        assert all(f'href="#claim-{claim["id"]}"' in chips for claim in named)
    assert chips.count("<a ") == len(claims) == 10
    places = [opening.index(part) for part in ('<dl class="sum">', 'id="figure-story"', "In brackets: the paired")]
    assert places == sorted(places) and html.count('id="figure-story"') == 1


def test_an_interval_that_ends_at_zero_is_an_interval(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry | {"low": 0.0} for entry in story(StudyTables(told))]
    monkeypatch.setattr("hope.reporting.page.write.story", lambda tables: entries)
    monkeypatch.setattr("hope.reporting.page.write.write_text", lambda path, text: written.append(text))
    written: list[str] = []
    write_report(told)
    assert "the paired difference with its 95% interval." in written[0]


def test_the_arm_of_tasks_alone_is_told_before_one_that_reads_text_too(told: Path) -> None:
    tables = StudyTables(told)
    arm = retrieval_arm(tables)
    assert arm is not None and arm.name == RETRIEVAL and not tables.arms[TEXT].read("retrieval").empty
    data = draw_one(tables, "story").data
    assert set(data.loc[data["measure"] == "accuracy", "arm"]) == {RETRIEVAL}
    assert list(dict.fromkeys(data["task"].dropna())) == told_tasks(arm)
    assert set(data.loc[data["measure"] == "loss", "arm"]) == {TEXT}
    drawn = pd.read_csv(told / "figures" / "story.csv")
    assert len(drawn) == len(data) and set(drawn["encoding"]) == set(tables.arms[TEXT].encodings)


def test_a_single_seed_shows_no_interval(new_study: Callable[..., Path]) -> None:
    seeds = {"rope": 1, "hope": 1}
    study = opened(judged(new_study(seeds=seeds, arms=with_retrieval(seeds, retrieval={"multiples": [1.0, 4.0]}))))
    assert {(entry["low"], entry["high"]) for entry in story(StudyTables(study))} == {(None, None)}
    said = paragraph(study)
    assert "Loss on text" in said and "[" not in said and "interval" not in said
    assert "figure-story" in html_of(study) and broken_joins(html_of(study)) == []
    reasons = [claim["reason"] for claim in StudyTables(study).judged["claims"]]
    assert any("single seed" in reason and " ".join(reason.split()) in Page(html_of(study)).text for reason in reasons)
    assert pd.read_csv(study / "figures" / "story.csv")[["low", "high"]].isna().all(axis=None)


def test_a_study_of_one_arm_without_retrieval_has_a_report(new_study: Callable[..., Path]) -> None:
    study = opened(judged(new_study(seeds={"rope": 2, "hope": 2}, **TEXT_ONLY)))
    assert [entry["measure"] for entry in story(StudyTables(study))] == ["octave_loss"]
    said, page = paragraph(study), Page(html_of(study))
    assert said.startswith("Loss on text from 2L to 4L: hope ") and "right" not in said
    assert set(pd.read_csv(study / "figures" / "story.csv")["measure"]) == {"loss"}
    assert page.loaded() == [] and page.broken_links(study / "report" / "index.html") == []
    assert broken_joins(html_of(study)) == []


def test_a_study_without_hope_has_no_paragraph(new_study: Callable[..., Path]) -> None:
    study = judged(new_study(seeds={"rope": 2, "alibi": 2}, **TEXT_ONLY))
    write_report(study)
    assert story(StudyTables(study)) == [] and "the paired difference" not in html_of(study)


def test_models_that_did_not_learn_a_task_are_named(told: Path) -> None:
    tables = StudyTables(told)
    arm = tables.arms[RETRIEVAL]
    entries = {(entry["task"], entry["encoding"]): entry for entry in not_learned(tables)}
    for task in told_tasks(arm):
        for encoding in arm.encodings:
            expected = []
            for seed in arm.seeds(encoding):
                rows = arm.of_model("retrieval", encoding, seed)
                if rows[(rows["task"] == task) & (rows["length"] == arm.length)]["accuracy"].mean() < 0.9:
                    expected.append(seed)
            entry = entries.get((task, encoding), {"seeds": [], "of": len(arm.seeds(encoding))})
            assert (entry["seeds"], entry["of"]) == (expected, len(arm.seeds(encoding)))
    assert entries and "They count with the accuracy that they reached." in html_of(told)
    assert broken_joins(html_of(told)) == []
