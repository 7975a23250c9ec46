"""Which GPUs a training gets, on machines that are made up."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hope.training.devices import CannotRunHere, claimed_device, installed_devices, spare_device, visible_devices

FOUR = [f"GPU-{letter * 8}" for letter in "abcd"]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, FOUR),
        ("", []),
        ("2,0", [FOUR[2], FOUR[0]]),
        (" 1 , 3 ", [FOUR[1], FOUR[3]]),
        ("GPU-bbbb", [FOUR[1]]),
        ("1,-1,2", [FOUR[1]]),
        ("1,9,2", [FOUR[1]]),
        ("GPU-unknown,0", []),
        ("MIG-1234/5", ["MIG-1234/5"]),
    ],
)
def test_the_environment_says_what_is_visible_as_cuda_reads_it(variable, expected):
    assert visible_devices(FOUR, variable) == expected


def test_a_beginning_of_several_identifiers_is_none():
    assert visible_devices(["GPU-ab1", "GPU-ab2"], "GPU-ab") == []


@given(st.lists(st.integers(0, 3), unique=True))
def test_numbers_are_places_in_the_driver_s_list(numbers):
    assert visible_devices(FOUR, ",".join(map(str, numbers))) == [FOUR[number] for number in numbers]


def test_processes_of_one_machine_get_different_devices_and_never_wait(tmp_path):
    with (
        claimed_device(FOUR, 0, tmp_path) as first,
        claimed_device(FOUR, 1, tmp_path) as second,
        claimed_device(FOUR, 0, tmp_path) as third,
        claimed_device(FOUR, 1, tmp_path) as fourth,
        claimed_device(FOUR, 3, tmp_path) as fifth,
    ):
        assert [first, second, third, fourth, fifth] == [*FOUR, None]
    with claimed_device(FOUR, 2, tmp_path) as free_again:
        assert free_again == FOUR[2]


def test_more_processes_than_devices_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    line = r"training.processes: 3 or more processes, but this machine shows 2 GPUs \(CUDA_VISIBLE_DEVICES=0,1\)"
    with pytest.raises(CannotRunHere, match=line):
        claimed_device(FOUR[:2], 2, tmp_path).__enter__()


def _hold(folder: Path, told: Connection) -> None:
    with claimed_device(FOUR[:1], 0, folder) as taken:
        told.send(taken)
        told.recv()


def test_a_device_is_free_again_when_its_holder_was_killed(tmp_path):
    here, there = multiprocessing.Pipe()
    holder = multiprocessing.Process(target=_hold, args=(tmp_path, there), daemon=True)
    holder.start()
    assert here.recv() == FOUR[0]
    with claimed_device(FOUR[:1], 0, tmp_path) as held:
        assert held is None
    holder.kill()
    holder.join()
    with claimed_device(FOUR[:1], 0, tmp_path) as free:
        assert free == FOUR[0]


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs an NVIDIA GPU")
def test_the_driver_s_devices_are_those_that_torch_sees():
    import torch

    names = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in range(torch.cuda.device_count())]
    assert names == visible_devices(installed_devices(), None)


@pytest.mark.parametrize("broken", [None, "nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetUUID"])
def test_a_driver_that_fails_has_no_devices(broken, monkeypatch):
    opened = []
    driver = {
        "nvmlInit": lambda: opened.append(1),
        "nvmlShutdown": lambda: opened.pop(),
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
    }

    def fail(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    for name, call in driver.items():
        monkeypatch.setattr(pynvml, name, fail if name == broken else call)
    assert installed_devices() == ([] if broken else ["GPU-0", "GPU-1"])
    assert not opened


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="needs a machine without an NVIDIA GPU")
def test_without_a_driver_there_are_none():
    assert installed_devices() == []


def test_measuring_takes_a_free_device_and_shares_one_where_none_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("hope.training.devices.installed_devices", lambda: FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with claimed_device(FOUR[1:3], 0, tmp_path), spare_device(tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == FOUR[2]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
        with spare_device(tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] in FOUR[1:3]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with spare_device(tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        assert not (tmp_path / f"{FOUR[3]}.lock").exists()
