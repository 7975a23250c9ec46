"""Trainings started as a user starts them, but for the imports, which all of them share."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from hope import config
from tests.conftest import ROOT, tiny_arm


def train_flags(stage: config.TrainStage, data: Path, folder: Path) -> list[str]:
    """Return the arguments of a training below ``folder``."""
    paths = {"data": data, "output": folder / "model", "checkpoints": folder / "checkpoints"}
    return ["train", "--settings", config.to_json(stage), *(f"--{name}={path}" for name, path in paths.items())]


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights of the model that was trained below ``folder``."""
    return load_file(folder / "model" / "model.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Return whether two models have the same weights to the last bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def with_training(stage: config.TrainStage, **over: object) -> config.TrainStage:
    """Return ``stage`` with other settings of the training."""
    return stage.model_copy(update={"training": stage.training.model_copy(update=over)})


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.0005)


@dataclass
class Run:
    """A running ``python -m hope``, with all that it prints in a file."""

    process: int
    log: Path
    server: "Preloaded"
    status: int | None = None

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    @property
    def errors(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("hope: error: ")]

    def wait(self) -> int:
        """Return its exit status, a signal's number as a negative one."""
        if self.status is None:
            self.status = int(self.server.ask({"wait": self.process})["status"])
        return self.status

    def send(self, number: int) -> None:
        os.kill(self.process, number)


@dataclass
class Preloaded:
    """Starts commands from a process with everything imported."""

    folder: Path
    runs: list[Run] = field(default_factory=list)
    process: subprocess.Popen = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.preloaded"],
            cwd=ROOT,
            env={**os.environ, "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while not self._answer().get("ready"):
            pass

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the preloaded process has ended"
        # What an import prints is no answer.
        return json.loads(line) if line.startswith("{") else {}

    def ask(self, request: dict) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def start(self, *arguments: str, **environment: str) -> Run:
        log = self.folder / f"{len(self.runs)}.log"
        found = self.ask({"arguments": list(arguments), "log": str(log), "environment": environment})
        self.runs.append(Run(found["process"], log, self))
        return self.runs[-1]

    def end_all(self) -> None:
        """Kill what a failed test has left running, which would slow all others."""
        for run in self.runs:
            if run.status is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    for process in [*psutil.Process(run.process).children(recursive=True), psutil.Process(run.process)]:
                        process.kill()
                run.wait()

    def train(self, stage: config.TrainStage, data: Path, folder: Path, **environment: str) -> Run:
        """Start a training."""
        return self.start(*train_flags(stage, data, folder), **environment)

    def train_together(self, stage: config.TrainStage, data: Path, folder: Path, **environment: str) -> list[Run]:
        """Start all processes of a training, as torchrun does."""
        port, world = str(free_port()), stage.training.world
        meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
        meeting["TORCHELASTIC_RUN_ID"] = "test"
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
        return [self.train(stage, data, folder, **meeting, **rank, **environment) for rank in ranks]

    def trained_together(self, stage: config.TrainStage, data: Path, folder: Path, **environment: str) -> list[Run]:
        """Train to the end with several processes, or with one."""
        if stage.training.world == 1:
            return [self.trained(stage, data, folder, **environment)]
        runs = self.train_together(stage, data, folder, **environment)
        for run in runs:
            assert run.wait() == 0, run.output
        return runs

    def trained(self, stage: config.TrainStage, data: Path, folder: Path, **environment: str) -> Run:
        """Train to the end."""
        run = self.train(stage, data, folder, **environment)
        assert run.wait() == 0, run.output
        return run


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Return what starts trainings at once."""
    found = Preloaded(tmp_path_factory.mktemp("logs"))
    yield found
    assert found.process.stdin is not None
    found.process.stdin.close()
    found.process.wait(30)


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what a test has left running."""
    yield
    if "preloaded" in request.fixturenames:
        request.getfixturevalue("preloaded").end_all()


@pytest.fixture(scope="session")
def stage(tiny_files: Path) -> config.TrainStage:
    """Return a training of twelve steps, of HoPE with seed 1."""
    return tiny_arm(tiny_files).train_stage("hope", 1)


@pytest.fixture(scope="session")
def undisturbed(
    preloaded: Preloaded, stage: config.TrainStage, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of that training, done."""
    folder = tmp_path_factory.mktemp("undisturbed")
    preloaded.trained(stage, tiny_data, folder)
    return folder


def kill(run: Run) -> None:
    """Kill a command and everything that it has started, at once."""
    os.killpg(run.process, signal.SIGKILL)
    run.wait()
