import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pandas import read_csv

from hope.errors import UserError
from hope.files import read_json, write_json
from hope.paths import StudyPaths, cost_file
from hope.reporting import words
from hope.reporting.figures.declaration import declared_figures
from hope.reporting.figures.draw import draw
from hope.reporting.page.claims import answer
from hope.reporting.page.records import STAGES, Records, reference_corpus
from hope.reporting.page.write import write_report
from hope.reporting.study_tables import StudyTables
from hope.tracking.provenance import code_digest
from tests.reporting.finished import ROOT, finished_study, judged
from tests.reporting.pages import Page, broken_joins


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def reported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its report, a notebook's page beside it."""
    study = tmp_path_factory.mktemp("reported") / "study"
    shutil.copytree(finished, study)
    (study / "report").mkdir()
    (study / "report" / "mine.html").write_text("<html><title>My &amp; mine</title></html>")
    write_report(study)
    return study


def page_of(study: Path) -> Page:
    return Page((study / "report" / "index.html").read_text(encoding="utf-8"))


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
    single = judged(new_study(seeds={"rope": 1, "hope": 1}))
    write_report(single)
    bare = new_study(seeds={"rope": 1}, corpus={"source": "files", "files": {"paths": ["a.txt"]}})
    for path in bare.rglob("*.json"):
        if path.name != "study.json":
            path.unlink()
    write_report(bare)
    for study in (reported, single, bare):
        assert broken_joins((study / "report" / "index.html").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["it is left <em>out</em> . It is", "done.. It", "a, . b", "is None tokens", "<code>x</code> ,", "so ( )"]
)
def test_a_broken_join_would_be_found(text: str) -> None:
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
    places.append(
        page.text.index("Loss at each position" if "Loss at each position" in page.text else "Loss by position")
    )
    places.append(page.text.index("Models and training"))
    assert places == sorted(places)


def test_it_can_be_read_by_everyone(reported: Path) -> None:
    page = page_of(reported)
    assert page.all("html")[0]["lang"] == "en"
    pictures = page.all("img")
    assert len(pictures) == len(declared_figures())
    assert all(picture["alt"].endswith(".") and picture["src"].startswith("data:image/svg") for picture in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels[:-1], levels[1:], strict=True))
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_figure_without_data_is_left_out(reported: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(reported, study)
    (study / "figures" / "text" / "extensions.csv").write_text("\n")
    write_report(study)
    ids = [attributes.get("id") for _, attributes in page_of(study).tags]
    assert "figure-text-extensions" not in ids and "figure-text-retrieval_depth" in ids


def test_encodings_that_coincide_are_named_so_and_counted_once(new_study: Callable[..., Path]) -> None:
    kept = {"family": "p_rope", "settings": {"p": 0.375}}  # three of eight components turn, as in HoPE
    study = judged(new_study(seeds={"rope": 2, "hope": 2, "kept": 2}, definitions={"kept": kept}))
    draw(study)
    write_report(study)
    text = " ".join(page_of(study).text.split())
    assert "The same as hope at these sizes" in text and "kept = hope" in text
    compared = read_csv(study / "tables" / "comparisons.csv")
    assert set(compared["encoding"]) == {"hope"} and set(compared["baseline"]) == {"rope"}
    assert set(read_csv(study / "figures" / "text" / "comparisons.csv")["encoding"]) == {"hope"}
    assert not (study / "figures" / "text" / "comparisons_hope.csv").read_text().strip()


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


def test_nothing_in_a_study_can_add_markup(new_study: Callable[..., Path]) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
    study = judged(new_study(report={"title": evil}))
    content = read_json(study / "claims.json")
    for claim in content["claims"]:
        for key in ("title", "statement", "reason", "note"):
            claim[key] = evil
        for part in claim["parts"]:
            part["statement"] = part["note"] = part["unit"] = evil
    write_json(study / "claims.json", content)
    (path,) = study.glob("data/*/corpus/corpus.json")
    write_json(path, read_json(path) | {"origin": {"python": evil}})
    write_report(study)
    page = page_of(study)
    assert page.all("script") == [] and page.all("img") == []
    assert page.text.count("<script>alert(1)</script>") > 20
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]


def test_results_of_other_code_are_marked_and_those_of_this_code_are_not(new_study: Callable[..., Path]) -> None:
    study = judged(new_study())
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


