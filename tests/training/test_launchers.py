"""Trainings that several commands make up: torchrun, Slurm's srun, and the nodes of a hostfile."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hope import config
from hope.files import exclusive_lock, read_json
from hope.training.topology import FIRST_PORT, PORTS
from tests.conftest import ROOT
from tests.training.conftest import Preloaded, Run, free_port, train_flags, until, weights, with_training


def slurm(rank: int, tasks: int, per_node: int) -> dict[str, str]:
    """Return what srun tells task ``rank``."""
    # A job whose port is free: the number is Slurm's to give, the port follows from it.
    found = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": str(tasks),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank % per_node),
    }
    return found


@pytest.fixture
def pair(stage: config.TrainStage) -> config.TrainStage:
    return with_training(stage, processes=2, zero_stage=2)


def assert_trained(folder: Path, expected: Path) -> None:
    there = weights(expected)
    for name, found in weights(folder).items():
        np.testing.assert_allclose(found, there[name], atol=2e-4, err_msg=name)
    assert read_json(folder / "model" / "run.json")["stage"] == "train"
    assert [path.suffix for path in (folder / "checkpoints").iterdir()] == [".lock"]


def start_slurm(preloaded: Preloaded, stage: config.TrainStage, data: Path, folder: Path, **more: str) -> list[Run]:
    settings = stage.training
    tasks = settings.world
    return [
        preloaded.train(stage, data, folder, **slurm(rank, tasks, settings.processes), **more) for rank in range(tasks)
    ]


def test_srun_s_tasks_find_each_other(preloaded, pair, tiny_data, tmp_path, undisturbed):
    runs = start_slurm(preloaded, pair, tiny_data, tmp_path, MASTER_PORT=str(free_port()))
    assert [run.wait() for run in runs] == [0, 0], [run.output for run in runs]
    assert_trained(tmp_path, undisturbed)
    assert runs[1].output == "", "the first process speaks for all"


def test_a_port_that_is_taken_is_one_line(preloaded, pair, tiny_data, tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = preloaded.train(pair, tiny_data, tmp_path, **slurm(0, 2, 2), MASTER_PORT=str(port))
        assert run.wait() == 1
    (line,) = run.errors
    assert f"cannot meet at localhost:{port}" in line and line.endswith("set MASTER_PORT to a free port")
    assert FIRST_PORT + PORTS < 32_768


def test_the_first_process_alone_waits_for_the_lock_and_the_others_for_its_word(
    preloaded, pair, tiny_data, tmp_path, undisturbed
):
    first = start_slurm(preloaded, pair, tiny_data, tmp_path, MASTER_PORT=str(free_port()))
    assert [run.wait() for run in first] == [0, 0]
    (lock,) = (tmp_path / "checkpoints").glob("*.lock")
    with exclusive_lock(lock, wait=False):
        second = start_slurm(preloaded, pair, tiny_data, tmp_path, MASTER_PORT=str(free_port()))
        until(lambda: "waiting for it to end" in second[0].output)
        assert second[1].output == ""
    assert [run.wait() for run in second] == [0, 0]
    assert "trained already" in second[0].output and second[1].output == ""
    assert_trained(tmp_path, undisturbed)


def test_a_failure_before_the_start_ends_all_and_is_told_once(preloaded, pair, tiny_data, tmp_path):
    hopeless = with_training(pair, learning_rate=1e30, clip=1e30, warmup_steps=0)
    first = start_slurm(preloaded, hopeless, tiny_data, tmp_path, MASTER_PORT=str(free_port()))
    assert [run.wait() for run in first] == [1, 1]
    again = start_slurm(preloaded, hopeless, tiny_data, tmp_path, MASTER_PORT=str(free_port()))
    assert [run.wait() for run in again] == [1, 1]
    assert again[0].errors == first[0].errors and again[1].output == ""


def test_a_launcher_with_another_number_of_processes_is_refused(preloaded, stage, tiny_data, tmp_path):
    run = preloaded.train(stage, tiny_data, tmp_path, **slurm(0, 2, 2))
    assert run.wait() == 1
    assert "1 x 1 processes (nodes x processes), but srun's number of tasks is 2; make them agree" in run.errors[0]


def test_torchrun_itself(pair, tiny_data, tmp_path, undisturbed):
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


def test_the_nodes_of_a_hostfile(preloaded, stage, tiny_data, tmp_path, undisturbed):
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    # Stands in for ssh: what the other node would run, it runs here.
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n', encoding="utf-8")
    ssh.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=1\nelsewhere slots=1\n", encoding="utf-8")
    two = with_training(stage, nodes=2, hostfile=str(hosts), zero_stage=1)
    preloaded.trained(two, tiny_data, tmp_path, PATH=f"{ssh.parent}:/usr/bin:/bin")
    assert_trained(tmp_path, undisturbed)


def test_a_node_that_cannot_be_reached_is_one_line(preloaded, stage, tiny_data, tmp_path):
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\necho 'ssh: no route to host' >&2\nexit 255\n", encoding="utf-8")
    ssh.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost\nelsewhere\n", encoding="utf-8")
    run = preloaded.train(
        with_training(stage, nodes=2, hostfile=str(hosts)), tiny_data, tmp_path, PATH=f"{ssh.parent}:/usr/bin:/bin"
    )
    assert run.wait() == 1
    (line,) = run.errors
    assert "training.hostfile: elsewhere ended with status 255" in line
    assert not list((tmp_path / "checkpoints").glob("*.failed.json")), "it may be reached the next time"
