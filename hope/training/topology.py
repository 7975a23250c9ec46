"""Which processes make up a training, and which of them this one starts.

Four ways lead to the same training: this process starts all of them itself (one node); a launcher such as
torchrun has started one process a rank; Slurm's ``srun`` has; or this process is the first of several
nodes, and brings the others in, by ``srun`` within a Slurm job or by ``ssh`` to the nodes of a hostfile.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hope import config
from hope.training.devices import CannotRunHere

FROM_ENVIRONMENT = "env://"
"""Meeting place of the processes that torchrun has started: PyTorch finds it in the environment."""
NODE = "HOPE_NODE"
"""Number of a node that the first one has brought in."""
PASSED_ON = ("NCCL_", "GLOO_", "HOPE_", "OMP_", "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
"""Beginnings of environment variables that the nodes of a hostfile get from the first one."""
FIRST_PORT, PORTS = 15_000, 15_000
"""Ports that Slurm jobs meet at: below those that the system itself gives out."""


@dataclass(frozen=True)
class ProcessRole:
    """What this process is to a training.

    Attributes:
        first: rank of the first process that it stands for.
        here: how many processes it stands for: with one it is that process itself, else it starts them.
        world: processes of the training in all.
        local: number, on this node, of the first process that it stands for.
        meeting: where the processes meet: ``HOST:PORT``, :data:`FROM_ENVIRONMENT`, or empty where all of them
            are started here.
        whole_node: whether it stands for all processes of this node, and so chooses their devices; else the
            launcher that started it has.
    """

    first: int
    here: int
    world: int
    local: int = 0
    meeting: str = ""
    whole_node: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process decides, for all others, if and when the training starts."""
        return self.first == 0


def find_role(settings: config.Training, environment: Mapping[str, str] = os.environ) -> ProcessRole | None:
    """Return what this process is to the training, or None where it has yet to bring in other nodes.

    Raises:
        CannotRunHere: the launcher that started this process made another number of processes than the
            config asks for, or the config asks for several nodes and nothing says which.
    """
    nodes, per_node = settings.nodes, settings.processes
    if "RANK" in environment and "WORLD_SIZE" in environment:
        world = int(environment["WORLD_SIZE"])
        _check_world(world, settings, "WORLD_SIZE")
        rank = int(environment["RANK"])
        return ProcessRole(rank, 1, world, int(environment.get("LOCAL_RANK", rank % per_node)), FROM_ENVIRONMENT)
    if NODE in environment:
        meeting = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
        return ProcessRole(int(environment[NODE]) * per_node, per_node, nodes * per_node, 0, meeting, True)
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS") or 1)
    if tasks > 1:
        rank, local = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
        if tasks == nodes and per_node > 1:
            return ProcessRole(rank * per_node, per_node, nodes * per_node, 0, slurm_meeting(environment), True)
        _check_world(tasks, settings, "srun's number of tasks")
        return ProcessRole(rank, 1, tasks, local, slurm_meeting(environment))
    if nodes == 1:
        return ProcessRole(0, per_node, per_node, whole_node=True)
    if settings.hostfile is None and "SLURM_JOB_ID" not in environment:
        raise CannotRunHere(
            f"training.nodes: {nodes} nodes, but nothing says which; name them in training.hostfile, "
            "or start within a Slurm job or under torchrun"
        )
    return None


def _check_world(world: int, settings: config.Training, origin: str) -> None:
    if world != settings.nodes * settings.processes:
        raise CannotRunHere(
            f"training.processes: {settings.nodes} x {settings.processes} processes (nodes x processes), but "
            f"{origin} is {world}; make them agree"
        )


def slurm_meeting(environment: Mapping[str, str]) -> str:
    """Return where the tasks of a Slurm step meet: its first node, at a port that the step's number gives.

    ``MASTER_ADDR`` and ``MASTER_PORT`` take their place where they are set.
    """
    host = first_host(environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"])
    job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID") or 0)
    # Steps of one job, and jobs that follow one another, are given ports that differ.
    port = FIRST_PORT + (job * 31 + step) % PORTS
    return f"{environment.get('MASTER_ADDR', host)}:{environment.get('MASTER_PORT', port)}"


def first_host(nodes: str) -> str:
    """Return the first host of a list as Slurm writes it, such as ``gpu[007-012,020],login``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0] if first else nodes)


def read_hostfile(path: Path, settings: config.Training) -> list[str]:
    """Return the hosts of a hostfile: a name a line, with ``slots=N`` behind it if one likes.

    Raises:
        CannotRunHere: it is missing, or does not fit ``training.nodes`` and ``training.processes``.
    """
    try:
        lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        raise CannotRunHere(f"training.hostfile: {path}: there is no such file; give its path from here on") from None
    hosts = []
    for host, *rest in filter(None, lines):
        for word in rest:
            if word != f"slots={settings.processes}":
                raise CannotRunHere(
                    f"{path}: '{host} {word}': expected slots={settings.processes}, as many as training.processes"
                )
        hosts.append(host)
    if len(hosts) != settings.nodes:
        raise CannotRunHere(f"{path}: {len(hosts)} hosts, but training.nodes is {settings.nodes}; make them agree")
    return hosts


def run_step(settings: config.Training, command: list[str]) -> int:
    """Run ``command`` on all nodes of the Slurm job around this process, and return its exit status."""
    nodes, per_node = str(settings.nodes), str(settings.processes)
    step = ["srun", f"--nodes={nodes}", f"--ntasks-per-node={per_node}", f"--ntasks={int(nodes) * int(per_node)}"]
    return subprocess.call([*step, "--kill-on-bad-exit=1", "--overlap", *command])


@contextmanager
def brought_in(hosts: list[str], meeting: str, command: list[str]) -> Iterator[dict[str, subprocess.Popen]]:
    """Start ``command`` on all hosts but the first, by ``ssh``; whatever is left of it ends with the block.

    Args:
        hosts: the first is this machine, under the name by which the others reach it.
        meeting: where the processes meet, ``HOST:PORT``.
        command: the program and its arguments.
    """
    variables = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
    variables["MASTER_ADDR"], _, variables["MASTER_PORT"] = meeting.rpartition(":")
    started: dict[str, subprocess.Popen] = {}
    try:
        for number, host in enumerate(hosts[1:], start=1):
            words = [f"{key}={value}" for key, value in {**variables, NODE: str(number)}.items()]
            line = f"cd {shlex.quote(os.getcwd())} && exec env {shlex.join([*words, *command])}"
            started[host] = subprocess.Popen(["ssh", "-o", "BatchMode=yes", host, line], stdin=subprocess.DEVNULL)
        yield started
    finally:
        for process in started.values():
            process.terminate()
            process.wait()


def this_command(settings: str, data: Path, output: Path, checkpoints: Path, tracking: str) -> list[str]:
    """Return the command line that starts the same training once more."""
    flags = {"settings": settings, "data": data, "output": output, "checkpoints": checkpoints, "tracking": tracking}
    return [sys.executable, "-m", "hope", "train", *(f"--{name}={value}" for name, value in flags.items())]