@pytest.mark.parametrize("reference", [{"python": "3.11.2", "digest": "b"}, [{"python": "3.11.2", "digest": "b"}]])
def test_a_corpus_is_compared_with_the_documented_one(reference: dict | list, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    mine = {"digest": "a", "origin": {"python": "3.13.1"}}
    assert reference_corpus(mine, "python_stdlib", path) == ""
    write_json(path, reference)
    said = reference_corpus(mine, "python_stdlib", path)
    assert "not the corpus" in said and "3.11.2" in said and "3.13.1" in said
    assert "to the byte" in reference_corpus(mine | {"digest": "b"}, "python_stdlib", path)
    assert reference_corpus(mine, "files", path) == ""


def test_a_study_that_is_not_judged_yet_has_a_report_that_says_so(new_study: Callable[..., Path]) -> None:
    study = new_study(seeds={"rope": 1})
    write_report(study)
    page = page_of(study)
    assert "No claim has been judged yet" in page.text
    assert page.loaded() == [] and page.broken_links(study / "report" / "index.html") == []


def test_the_cost_of_the_stages_is_the_sum_of_their_jobs(new_study: Callable[..., Path]) -> None:
    study = judged(new_study(seeds={"rope": 2, "hope": 1}))
    paths = StudyPaths(study)
    (key,) = {arm.data_key for arm in StudyTables(study).study.arms.values()}
    trained = zip((100.25, 200.5, 900.0), (300, 700, 500), strict=True)
    for run, (seconds, megabytes) in zip(StudyTables(study).study.runs(), trained, strict=True):
        record = paths.run(*run).model / "run.json"
        took = {"processor_seconds": seconds, "peak_memory_bytes": megabytes * 2**20}
        write_json(record, read_json(record) | took)
    for file, stage, seconds, megabytes in (
        (cost_file(paths.corpus(key), "prepare-corpus"), "prepare-corpus", 3.0, 90),
        (cost_file(paths.report, "notebook", "theory"), "notebook", 20.0, 410),
        (cost_file(paths.report, "notebook", "attention"), "notebook", 31.0, 400),
        (cost_file(paths.tables, "judge"), "judge", 7.0, 1250),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"stage": stage, "processor_seconds": seconds, "peak_memory_bytes": megabytes * 2**20})
    # A record that lacks a time counts as a job that took none.
    costs = {row["stage"]: row for row in Records(StudyTables(study)).costs()}
    assert costs["notebooks"]["jobs"] == 2 and costs["training"]["jobs"] == 3
    assert costs["retrieval"]["jobs"] == 3 and costs["retrieval"]["processor_seconds"] == 0
    write_report(study)
    text = " ".join(page_of(study).blocks).split("What each stage took")[1].split("Training, means")[0]
    for row in (
        "corpus 1 3 90 MB",
        "training 3 1,201 700 MB",
        "notebooks 2 51 410 MB",
        "tables and verdicts 1 7 1,250 MB",
    ):
        assert row in text, row
    jobs = sum(row["jobs"] for row in costs.values())
    assert jobs == len(Records(StudyTables(study)).all) + 4
    assert f"in all {jobs} 1,262 1,250 MB" in text


def test_a_single_seed_leaves_the_claims_about_methods_open(new_study: Callable[..., Path]) -> None:
    study = judged(new_study(seeds={"rope": 1, "hope": 1}))
    write_report(study)
    assert "a single seed cannot tell encodings from chance" in page_of(study).text


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "No claim has been judged yet."),
        (["supported"], "The one claim under test: one is supported, none contradicted and none left open."),
        (
            ["supported", "contradicted", "inconclusive", "supported"],
            "Of the four claims under test, two are supported, one contradicted and one left open.",
        ),
    ],
)
def test_the_answer_counts_the_verdicts(verdicts: list[str], expected: str) -> None:
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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0712, "−0.0712"), (1234.5, "1,234"), (3.14159, "3.14"), (float("nan"), "–"), (2e-9, "2.00e−09")],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert words.number(value) == text


def test_an_interval_has_the_decimals_of_its_larger_end() -> None:
    assert words.interval(-0.812, -0.7369, -0.775) == "[−0.812, −0.737]"
    assert words.interval(-0.02341, 12.3, 5.0) == "[−0.0, 12.3]"
    assert words.interval(None, 1.0) == words.interval(float("nan"), 1.0) == ""


def test_thresholds_say_which_side_counts() -> None:
    assert words.threshold({"direction": "lower", "smallest_effect": 0.01}) == "asks for −0.01 or lower"
    assert words.threshold({"direction": "higher", "smallest_effect": 0.05}) == "asks for +0.05 or more"
    assert words.threshold({"direction": "lower", "margin": 0.01}) == "allows +0.01"
    assert words.threshold({"direction": "equal", "margin": 0.02}) == "allows ±0.02"
