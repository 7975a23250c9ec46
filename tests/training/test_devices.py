"""Which GPUs a training gets, on machines that are made up."""

import ctypes
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hope.training.devices import CannotRunHere, claimed_devices, installed_devices, visible_devices

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


def test_trainings_on_one_machine_get_disjoint_devices(tmp_path):
    with (
        claimed_devices(1, FOUR, tmp_path, None) as first,
        claimed_devices(2, FOUR, tmp_path, None) as second,
        claimed_devices(1, FOUR, tmp_path, None) as third,
    ):
        assert [*first, *second, *third] == FOUR
        with pytest.raises(CannotRunHere, match=r"^0 of 1 GPUs are free; .*held by process \d+ on \S+"):
            claimed_devices(1, FOUR, tmp_path, None).__enter__()
    with claimed_devices(4, FOUR, tmp_path, None) as all_again:
        assert all_again == FOUR


def test_too_few_free_ones_are_left_to_others(tmp_path):
    with claimed_devices(3, FOUR, tmp_path, None):
        with pytest.raises(CannotRunHere, match="1 of 2 GPUs are free"):
            claimed_devices(2, FOUR, tmp_path, None).__enter__()
        with claimed_devices(1, FOUR, tmp_path, None) as left:
            assert left == FOUR[3:]


def test_more_processes_than_devices_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    line = r"training.processes: 3 processes, but this machine shows 2 GPUs \(CUDA_VISIBLE_DEVICES=0,1\)"
    with pytest.raises(CannotRunHere, match=line):
        claimed_devices(3, FOUR[:2], tmp_path).__enter__()


def _hold(count: int, folder: Path, told: Connection) -> None:
    def say(line: str) -> None:
        told.send(("waits", line))

    with claimed_devices(count, FOUR, folder, say, 0.01) as taken:
        told.send(("has", taken))
        told.recv()


def _start(count: int, folder: Path) -> tuple[multiprocessing.Process, Connection]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_hold, args=(count, folder, there), daemon=True)
    process.start()
    return process, here


def test_a_waiting_training_gets_the_devices_of_one_that_was_killed(tmp_path):
    holder, first = _start(3, tmp_path)
    assert first.recv() == ("has", FOUR[:3])
    waiter, second = _start(2, tmp_path)
    kind, line = second.recv()
    assert kind == "waits" and f"held by process {holder.pid} on " in line and line.endswith("; waiting")
    holder.kill()
    holder.join()
    assert second.recv() == ("has", FOUR[:2])
    second.send("end")
    waiter.join()
    assert waiter.exitcode == 0


def test_many_at_once_never_share_a_device_and_all_get_theirs(tmp_path):
    started = [_start(count, tmp_path) for count in (2, 1, 3, 4, 1, 2, 3, 1)]
    held: dict[int, list[str]] = {}
    waiting = set(range(len(started)))
    deadline = time.monotonic() + 60
    while waiting:
        assert time.monotonic() < deadline, "some never get theirs"
        for number in list(waiting):
            told = started[number][1]
            while number in waiting and told.poll(0.002):
                kind, value = told.recv()
                if kind == "has":
                    held[number] = value
                    waiting.remove(number)
        taken = [name for names in held.values() for name in names]
        assert len(set(taken)) == len(taken), held
        for number in list(held):
            # Taken out of the account before it is let go of.
            del held[number]
            started[number][1].send("end")
    for process, _ in started:
        process.join()
        assert process.exitcode == 0


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs an NVIDIA GPU")
def test_the_driver_s_devices_are_those_that_torch_sees():
    import torch

    names = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in range(torch.cuda.device_count())]
    assert names == visible_devices(installed_devices(), None)


class Driver:
    """A management library that knows two devices, or fails in one of its functions."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.open = broken, 0

    def __getattr__(self, name: str):
        def call(*arguments: object) -> int:
            if name == self.broken:
                return 999
            if name == "nvmlInit_v2":
                self.open += 1
            if name == "nvmlShutdown":
                self.open -= 1
            if name == "nvmlDeviceGetCount_v2":
                arguments[0]._obj.value = 2  # type: ignore[attr-defined]
            if name == "nvmlDeviceGetHandleByIndex_v2":
                arguments[1]._obj.value = 1000 + arguments[0]  # type: ignore[attr-defined,operator]
            if name == "nvmlDeviceGetUUID":
                handle, text, length = arguments
                text.value = f"GPU-{handle.value - 1000}".encode()  # type: ignore[attr-defined]
                assert length == 96
            return 0

        return call


def test_the_driver_is_asked_for_identifiers(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert installed_devices() == ["GPU-0", "GPU-1"]
    assert driver.open == 0


@pytest.mark.parametrize(
    "broken", ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"]
)
def test_a_driver_that_fails_has_no_devices(broken, monkeypatch):
    driver = Driver(broken)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert installed_devices() == []
    assert driver.open == 0


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="needs a machine without an NVIDIA GPU")
def test_without_a_driver_there_are_none():
    assert installed_devices() == []
