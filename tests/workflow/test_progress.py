"""One line on a whole study, and what is printed when it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hope import reproduce
from hope.errors import UserError
from hope.paths import StudyPaths
from hope.progress import JOB_SECONDS, Progress, growing_trainings, planned_jobs, resumed_share
from hope.reproduce import _explain, verdict_lines
from tests.conftest import ROOT

TABLE = """Using shell: /usr/bin/bash
Job stats:
job                 count
----------------  -------
all                     1
prepare_corpus          1
train_text              2
train_retrieval         2
write_report            1
total                   7

Select jobs to execute...
"""
JOBS = {"prepare_corpus": 1, "train_text": 2, "train_retrieval": 2, "write_report": 1}
MEASURED = {"text": (80.0, 15.0), "retrieval": (30.0, 15.0)}


def finished(*rules: str) -> str:
    return "".join(f"Finished jobid: {number} (Rule: {rule})\n" for number, rule in enumerate(rules))


def test_the_plan_is_read_from_the_log_once_it_is_whole() -> None:
    assert planned_jobs(TABLE) == JOBS
    assert planned_jobs(TABLE.partition("total")[0].partition("train_text")[0]) == {}
    assert planned_jobs("") == {}


def test_a_rule_may_be_named_after_any_arm() -> None:
    progress = Progress(cores=1)
    table = TABLE.replace("train_text     ", "train_my-arm.2 ")
    progress.read(table + finished("train_my-arm.2"), {})
    assert progress.jobs == {"prepare_corpus": 1, "train_my-arm.2": 2, "train_retrieval": 2, "write_report": 1}
    assert progress.done == {"train_my-arm.2": 1}


def test_shares_and_time_left_follow_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(cores=2, started=now)
    assert progress.seconds_left is None
    progress.read(TABLE, {})
    assert progress.seconds_left is None, "nothing is measured, nothing is done"
    progress.measured = MEASURED
    work = 2 * (100 + 50) + 2 * JOB_SECONDS
    assert progress.work == work and progress.seconds_left == pytest.approx(work / 2)
    progress.read(TABLE + finished("prepare_corpus", "train_text", "all"), {Path("retrieval/rope-seed0.log"): 0.5})
    done = JOB_SECONDS + 100 + 0.5 * 50
    assert progress.share == pytest.approx(done / work)
    now += done / 2  # as fast as was expected
    assert progress.seconds_left == pytest.approx((work - done) / 2)
    slow = Progress(cores=2, measured=MEASURED, started=now - 2 * done)
    slow.read(TABLE + finished("prepare_corpus", "train_text"), {})
    assert slow.seconds_left > (work - done) / 2
    assert progress.line == " 42%, 2 of 6 jobs, 1 of 4 models trained, 1 training (50%), about 90 s left"
    progress.read(TABLE + finished(*(rule for rule, count in JOBS.items() for _ in range(count))), {})
    assert progress.share == 1.0 and progress.seconds_left == 0.0


def test_only_logs_that_grow_count(tmp_path: Path) -> None:
    seen: dict[Path, str] = {}
    log = tmp_path / "a.log"
    log.write_text("resumed at step 1 of 4, from 2 processes with 1\nstep 2 of 4 \nlive metrics are late\nstep 3 of 4")
    assert growing_trainings(tmp_path, seen) == {log: 0.5}
    assert growing_trainings(tmp_path, seen) == {}
    assert resumed_share(log) == 0.25


def test_a_training_is_shown_until_its_job_has_ended(tmp_path: Path) -> None:
    log, seen, progress = tmp_path / "text" / "rope-seed0.log", {}, Progress(cores=1)
    log.parent.mkdir()

    def read(line: str, text: str = TABLE) -> list[float]:
        log.write_text(f"{line}\n")
        progress.read(text, growing_trainings(tmp_path, seen))
        return list(progress.running.values())

    assert read("step 1 of 4 ") == [0.25]
    assert read("step 1 of 4 ") == [0.25], "its steps are slow"
    failed = f"{TABLE}Error in rule train_text:\n    jobid: 3\n    log: {log} (check log file(s) for error details)\n"
    assert read("step 1 of 4 ", failed) == []
    assert read("step 2 of 4 ", failed) == [0.5], "it is tried again"
    assert read("step 4 of 4 ", failed) == []


def test_what_a_resumed_training_had_done_says_nothing_about_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    log = tmp_path / "text" / "rope-seed0.log"
    log.parent.mkdir()
    log.write_text("resumed at step 900 of 1000\n")
    table = "Job stats:\ntrain_text  1\ntotal  1\n"
    progress = Progress(cores=1, measured={"text": (36_000 - JOB_SECONDS, 0.0)}, started=now)
    now = 20.0
    progress.read(table, {log: 0.9})
    assert progress.share == 0.9 and progress.seconds_left == pytest.approx(3600)
    now = 1800.0  # as fast as was expected
    progress.read(table, {log: 0.95})
    assert progress.seconds_left == pytest.approx(1800)
    now = 3600.0  # half as fast
    assert 1800 < progress.seconds_left <= 3600
    progress.measured = {}
    assert progress.seconds_left == pytest.approx(3600)


def test_the_verdicts_are_a_table(tmp_path: Path) -> None:
    part = {"id": "at", "estimate": 0.5, "low": 0.25, "high": 0.75, "unit": "nats", "holm_p": 0.062}
    part |= {"direction": "higher", "smallest_effect": 0.1, "margin": None}
    claim = {"id": "1", "title": "U-shape", "verdict": "inconclusive", "numbers_of": "at", "parts": [part]}
    content = {"claims": [claim], "correction": {"method": "Holm", "endpoints": 18}}
    (tmp_path / "claims.json").write_text(json.dumps(content))
    lines = verdict_lines(tmp_path / "claims.json")
    assert lines == [
        "claim           verdict       effect",
        "1      U-shape  inconclusive  +0.500 [0.250, 0.750]",
        "       nats; asks for +0.1 or more; p 0.062",
        "Verdicts and p include Holm's correction over 18 endpoints; intervals do not.",
    ]
    assert max(map(len, lines)) <= 80
    assert len(verdict_lines(tmp_path / "none.json")) == 1


@pytest.mark.parametrize("arm", ["text", "my-arm.2"])
@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("step 1\nhope: error: corpus: nothing in it; name another\n", "corpus: nothing in it; name another"),
        ("Traceback (most recent call last):\n  File\nKeyError: 'x'\n", "KeyError: 'x' (the traceback is there)"),
        (
            "step 1\n",
            "it ended without an error of its own; if nobody stopped it, the machine's memory was full",
        ),
    ],
)
def test_a_failure_is_told_with_what_fits_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str, reason: str, arm: str
) -> None:
    paths = StudyPaths(tmp_path)
    paths.logs.mkdir()
    job = paths.logs / "train.log"
    job.write_text(log)
    (paths.logs / "snakemake.log").write_text(
        f"Error in rule train_{arm}:\n    jobid: 3\n    log: {job} (check log file(s) for details)\n"
    )
    _explain(paths, "make reproduce")
    assert capsys.readouterr().out == (
        f"\nThe study is not complete.\n{job}: {reason}\n"
        "Once that is mended, the same command goes on from here: make reproduce\n"
    )


@pytest.mark.parametrize(
    ("overlays", "cores", "rest", "command"),
    [
        ([], "all", [], "make reproduce"),
        (["my study.yaml"], "all", [], "make reproduce CONFIG='my study.yaml'"),
        (
            ["a.yaml", "my study.yaml"],
            "all",
            [],
            "python -m hope reproduce --configfile a.yaml 'my study.yaml' --cores all",
        ),
        ([], "2", ["-k"], "python -m hope reproduce --cores 2 -- -k"),
    ],
)
def test_the_command_that_goes_on_is_the_one_that_was_given(
    overlays: list[str], cores: str, rest: list[str], command: str
) -> None:
    assert reproduce._command([Path(name) for name in overlays], cores, rest) == command


def test_only_snakemake_itself_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snakemake").write_text("import time; time.sleep(60)")
    commands = ([sys.executable, "snakemake"], ["sh", "-c", "sleep 60; true", "snakemake"])
    started = [subprocess.Popen(command) for command in commands]
    try:
        assert reproduce._engine() == started[0].pid
        started[0].kill()
        started[0].wait()
        assert reproduce._engine() is None
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture
def concluded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Stand in for snakemake in a folder of the project; the studies whose report is written are listed."""
    done: list[Path] = []
    monkeypatch.setattr(reproduce, "_snakemake", lambda *_: reproduce._Ended(0, False))
    monkeypatch.setattr(reproduce, "_wait_for_engines", lambda: None)
    monkeypatch.setattr(reproduce, "_conclude", lambda paths, *_: done.append(paths.root) or 0)
    for name in ("config.yaml", "Snakefile", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return done


@pytest.mark.parametrize(
    "rest", [["--config", "study=other"], ["-k", "--configfile=x.yaml"], ["-C", "a=1"], ["my.yaml"]]
)
def test_options_that_would_run_another_study_are_refused(concluded: list[Path], rest: list[str]) -> None:
    with pytest.raises(UserError, match="would run another study than this one; give it as --configfile"):
        reproduce.reproduce([], "1", ["--", *rest])
    assert concluded == []


def test_ctrl_c_during_the_last_report_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "_snakemake", lambda *_: reproduce._Ended(130, True))
    assert reproduce._conclude(StudyPaths(tmp_path), [], "make reproduce") == 130
    assert capsys.readouterr().out == "stopped; to go on from here: make reproduce\n"


def test_a_line_on_a_terminal_takes_the_place_of_the_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    display = reproduce._Display(StudyPaths(tmp_path), [], Progress(1))
    display._print("x" * 50, passing=True)
    display._print("done")
    assert capsys.readouterr().out == f"\r\x1b[2K{'x' * 19}\r\x1b[2Kdone\n"


@pytest.mark.parametrize("option", ["-n", "-np", "-qn", "--dry-run", "--dryrun", "--summary", "--list-rules"])
def test_a_run_that_makes_nothing_ends_without_a_report(concluded: list[Path], option: str) -> None:
    assert reproduce.reproduce([], "1", ["--", option]) == 0
    assert concluded == []


@pytest.mark.parametrize(("option", "reports"), [("-np", 0), ("-k", 1), ("--notemp", 1)])
def test_a_whole_study_is_reported_after_options_too(concluded: list[Path], option: str, reports: int) -> None:
    root = Path("results/default")
    (root / "report").mkdir(parents=True)
    for name in ("claims.json", "report/index.html"):
        (root / name).touch()
    assert reproduce.reproduce([], "1", ["--", option]) == 0
    assert concluded == [root] * reports
