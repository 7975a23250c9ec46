"""What a process is to a training, by what started it; and hostfiles."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hope import config
from hope.training.devices import CannotRunHere
from hope.training.topology import (
    FIRST_PORT,
    FROM_ENVIRONMENT,
    PORTS,
    ProcessRole,
    brought_in,
    find_role,
    first_host,
    read_hostfile,
    slurm_meeting,
)


def settings(**over: object) -> config.Training:
    return config.Training.model_validate({"batch_windows": 8, **over})


SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
PORT = FIRST_PORT + 4711 * 31 % PORTS


def test_alone_on_a_node_it_stands_for_all_processes():
    assert find_role(settings(), {}) == ProcessRole(0, 1, 1, whole_node=True)
    assert find_role(settings(processes=4), {}) == ProcessRole(0, 4, 4, whole_node=True)


def test_torchrun_gives_rank_and_world():
    environment = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert find_role(settings(processes=2, nodes=2), environment) == ProcessRole(3, 1, 4, 1, FROM_ENVIRONMENT)


def test_srun_with_a_task_a_process():
    assert find_role(settings(processes=2, nodes=2), SLURM) == ProcessRole(3, 1, 4, 1, f"gpu07:{PORT}")


def test_srun_with_a_task_a_node():
    environment = SLURM | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    role = find_role(settings(processes=4, nodes=2), environment)
    assert role == ProcessRole(4, 4, 8, 0, f"gpu07:{PORT}", whole_node=True)


def test_one_task_within_a_slurm_job_is_a_plain_process():
    environment = SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    assert find_role(settings(processes=2), environment) == ProcessRole(0, 2, 2, whole_node=True)
    # In a batch script the job's own variables stand, but no step's.
    script = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert find_role(settings(processes=2), script) == ProcessRole(0, 2, 2, whole_node=True)


def test_several_nodes_have_to_be_brought_in():
    assert find_role(settings(nodes=2, hostfile="hosts"), {}) is None
    assert find_role(settings(nodes=2), {"SLURM_JOB_ID": "1"}) is None
    with pytest.raises(CannotRunHere, match=r"training.nodes: 2 nodes, but nothing says which"):
        find_role(settings(nodes=2), {})


@pytest.mark.parametrize(
    ("environment", "origin"),
    [({"RANK": "0", "WORLD_SIZE": "4"}, "WORLD_SIZE is 4"), (SLURM, "srun's number of tasks is 4")],
)
def test_a_launcher_that_disagrees_with_the_config_is_refused(environment, origin):
    with pytest.raises(CannotRunHere, match=rf"2 x 1 processes \(nodes x processes\), but {origin}"):
        find_role(settings(nodes=2), environment)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("localhost", "localhost"),
        ("gpu07,gpu09", "gpu07"),
        ("gpu[007-012,020],login", "gpu007"),
        ("r[1-2]n[05,08-09]", "r1n05"),
        ("n[3]-ib,n4-ib", "n3-ib"),
    ],
)
def test_the_first_host_of_slurm_s_lists(nodes, expected):
    assert first_host(nodes) == expected


@given(st.integers(1, 10**8), st.integers(0, 1000))
def test_ports_of_slurm_steps_lie_below_the_system_s_own_and_differ_between_neighbours(job, step):
    def port(job: int, step: int) -> int:
        found = {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step), "SLURM_JOB_NODELIST": "n1"}
        return int(slurm_meeting(found).removeprefix("n1:"))

    assert 1024 < port(job, step) < 32_768
    assert len({port(job, step), port(job, step + 1), port(job + 1, step)}) == 3


def test_an_address_that_is_given_comes_first():
    assert slurm_meeting(SLURM | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "7"}) == "10.0.0.1:7"


def test_a_hostfile_is_a_host_a_line(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("# ours\nfirst slots=4\n\nsecond  # the other\n", encoding="utf-8")
    assert read_hostfile(path, settings(nodes=2, processes=4)) == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("one\n", "1 hosts, but training.nodes is 2"),
        ("one slots=8\ntwo\n", "'one slots=8': expected slots=2"),
    ],
)
def test_a_hostfile_that_does_not_fit_is_one_line(text, words, tmp_path):
    path = tmp_path / "hosts"
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(CannotRunHere, match=words):
        read_hostfile(path, settings(nodes=2, processes=2))


def fake_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a command on PATH that takes an ssh command line and runs its last word on this machine."""
    ssh = folder / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n', encoding="utf-8")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_other_nodes_are_told_where_to_meet_whatever_the_words_hold(tmp_path, monkeypatch):
    fake_ssh(tmp_path, monkeypatch)
    monkeypatch.setenv("NCCL_DEBUG", 'it\'s "quoted" $HOME')
    code = (
        "import json, os, sys; names = ('HOPE_NODE', 'MASTER_ADDR', 'MASTER_PORT', 'NCCL_DEBUG');"
        "told = json.dumps([os.getcwd(), sys.argv[1:], [os.environ[name] for name in names]]);"
        "print(told, file=open(sys.argv[1], 'w'))"
    )
    words = [str(tmp_path / "told"), '{"a": "b\'c $HOME"}']
    with brought_in(["here", "there"], "here:1234", [sys.executable, "-c", code, *words]) as nodes:
        assert list(nodes) == ["there"]
        assert nodes["there"].wait(30) == 0
    assert json.loads((tmp_path / "told").read_text()) == [
        os.getcwd(),
        words,
        ["1", "here", "1234", 'it\'s "quoted" $HOME'],
    ]


def test_other_nodes_end_with_the_block(tmp_path, monkeypatch):
    fake_ssh(tmp_path, monkeypatch)
    with brought_in(["here", "there"], "here:1234", ["sleep", "100"]) as nodes:
        assert nodes["there"].poll() is None
    assert nodes["there"].poll() is not None
    with pytest.raises(subprocess.TimeoutExpired), brought_in(["here", "a", "b"], "here:1", ["sleep", "100"]) as nodes:
        nodes["b"].wait(0.01)
    assert {process.poll() is None for process in nodes.values()} == {False}
