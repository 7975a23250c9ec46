"""A user's own encoding in the workflow, whose file is not there."""

from tests.workflow.project import Project


def test_an_encoding_without_a_file_is_one_clear_line_before_anything_runs(project: Project) -> None:
    project.edit("tiny.yaml", "[rope, alibi]", "[rope, mine], definitions: {mine: {family: 'owl:Mine'}}")
    line = "definitions.mine.family: 'owl:Mine' names no module that Python finds from the project's root"
    done = project.snakemake()
    assert done.returncode != 0 and line in done.stdout and "Traceback" not in done.stdout
    run = project.reproduce()
    assert run.wait(60) == 1 and run.stdout.read() == f"hope: error: {line}\n"
    assert not project.results.exists()
