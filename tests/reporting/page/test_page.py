import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pandas import read_csv

from hope import words
from hope.config import Report, Tracking, parse_study
from hope.config.default import default_study
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.paths import StudyPaths, cost_file
from hope.reporting import effects
from hope.reporting.figures.declaration import study_figures
from hope.reporting.figures.draw import draw_one
from hope.reporting.page.claims import answer
from hope.reporting.page.records import STAGES, Records, reference_corpus
from hope.reporting.page.write import _is_default, write_report
from hope.reporting.study_tables import StudyTables
from hope.tracking.provenance import code_digest
from tests.reporting.finished import ROOT, judged
from tests.reporting.make_study import settings
from tests.reporting.pages import Page, broken_joins


@pytest.fixture(scope="module")
def reported(judged_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its report: figures are stubs, that of extensions has no data; a notebook's page lies beside it."""
    study = shutil.copytree(judged_study, tmp_path_factory.mktemp("reported") / "study")
    for declared, arm in study_figures(StudyTables(study).study):
        for suffix, text in ((".svg", "<svg/>"), (".png", ""), (".csv", "x\n1\n")):
            path = study / "figures" / arm / f"{declared.name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (study / "figures" / "text" / "extensions.csv").write_text("\n")
    (study / "report").mkdir()
    (study / "report" / "mine.html").write_text("<html><title>My &amp; mine</title></html>")
    write_report(study)
    return study


def html_of(study: Path) -> str:
    return (study / "report" / "index.html").read_text(encoding="utf-8")


def page_of(study: Path) -> Page:
    return Page(html_of(study))


def test_the_page_loads_nothing_and_every_link_leads_somewhere(reported: Path) -> None:
    page = page_of(reported)
    assert page.loaded() == []
    assert page.all("script") == [] and page.all("iframe") == []
    assert page.broken_links(reported / "report" / "index.html") == []


def test_a_page_that_loads_something_would_be_found() -> None:
    bad = (
        '<img src="https://a/b.png"><script src="x.js"></script><link rel="stylesheet" href="//c">'
        "<style>@import 'd.css'; p { background: url(http://e) }</style><p style='background: url(f.png)'>"
        '<meta http-equiv="refresh" content="0; url=g"><a href="https://fine">h</a><a href="gone.csv">i</a>'
    )
    assert len(Page(bad).loaded()) == 7
    assert Page(bad).broken_links(Path("page.html")) == ["gone.csv"]


def test_no_sentence_of_a_report_is_joined_wrongly(reported: Path, new_study: Callable[..., Path]) -> None:
    assert broken_joins(html_of(reported)) == []
    bare = new_study(seeds={"rope": 1}, corpus={"source": "files", "files": {"paths": ["a.txt"]}})
    for path in bare.rglob("*.json"):
        if path.name != "study.json":
            path.unlink()
    write_report(bare)
    assert broken_joins(html_of(bare)) == []
    # A study that is not judged has a report that says so.
    page = page_of(bare)
    assert "No claim has been judged yet" in page.text
    assert page.loaded() == [] and page.broken_links(bare / "report" / "index.html") == []


def test_a_broken_join_would_be_found() -> None:
    for text in ("it is <em>out</em> . It", "done.. It", "a, . b", "is None tokens", "<code>x</code> ,", "so ( )"):
        assert len(broken_joins(f"<p>{text}</p><p>Fine (Chen et al., 2025): 1.5, [−0.1, 2.0].</p>")) == 1


def test_the_answer_and_all_verdicts_come_before_everything_else(reported: Path) -> None:
    page, claims = page_of(reported), read_json(reported / "claims.json")["claims"]
    found = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in ("supported", "contradicted")}
    assert len(claims) == 10
    sentence = f"Of the {words.small(len(claims))} claims under test, {words.small(found['supported'])} are supported"
    places = [page.text.index(sentence)]
    for claim in claims:
        places.append(page.text.index(f"{claim['id']}. {claim['title']}"))
        assert claim["verdict"] in page.text[places[-1] : places[-1] + 150]
        for said in (claim["statement"], claim["reason"]):
            assert " ".join(said.split()) in page.text
    places.append(page.text.index("Loss by position"))
    places.append(page.text.index("Models and training"))
    assert places == sorted(places)


def test_it_can_be_read_by_everyone(reported: Path) -> None:
    page = page_of(reported)
    assert page.all("html")[0]["lang"] == "en"
    pictures = page.all("img")
    assert len(pictures) == len(study_figures(StudyTables(reported).study)) - 1
    assert all(picture["alt"].endswith(".") and picture["src"].startswith("data:image/svg") for picture in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels[:-1], levels[1:], strict=True))
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "figure-text-extensions" not in ids and "figure-text-retrieval_depth" in ids


