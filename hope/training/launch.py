"""Start a training: its processes, its lock, its GPUs.

With one process ``hope train`` trains in place. With several it starts them by what the field uses: torchrun's agent on
this node, the same agent on each node of a Slurm job (``srun``), or DeepSpeed's launcher for the nodes of a hostfile.
Each process that these start runs the same command once more and takes part.

The first process holds a lock for as long as it trains, so that a training that outlived its workflow and the one
started in its place never share a checkpoint folder. It never waits for the lock with the others at hand: all of
them end with the status :data:`HELD`, and the process that started them waits and starts them again.
"""

import datetime
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import HashStore  # type: ignore[attr-defined]

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import exclusive_lock, read_json, write_json, write_text
from hope.paths import RunPaths, snapshot_files
from hope.tracking.provenance import code_digest
from hope.training.devices import VISIBLE, CannotRunHere, claimed_device, installed_devices, visible_devices
from hope.training.failures import circumstances, failure_note, lasting, note_failure, noted_failure
from hope.training.fingerprint import differing_keys, fingerprint, identity, run_name
from hope.training.signals import Requests

HELD = os.EX_TEMPFAIL
"""Exit status of processes that could not start because another training holds the lock or the GPUs."""
COLLECTIVE = datetime.timedelta(minutes=10)
"""How long a process waits for the others within a step."""
SHUTDOWN_SECONDS = 60
"""How long processes may take to write a checkpoint after SIGTERM, before torchrun kills them."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        stage: everything that the training depends on.
        data: the study's data folder.
        output: folder of the model.
        checkpoints: folder of the checkpoints of all trainings.
        tracking: address of an MLflow server, or the study's folder for the store in it, or empty for no
            live metrics.
    """

    stage: config.TrainStage
    data: Path
    output: Path
    checkpoints: Path
    tracking: str

    @cached_property
    def name(self) -> str:
        """Name of everything that the training keeps in the folder of checkpoints."""
        return run_name(self.stage, self.key)

    @cached_property
    def key(self) -> str:
        """Fingerprint of the training."""
        return fingerprint(self.stage, self.digest)

    @cached_property
    def digest(self) -> str:
        """Digest of the content of its data."""
        return TokenCorpus.open(self.data / "train").digest

    @property
    def lock(self) -> Path:
        """File that the first process locks."""
        return self.checkpoints / f"{self.name}.lock"

    @property
    def is_done(self) -> bool:
        """Whether the model exists, with its snapshots."""
        try:
            key = read_json(self.output / "config.json").get("fingerprint")
        except UserError:
            return False
        snapshots = snapshot_files(self.output, self.stage.training.snapshot_steps)
        wanted = [self.output / "model.safetensors", *snapshots]
        return bool(key == self.key) and all(path.exists() for path in wanted)


def launch(
    stage: config.TrainStage, data: Path, output: Path, checkpoints: Path, tracking: str, rendezvous: str = ""
) -> bool:
    """Train one model, with as many processes on as many nodes as its settings define.

    Args:
        stage: everything that the training depends on.
        data: the study's data folder.
        output: folder of the model.
        checkpoints: folder of the checkpoints of all trainings.
        tracking: address of an MLflow server, or the study's folder for the store in it, or empty for no
            live metrics.
        rendezvous: ``HOST:PORT`` where the agents of several nodes meet, if this process is to be one of them.

    Returns:
        Whether this process is the first of the training, the only one that writes its record.

    Raises:
        UserError: the training cannot succeed, or cannot run here; its failure may have been noted by an
            earlier attempt.
        SystemExit: a signal ended the training, or another of its processes has reported an error.
    """
    job, settings = Job(stage, data, output, checkpoints, tracking), stage.training
    rank, world = _place_among_processes()
    if world is not None and world != settings.world:
        raise CannotRunHere(
            f"training.processes: {settings.nodes} x {settings.processes} processes (nodes x processes), but "
            f"the launcher started {world}; make them agree"
        )
    if world is not None or settings.world == 1:
        _take_part(job, rank, settings.world)
        return rank == 0
    if rendezvous:
        status = _run_agent(job, rendezvous)
    else:
        while True:
            waiting_since = time.monotonic()
            with exclusive_lock(job.lock, wait=True, on_wait=_say):
                pass
            status = _run_processes(job)
            if status != HELD:
                break
            if time.monotonic() - waiting_since < 60:
                time.sleep(random.uniform(1, 5))
        if status == 0 and not job.is_done:
            raise CannotRunHere(f"the launcher ended without an error, but {job.output} holds no model; run again")
    if status:
        sys.exit(status)
    return False


