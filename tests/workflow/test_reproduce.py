"""One command completes a study from wherever it was stopped."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.workflow.project import Project

MODELS = 4


def parts(command: int) -> tuple[psutil.Process, list[psutil.Process]]:
    """Return the workflow engine under a running command, and the trainers under that."""
    below = psutil.Process(command).children(recursive=True)
    (engine,) = [process for process in below if "snakemake" in process.cmdline()]
    return engine, [process for process in below if "train" in process.cmdline()]


def completes(project: Project, command: subprocess.Popen[str] | None = None) -> str:
    """Run to the end, and see that it was reached."""
    command = command or project.reproduce()
    output, _ = command.communicate(timeout=120)
    assert command.returncode == 0, output
    assert (project.results / "report" / "index.html").exists()
    return str(output)


def test_a_whole_run_refuses_another_beside_it_and_says_where_to_look(project: Project) -> None:
    first = project.reproduce(STAND_IN_SECONDS="4")
    project.wait_for_training()
    second = project.reproduce()
    refusal, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    (line,) = refusal.splitlines()
    assert f"held by process {first.pid} on " in line
    output = completes(project, first)
    page = project.results / "snakemake-report.html"
    assert f"report:          {(project.results / 'report' / 'index.html').as_uri()}" in output
    assert page.as_uri() in output
    assert "make ui STUDY=tiny" in output
    again = completes(project)
    assert "Nothing to be done" in again
    assert len([step for step, _ in project.calls() if step == "train"]) == MODELS


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["all", "command", "engine", "trainers"])
def test_a_run_killed_anywhere_is_completed(project: Project, killed: str) -> None:
    command = project.reproduce(STAND_IN_SECONDS="2")
    project.wait_for_training()
    engine, trainers = parts(command.pid)
    if killed in ("all", "engine"):
        engine.kill()
    if killed in ("all", "trainers"):
        for process in trainers:
            process.kill()
    if killed in ("all", "command"):
        command.kill()
    status = command.wait(timeout=60)
    # Trainers that were killed are tried again at once.
    assert status == {"trainers": 0, "engine": 128 + signal.SIGKILL}.get(killed, -signal.SIGKILL)
    output = completes(project)
    assert ("is at work in this folder; waiting for it to end" in output) == (killed == "command")
    # What was on its way is taken up again, once.
    assert len([step for step, _ in project.calls() if step == "train"]) == (
        MODELS if killed == "command" else MODELS + 2
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_soon(project: Project, number: signal.Signals) -> None:
    command = project.reproduce(STAND_IN_SECONDS="60")
    project.wait_for_training()
    engine, trainers = parts(command.pid)
    assert trainers
    if number == signal.SIGINT:
        os.killpg(command.pid, number)  # as the keyboard does
    else:
        command.send_signal(number)
    output, _ = command.communicate(timeout=20)
    assert command.returncode != 0
    assert not psutil.wait_procs([engine, *trainers], timeout=5)[1], "something is still running"
    assert "Traceback" not in output
    assert output.splitlines()[-1] == "stopped; to go on from here: make reproduce CONFIG=tiny.yaml"
    trained = [given["output"] for step, given in project.calls() if step == "train"]
    assert len(trained) == 2, "what was stopped is not tried again"


def test_no_folder_of_the_project_is_one_line(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    from hope.errors import UserError
    from hope.reproduce import reproduce

    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    before = os.getcwd()
    os.chdir(elsewhere)
    try:
        with pytest.raises(UserError, match="there is no Snakefile"):
            reproduce([], "1", [])
    finally:
        os.chdir(before)