def test_encodings_that_coincide_are_named_so_and_counted_once(new_study: Callable[..., Path]) -> None:
    kept = {"family": "p_rope", "settings": {"p": 0.375}}  # three of eight components turn, as in HoPE
    tasks = {"retrieval": {"tasks": []}, "mixture": {"share": 0.0, "tasks": {}}}
    study = judged(new_study(seeds={"rope": 2, "hope": 2, "kept": 2}, definitions={"kept": kept}, **tasks))
    write_report(study)
    text = page_of(study).text
    assert "The same as hope at these sizes" in text and "kept = hope" in text
    compared = read_csv(study / "tables" / "comparisons.csv")
    assert set(compared["encoding"]) == {"hope"} and set(compared["baseline"]) == {"rope"}
    arm = StudyTables(study).arms["text"]
    assert set(draw_one(arm, "comparisons").data["encoding"]) == {"hope"}
    assert draw_one(arm, "comparisons_hope").data.empty


def test_evidence_names_files_that_exist(reported: Path) -> None:
    for claim in read_json(reported / "claims.json")["claims"]:
        assert all((reported / path).exists() for path in claim["evidence"])
    text = page_of(reported).text
    assert "evaluation/text/hope/seed*/extrapolation.parquet" in text and "tables/endpoints.parquet" in text


def test_method_cost_and_provenance_are_told(reported: Path) -> None:
    text = page_of(reported).text
    for said in (
        "2 layers, width 32, 2 heads of 16 dimensions",
        "20,480 tokens in 40 steps of 8 windows of 64 tokens",
        "3 of 8",  # components that turn
        "No number on this page is the paper's",
        "My & mine",
        "torch 2.13.0",
        "a" * 64,  # the corpus's digest
        read_json(reported / "claims.json")["claims_sha256"],
        "snakemake --cores all --configfile study.json",
    ):
        assert said in text, said


def test_nothing_in_a_study_can_add_markup(judged_study: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
    study = shutil.copytree(judged_study, tmp_path / "study")
    config = read_json(study / "study.json")
    write_json(study / "study.json", config | {"report": config["report"] | {"title": evil}})
    content = read_json(study / "claims.json")
    for claim in content["claims"]:
        claim |= dict.fromkeys(("title", "statement", "reason", "note"), evil)
        for part in claim["parts"]:
            part |= dict.fromkeys(("statement", "note", "unit"), evil)
    write_json(study / "claims.json", content)
    for path in study.glob("data/*/corpus/corpus.json"):
        write_json(path, read_json(path) | {"origin": {"python": evil}})
    write_report(study)
    page = page_of(study)
    assert page.all("script") == [] and page.all("img") == []
    assert page.text.count("<script>alert(1)</script>") > 20
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]