def _place_among_processes() -> tuple[int, int | None]:
    """Return rank and number of processes as torchrun or DeepSpeed's launcher set them; 0 and None without one.

    ``RANK`` alone may be left over in a shell: only these two launchers set the variables looked for here.
    """
    if not {"TORCHELASTIC_RUN_ID", "CROSS_RANK"} & os.environ.keys():
        return 0, None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _run_processes(job: Job) -> int:
    """Run all processes of a training to their end and return their exit status."""
    settings = job.stage.training
    if settings.nodes == 1:
        return _run_agent(job, "localhost:0")
    if settings.hostfile is not None:
        return _call(_by_deepspeed(job, Path(settings.hostfile)))
    if "SLURM_JOB_ID" not in os.environ:
        raise CannotRunHere(
            f"training.nodes: {settings.nodes} nodes, but nothing defines which; name them in training.hostfile, "
            "or start within a Slurm job or under torchrun"
        )
    # One agent per node. They meet at this node, where a batch script runs, at a port that is free now.
    with socket.socket() as probe:
        probe.bind(("", 0))
        meeting = f"{socket.gethostname()}:{probe.getsockname()[1]}"
    step = ["srun", f"--nodes={settings.nodes}", f"--ntasks={settings.nodes}", "--ntasks-per-node=1"]
    return _call(
        [*step, "--kill-on-bad-exit=1", "--overlap", sys.executable, *_command(job), f"--rendezvous={meeting}"]
    )


def _command(job: Job) -> list[str]:
    """Return the arguments of Python that run ``hope train`` once more.

    The settings go through a file: DeepSpeed's launcher hands arguments to a shell unquoted.
    """
    settings = (job.checkpoints / job.name / "settings.json").absolute()
    write_text(settings, config.to_json(job.stage))
    flags = {"settings": settings, "data": job.data, "output": job.output, "checkpoints": job.checkpoints}
    return [
        "-m",
        "hope",
        "train",
        *(f"--{name}={value}" for name, value in flags.items()),
        f"--tracking={job.tracking}",
    ]


def _run_agent(job: Job, endpoint: str) -> int:
    """Run the processes of this node under torchrun's agent, and return their exit status.

    Args:
        job: the training.
        endpoint: ``HOST:PORT`` where the agents of all nodes meet; port 0 for one node.

    Raises:
        CannotRunHere: a process was killed, or the nodes do not meet.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What went wrong is reported by the processes themselves.
    logging.disable(logging.CRITICAL)
    settings = job.stage.training
    agent = LaunchConfig(
        min_nodes=settings.nodes,
        max_nodes=settings.nodes,
        nproc_per_node=settings.processes,
        run_id=job.name,
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint,
        local_addr="localhost" if settings.nodes == 1 else None,
        max_restarts=0,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(agent, sys.executable)(*_command(job))
    except SignalException as stopped:
        return 128 + stopped.sigval
    except RendezvousError as error:
        raise CannotRunHere(f"the nodes cannot meet at {endpoint} ({error}); run again, or see their network") from None
    except ChildFailedError as error:
        statuses = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if HELD in statuses.values():
            return HELD
        # SIGTERM comes from the agent, after another process failed.
        killed = {rank: -status for rank, status in statuses.items() if status < 0 and -status != signal.SIGTERM}
        if killed:
            rank, number = min(killed.items())
            raise CannotRunHere(
                f"process {rank} of the training was ended by {signal.Signals(number).name}; "
                "if nobody did that, the machine's memory was full"
            ) from None
        return max(1, *statuses.values())
    return 0


def _by_deepspeed(job: Job, hostfile: Path) -> list[str]:
    """Return the command of DeepSpeed's launcher for the nodes of a hostfile.

    Raises:
        CannotRunHere: the hostfile is missing or does not fit the settings, or ``pdsh`` is not installed.
    """
    from hope.training.engine import hosts

    settings = job.stage.training
    slots = hosts(hostfile)
    wrong = next((f"{host} has {count} slots" for host, count in slots.items() if count != settings.processes), None)
    if wrong or len(slots) != settings.nodes:
        raise CannotRunHere(
            f"{hostfile}: {wrong or f'{len(slots)} hosts'}, but training asks for {settings.nodes} nodes "
            f"with {settings.processes} processes; make them agree"
        )
    if shutil.which("pdsh") is None:
        raise CannotRunHere("training.hostfile: DeepSpeed's launcher needs pdsh, and it was not found; install pdsh")
    first = next(iter(slots))
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    where = [
        f"--hostfile={hostfile}",
        "--force_multi",
        "--no_ssh_check",
        f"--master_addr={first}",
        f"--master_port={port}",
    ]
    launcher = [sys.executable, "-m", "deepspeed.launcher.runner", *where, "--no_local_rank"]
    return [*launcher, "--module", *_command(job)[1:]]


def _call(command: list[str]) -> int:
    """Run a command, pass SIGTERM and SIGINT on to it, and return its exit status as a shell would."""
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    status = child.wait()
    return status if status >= 0 else 128 - status


def _take_part(job: Job, rank: int, world: int) -> None:
    """Train as process ``rank`` of ``world``."""
    settings = job.stage.training
    torch.set_num_threads(settings.threads)
    visible = visible_devices(installed_devices(), os.environ.get(VISIBLE)) if torch.version.cuda else []
    with ExitStack() as held:
        device = _claim_gpu(visible, held, wait=world == 1) if visible else torch.device("cpu")
        # DeepSpeed reads both: the first when it is imported; and each process sees one device.
        os.environ |= {"DS_ACCELERATOR": "cuda" if visible else "cpu", "LOCAL_RANK": "0"}
        alone: dict[str, Any] = {"store": HashStore(), "rank": 0, "world_size": 1} if world == 1 else {}
        dist.init_process_group("nccl" if visible else "gloo", timeout=COLLECTIVE, **alone)
        held.callback(dist.destroy_process_group)
        requests = Requests()
        if requests.any(device is None):
            sys.exit(HELD)
        assert device is not None
        if _is_to_train(job, rank, held, requests):
            try:
                _train(job, rank, device, requests)
            except CannotRunHere:
                raise
            except UserError as error:
                # All processes raise it, at the same step.
                if rank:
                    sys.exit(1)
                note = failure_note(job.checkpoints, job.name)
                line = lasting(str(error), note)
                note_failure(note, line, circumstances(settings, job.data))
                raise UserError(line) from None
        if rank == 0:
            shutil.rmtree(job.checkpoints / job.name, ignore_errors=True)


def _claim_gpu(visible: list[str], held: ExitStack, wait: bool) -> torch.device | None:
    """Return the GPU that this process computes on, locked until ``held`` is closed; None if none is free."""
    number = 0 if wait else int(os.environ["LOCAL_RANK"])
    told = False
    while (name := held.enter_context(claimed_device(visible, number))) is None:
        if not told and number == 0:
            _say(f"all {len(visible)} GPUs are held by other trainings; waiting")
            told = True
        if not wait:
            return None
        time.sleep(1)
    os.environ[VISIBLE] = name  # read by CUDA at its first call
    torch.cuda.set_device(0)
    return torch.device("cuda", 0)


def _is_to_train(job: Job, rank: int, held: ExitStack, requests: Requests) -> bool:
    """Return whether the training starts: the first process decides; every process must call.

    Raises:
        UserError: only on the first process: the training failed before, and would again.
        SystemExit: another training holds the lock, or the first process raised an error.
    """
    problem: UserError | None = None
    word = None
    if rank == 0:
        try:
            word = _take_lock(job, held, wait=requests.alone)
        except UserError as error:
            problem, word = error, "failed"
    word = requests.first(word)
    if problem:
        raise problem
    if word in ("held", "failed"):
        sys.exit(HELD if word == "held" else 1)
    return word == "train"


def _take_lock(job: Job, held: ExitStack, wait: bool) -> str:
    """Take the training's lock until ``held`` is closed, and return what is to be done: train, done or held."""
    try:
        held.enter_context(exclusive_lock(job.lock, wait=wait, on_wait=_say))
    except UserError:
        return "held"
    if job.is_done:
        _say(f"{job.output}: trained already")
        return "done"
    # Kept from here on: the code may change while it runs.
    code_digest("train")
    note = failure_note(job.checkpoints, job.name)
    if note.exists() and (line := noted_failure(note, circumstances(job.stage.training, job.data))):
        raise UserError(line)
    note.unlink(missing_ok=True)
    _name_others(job)
    return "train"


