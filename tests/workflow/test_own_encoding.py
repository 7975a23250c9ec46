"""A user's own encoding in the workflow: a change of its file trains it anew, and it alone."""

import os
import time

from tests.workflow.project import Project


def test_a_changed_file_of_an_encoding_trains_that_one_anew(project: Project) -> None:
    own = project.root / "own.py"
    own.write_text("slope = 1\n", encoding="utf-8")
    project.edit("tiny.yaml", "[rope, alibi]", "[rope, mine], definitions: {mine: {family: 'own:Mine'}}")
    done = project.snakemake("--until", "train_text")
    assert done.returncode == 0, done.stdout
    assert project.planned("--until", "train_text") == {}
    later = time.time() + 100
    os.utime(own, (later, later))
    assert project.planned("--until", "train_text") == {}
    own.write_text("slope = 2\n", encoding="utf-8")
    assert project.planned("--until", "train_text") == {"train_text": 2}


def test_an_encoding_without_a_file_is_one_clear_line_before_anything_runs(project: Project) -> None:
    project.edit("tiny.yaml", "[rope, alibi]", "[rope, mine], definitions: {mine: {family: 'owl:Mine'}}")
    line = "definitions.mine.family: 'owl:Mine' names no module that Python finds from the project's root"
    done = project.snakemake()
    assert done.returncode != 0 and line in done.stdout and "Traceback" not in done.stdout
    run = project.reproduce()
    assert run.wait(60) == 1 and run.stdout.read() == f"hope: error: {line}\n"
    assert not project.results.exists()