def test_results_of_other_code_are_marked_and_those_of_this_code_are_not(judged_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(judged_study, tmp_path / "study")
    records = [path for path in study.rglob("*.json") if "code" in json.loads(path.read_text())]
    assert len(records) == len(Records(StudyTables(study)).all) > 20
    for path in records:
        write_json(path, (content := read_json(path)) | {"code": code_digest(content["stage"])})
    write_report(study)
    assert not [attributes for _, attributes in page_of(study).tags if "stale" in attributes.get("class", "").split()]
    changed = study / "evaluation" / "text" / "hope" / "seed1" / "extrapolation.json"
    write_json(changed, read_json(changed) | {"code": "f" * 64})
    write_report(study)
    page = page_of(study)
    assert f"1 of {len(records)} results were made by other code" in page.text
    assert "--forcerun evaluate_extrapolation" in page.text
    marked = page.text.split("made by older code")
    assert len(marked) == 3  # claims 6 and 7 rest on it
    assert marked[0].rstrip().endswith("6. Extrapolation") and marked[1].rstrip().endswith("7. No price in the window")


def test_the_rules_that_are_named_exist() -> None:
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for _, rules in STAGES.values():
        for rule in rules:
            per_arm = rule.endswith("_") and f'f"{rule}{{ARM}}"' in text
            assert per_arm or f"rule {rule}:" in text or f" as {rule} with:" in text


def test_a_corpus_is_compared_with_the_documented_one(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    mine = {"digest": "a", "origin": {"python": "3.13.1"}}
    assert reference_corpus(mine, "python_stdlib", path) == ""
    write_json(path, {"python": "3.11.2", "digest": "b"})
    said = reference_corpus(mine, "python_stdlib", path)
    assert "not the corpus" in said and "3.11.2" in said and "3.13.1" in said
    assert "to the byte" in reference_corpus(mine | {"digest": "b"}, "python_stdlib", path)
    assert reference_corpus(mine, "files", path) == ""


def test_the_cost_of_the_stages_is_the_sum_of_their_jobs(judged_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(judged_study, tmp_path / "study")
    paths, tables = StudyPaths(study), StudyTables(study)
    for number, run in enumerate(tables.study.runs()):
        record = paths.run(*run).model / "run.json"
        took = {"processor_seconds": 100.25 + number, "peak_memory_bytes": (300 + number) * 2**20}
        write_json(record, read_json(record) | took)
    models = number + 1
    for file, stage, seconds, megabytes in (
        (cost_file(paths.corpus(tables.arms["text"].arm.data_key), "prepare-corpus"), "prepare-corpus", 3.0, 90),
        (cost_file(paths.report, "notebook", "theory"), "notebook", 20.0, 410),
        (cost_file(paths.report, "notebook", "attention"), "notebook", 31.0, 400),
        (cost_file(paths.tables, "judge"), "judge", 7.0, 1250),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"stage": stage, "processor_seconds": seconds, "peak_memory_bytes": megabytes * 2**20})
    records = Records(StudyTables(study))
    costs = {row["stage"]: row for row in records.costs()}
    # A record that lacks a time counts as a job that took none.
    assert costs["retrieval"]["jobs"] == models and costs["retrieval"]["processor_seconds"] == 0
    write_report(study)
    text = " ".join(page_of(study).blocks).split("Cost of each stage")[1].split("Training, means")[0]
    trained = 100.25 * models + sum(range(models))
    for row in (
        "corpus 1 3 90 MB",
        f"training {models} {trained:,.0f} {300 + models - 1} MB",
        "notebooks 2 51 410 MB",
        "tables and verdicts 1 7 1,250 MB",
        f"in all {len(records.all) + 4} {trained + 61:,.0f} 1,250 MB",
    ):
        assert row in text, row


def test_the_answer_counts_the_verdicts() -> None:
    for verdicts, expected in (
        ([], "No claim has been judged yet."),
        (["supported"], "The one claim under test: one is supported, none contradicted and none inconclusive."),
        (
            ["supported", "contradicted", "inconclusive", "supported", "inconclusive", "supported"],
            "Of the six claims under test, three are supported, one contradicted and two inconclusive.",
        ),
    ):
        assert answer([{"verdict": verdict} for verdict in verdicts]) == expected


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        write_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_reporting_does_without_torch() -> None:
    code = (
        "import sys, hope.reporting.page.write, hope.reporting.articles.notebooks, hope.reporting.articles.article;"
        "assert not {'torch', 'deepspeed', 'mlflow', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_numbers_are_written_for_people() -> None:
    texts = {0.0: "0", -0.0712: "−0.0712", 1234.5: "1,234", 3.14159: "3.14", float("nan"): "–", 2e-9: "2.00e−09"}
    assert {value: words.number(value) for value in texts} == texts


def test_an_interval_has_the_decimals_of_its_larger_end() -> None:
    assert words.interval(-0.812, -0.7369, -0.775) == "[−0.812, −0.737]"
    assert words.interval(-0.02341, 12.3, 5.0) == "[0.0, 12.3]"
    assert words.interval(None, 1.0) == words.interval(float("nan"), 1.0) == ""


def test_thresholds_say_which_side_counts() -> None:
    assert effects.threshold({"direction": "lower", "smallest_effect": 0.01}) == "asks for −0.01 or lower"
    assert effects.threshold({"direction": "higher", "smallest_effect": 0.05}) == "asks for +0.05 or more"
    assert effects.threshold({"direction": "lower", "margin": 0.01}) == "allows +0.01"
    assert effects.threshold({"direction": "equal", "margin": 0.02}) == "allows ±0.02"


def test_only_the_default_study_is_made_again_without_a_config() -> None:
    default = default_study()
    assert _is_default(parse_study(default.model_dump(mode="json", by_alias=True), "study.json"))
    assert _is_default(default.model_copy(update={"tracking": Tracking(live=False)}))
    assert not _is_default(settings({"rope": 1}, study=default.study))
    assert not _is_default(default.model_copy(update={"report": Report(confidence=0.9)}))