def _train(job: Job, rank: int, device: torch.device, requests: Requests) -> None:
    """Run the training loop, with live metrics on the first process."""
    # DeepSpeed's autotuner imports MLflow if it can, which costs every process two seconds.
    hidden = sys.modules.setdefault("mlflow", None)  # type: ignore[arg-type]
    from hope.training.train import train

    if hidden is None:
        del sys.modules["mlflow"]
    live: Any = None
    try:
        if rank == 0 and job.tracking:
            from hope.tracking.store import LiveMetrics

            uri = job.tracking if "://" in job.tracking else None
            live = LiveMetrics(RunPaths.of_model(job.output), job.stage, uri)
        train(job.stage, job.key, job.data, job.output, job.checkpoints / job.name, device, requests, live)
        # A process that leaves while another still talks to it makes gloo abort the other.
        dist.barrier()
    except torch.OutOfMemoryError as error:
        reason = str(error).split(". ")[0]
        raise CannotRunHere(
            f"out of GPU memory ({reason}); lower training.micro_batch_windows, raise training.zero_stage, "
            "or set training.activation_checkpointing"
        ) from None
    finally:
        if live is not None:
            live.close()


def _say(line: str) -> None:
    print(line, flush=True)


def _name_others(job: Job) -> None:
    """Name unfinished trainings of this encoding and seed that the config no longer describes; note this one's."""
    folder, mine = job.checkpoints / job.name, identity(job.stage, job.digest)
    for other in sorted(job.checkpoints.glob(f"{job.stage.encoding.name}-seed{job.stage.seed}-*/identity.json")):
        if other.parent != folder and list(other.parent.glob("step-*")):
            changed = ", ".join(differing_keys(read_json(other), mine))
            _say(
                f"{other.parent}: an unfinished training with another {changed} "
                "lies there and is not continued; set that back to continue it, or delete the folder"
            )
    write_json(folder / "identity.json", mine)
