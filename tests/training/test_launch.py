"""Trainings of several processes: torchrun's agents, DeepSpeed's launcher, Slurm, and the lock of a training."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hope import config
from hope.files import exclusive_lock, lock_holder, read_json
from hope.training import launch
from hope.training.devices import CannotRunHere
from tests.conftest import ROOT
from tests.training.conftest import Preloaded, free_port, kill, train_flags, until, with_training
from tests.training.test_worlds import assert_near


@pytest.fixture
def pair(stage: config.TrainStage) -> config.TrainStage:
    return with_training(stage, processes=2, zero_stage=2)


def assert_trained(folder: Path, expected: Path) -> None:
    assert_near(folder, expected)
    assert read_json(folder / "model" / "run.json")["stage"] == "train"
    assert [path.suffix for path in (folder / "checkpoints").iterdir()] == [".lock"]


def test_several_processes_train_to_the_curve_of_one(preloaded: Preloaded, pair, tiny_data, tmp_path, undisturbed):
    # What another launcher has left in a shell is no launcher.
    left_over = {"RANK": "5", "WORLD_SIZE": "8", "MASTER_PORT": "no number"}
    preloaded.trained(pair, tiny_data, tmp_path, **left_over)
    assert_trained(tmp_path, undisturbed)


def test_two_agents_that_meet_over_loopback_are_two_nodes(
    preloaded: Preloaded, stage, tiny_data, tmp_path, undisturbed
):
    two = with_training(stage, nodes=2, zero_stage=1)
    meeting = f"--rendezvous=127.0.0.1:{free_port()}"
    nodes = [preloaded.start(*train_flags(two, tiny_data, tmp_path), meeting) for _ in range(2)]
    assert [node.wait() for node in nodes] == [0, 0], [node.output for node in nodes]
    assert_trained(tmp_path, undisturbed)


@pytest.mark.slow
def test_torchrun_by_hand(pair, tiny_data, tmp_path, undisturbed):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    done = subprocess.run(
        [*command, "-m", "hope", *train_flags(pair, tiny_data, tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert_trained(tmp_path, undisturbed)


# Runs on this machine what pdsh would run on each host.
PDSH = """#!/bin/sh
while [ "$1" != -w ]; do shift; done
shift 2
for node in 0 1; do sh -c "$(echo "$*" | sed "s/%n/$node/g")" & jobs="$jobs $!"; done
status=0
for job in $jobs; do wait "$job" || status=$?; done
exit $status
"""


@pytest.mark.slow
def test_the_nodes_of_a_hostfile(preloaded: Preloaded, stage, tiny_data, tmp_path, undisturbed):
    pdsh = tmp_path / "bin" / "pdsh"
    pdsh.parent.mkdir()
    pdsh.write_text(PDSH, encoding="utf-8")
    pdsh.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("# ours\nlocalhost slots=1\n127.0.0.1 slots=1\n", encoding="utf-8")
    two = with_training(stage, nodes=2, hostfile=str(hosts), zero_stage=1)
    preloaded.trained(two, tiny_data, tmp_path, PATH=f"{pdsh.parent}:/usr/bin:/bin")
    assert_trained(tmp_path, undisturbed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("one slots=2\n", "1 hosts, but training asks for 2 nodes with 2 processes"),
        ("one slots=8\ntwo slots=2\n", "one has 8 slots, but training asks for 2 nodes with 2 processes"),
        ("one slots=two\n", "write one line per node, 'HOST slots=N'"),
        ("one slots=2\ntwo slots=2\n", "needs pdsh"),
    ],
)
def test_a_hostfile_that_cannot_be_used_is_one_line(text, words, stage, tmp_path, monkeypatch):
    path = tmp_path / "hosts"
    if text:
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("PATH", "")
    job = launch.Job(with_training(stage, nodes=2, processes=2, hostfile=str(path)), tmp_path, tmp_path, tmp_path, "")
    with pytest.raises(CannotRunHere, match=words):
        launch._run_processes(job)


def test_a_slurm_job_starts_one_agent_per_node(stage, tiny_data, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(launch, "_call", lambda command: commands.append(command) or 0)
    two = with_training(stage, nodes=2, processes=2)
    with pytest.raises(CannotRunHere, match="training.nodes: 2 nodes, but nothing defines which"):
        launch.launch(launch.Job(two, tiny_data, tmp_path / "model", tmp_path, ""))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with pytest.raises(CannotRunHere, match="ended without an error, but"):
        launch.launch(launch.Job(two, tiny_data, tmp_path / "model", tmp_path, ""))
    ((srun, *words),) = commands
    assert srun == "srun" and {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} < set(words)
    host, port = words[-1].removeprefix("--rendezvous=").split(":")
    assert host == socket.gethostname() and 1024 <= int(port) < 65_536
    settings = next(word.removeprefix("--settings=") for word in words if word.startswith("--settings="))
    assert config.from_json(config.TrainStage, Path(settings).read_text(encoding="utf-8")) == two


def test_a_launcher_with_another_number_of_processes_is_refused(preloaded: Preloaded, stage, tiny_data, tmp_path):
    run = preloaded.train(stage, tiny_data, tmp_path, TORCHELASTIC_RUN_ID="1", RANK="0", WORLD_SIZE="2", LOCAL_RANK="0")
    assert run.wait() == 1
    assert "1 x 1 processes (nodes x processes), but the launcher started 2; make them agree" in run.errors[0]


def test_damaged_data_is_named_and_not_taken_for_a_lock(preloaded: Preloaded, stage, tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    documents = data / "train" / "documents.bin"
    documents.write_bytes(documents.read_bytes()[:-1] + b"x")
    run = preloaded.train(stage, data, tmp_path)
    assert run.wait() == 1
    remedy = f"delete the folder {documents.parent} and run the study again"
    assert run.errors == [f"hope: error: {documents}: altered since it was written; {remedy}"]


def test_processes_that_find_the_lock_held_end_and_their_starter_waits(
    preloaded: Preloaded, pair, tiny_data, tmp_path, monkeypatch
):
    job = launch.Job(pair, tiny_data, tmp_path / "model", tmp_path / "checkpoints", "")
    with exclusive_lock(job.lock, wait=False):
        runs = preloaded.train_together(pair, tiny_data, tmp_path)
        assert [run.wait() for run in runs] == [launch.HELD, launch.HELD]
        assert [run.output for run in runs] == ["", ""]
        starter = preloaded.train(pair, tiny_data, tmp_path)
        until(lambda: f"held by process {os.getpid()} on" in starter.output)
        starter.send(signal.SIGKILL)
        starter.wait()
    statuses = [launch.HELD, launch.HELD, 0]
    monkeypatch.setattr(launch, "_run_processes", lambda job: statuses.pop(0))
    monkeypatch.setattr(launch.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(launch.Job, "is_done", True)
    assert not launch.launch(job)
    assert not statuses


def test_killing_the_starter_leaves_the_lock_with_the_trainer(preloaded: Preloaded, pair, tiny_data, tmp_path):
    longer = with_training(pair, tokens=256 * 20_000)
    run = preloaded.train(longer, tiny_data, tmp_path)
    until(lambda: list(tmp_path.glob("checkpoints/*/heartbeat.json")))
    trainer = read_json(next(tmp_path.glob("checkpoints/*/heartbeat.json")))["process"]
    (lock,) = tmp_path.glob("checkpoints/*.lock")
    kill(run)
    assert trainer != run.process and lock_holder(lock) == f"process {trainer} on {socket.gethostname()}"
    os.kill(trainer, signal.SIGTERM)
    until(lambda: lock_holder(lock) is None)
    assert list(tmp_path.glob("checkpoints/*/step-*"))


def test_a_failure_is_reported_once_by_the_first_process(preloaded: Preloaded, pair, tiny_data, tmp_path):
    hopeless = with_training(pair, learning_rate=1e30, clip=1e30, warmup_steps=0)
    errors = []
    for _ in range(2):
        first, second = preloaded.train_together(hopeless, tiny_data, tmp_path)
        assert (first.wait(), second.wait()) == (1, 1)
        assert second.errors == []
        errors += first.errors
    assert len(errors) == 2 and len(set(errors)) == 1, "the second attempt ends with the noted failure"


def test_a_process_that_was_killed_is_named(preloaded: Preloaded, pair, tiny_data, tmp_path):
    run = preloaded.train(with_training(pair, tokens=256 * 20_000), tiny_data, tmp_path)
    until(lambda: list(tmp_path.glob("checkpoints/*/heartbeat.json")))
    os.kill(read_json(next(tmp_path.glob("checkpoints/*/heartbeat.json")))["process"], signal.SIGKILL)
    assert run.wait() == 1
    assert "process 0 of the training was ended by SIGKILL; if nobody did that, the machine's memory" in run.errors[-1]


def test_a_training_that_is_done_is_not_started_again(preloaded: Preloaded, pair, tiny_data, tmp_path):
    preloaded.trained_together(pair, tiny_data, tmp_path)
    curve = pq.read_table(tmp_path / "model" / "history.parquet")
    first, second = preloaded.trained_together(pair, tiny_data, tmp_path)
    assert first.output == f"{tmp_path / 'model'}: trained already\n" and second.output == ""
    assert pq.read_table(tmp_path / "model" / "history.parquet").equals(curve)


def test_nodes_that_do_not_meet_are_one_line(stage, tiny_data, tmp_path, monkeypatch):
    from torch.distributed.elastic.rendezvous import RendezvousConnectionError
    from torch.distributed.launcher import api

    def no_answer(*_: object, **__: object) -> None:
        raise RendezvousConnectionError("the connection has failed")

    monkeypatch.setattr(api, "launch_agent", no_answer)
    with pytest.raises(CannotRunHere, match="the nodes cannot meet at nowhere:1 .the connection has failed."):
        launch.launch(
            launch.Job(with_training(stage, nodes=2), tiny_data, tmp_path / "model", tmp_path, ""), "nowhere:1"
        )
