"""What a user sees when something is wrong."""

from tests.workflow.project import Project

LINE = "corpus: nothing in it; name another"


def test_a_wrong_key_is_one_line(project: Project) -> None:
    project.edit("tiny.yaml", "study: tiny", "study: tiny\ntrainig: {tokens: 5}")
    done = project.snakemake()
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "trainig" in line]
    assert len(lines) == 1
    assert lines[0].startswith("config.yaml + tiny.yaml: unknown key 'trainig' (did you mean 'training'?)")
    assert "Traceback" not in done.stdout
    assert len(done.stdout.splitlines()) < 10

    command = project.reproduce()
    output, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    (only,) = output.splitlines()
    assert "unknown key 'trainig' (did you mean 'training'?)" in only


def test_a_missing_corpus_file_is_one_line_before_anything_runs(project: Project) -> None:
    project.edit("tiny.yaml", "study: tiny", "study: tiny\ncorpus: {source: files, files: {paths: [nowhere]}}")
    done = project.snakemake()
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if "'nowhere'" in line]
    assert "Traceback" not in done.stdout
    assert not (project.root / "calls.txt").exists()


def test_a_failed_job_shows_its_line_and_keeps_nothing_half_made(project: Project) -> None:
    done = project.snakemake(STAND_IN_FAILS="tokenize")
    assert done.returncode != 0
    assert f"hope: error: {LINE}" in done.stdout.splitlines()
    assert "Traceback" not in done.stdout
    assert not list((project.results / "data").glob("python_stdlib-*/*/manifest.json"))


def test_documents_too_short_stop_before_any_training(project: Project) -> None:
    command = project.reproduce(STAND_IN_FAILS="check-lengths", STAND_IN_SECONDS="30")
    output, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "train" not in [step for step, _ in project.calls()]
    last = output.splitlines()[-3:]
    assert last[0] == "The study is not complete."
    assert last[1].endswith(f"check_lengths/text.log: {LINE}")


def test_a_training_that_fails_is_tried_again_as_often_as_configured(project: Project) -> None:
    project.edit("tiny.yaml", "arms:", "training: {retries: 1}\narms:")
    done = project.snakemake("--until", "train_text", STAND_IN_FAILS="train")
    assert done.returncode != 0
    trained = [given["output"] for step, given in project.calls() if step == "train"]
    assert max(trained.count(output) for output in trained) == 2
