"""Start the processes of a training.

With one process ``hope train`` trains in place. With several it starts them by what the field uses: torchrun's agent on
this node, the same agent on each node of a Slurm job (``srun``), or DeepSpeed's launcher for the nodes of a hostfile.
Each process that these start runs the same command once more and takes part.

If another training holds the lock or the GPUs, all of them end at once with the status
:data:`~hope.training.process.HELD`. The process that started them waits and starts them again.
"""

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from hope import config
from hope.files import exclusive_lock, write_text
from hope.training.devices import CannotRunHere
from hope.training.process import HELD, Job, say, take_part

SHUTDOWN_SECONDS = 60
"""How long processes may take to write a checkpoint after SIGTERM, before torchrun kills them."""


def launch(job: Job, rendezvous: str = "") -> bool:
    """Train one model, with as many processes on as many nodes as its settings define.

    Args:
        job: the training.
        rendezvous: ``HOST:PORT`` where the agents of several nodes meet, if this process is to be one of them.

    Returns:
        Whether this process is the first of the training, the only one that writes its record.

    Raises:
        UserError: the training cannot succeed, or cannot run here; its failure may have been noted by an
            earlier attempt.
        SystemExit: a signal ended the training, or another of its processes has reported an error.
    """
    settings = job.stage.training
    rank, world = _place_among_processes()
    if world is not None and world != settings.world:
        raise CannotRunHere(
            f"training.processes: {settings.nodes} x {settings.processes} processes (nodes x processes), but "
            f"the launcher started {world}; make them agree, or unset TORCHELASTIC_RUN_ID and CROSS_RANK"
        )
    if world is not None or settings.world == 1:
        take_part(job, rank, settings.world)
        return rank == 0
    if rendezvous:
        status = _run_agent(job, rendezvous)
    else:
        while True:
            waiting_since = time.monotonic()
            with exclusive_lock(job.lock, wait=True, on_wait=say):
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
    rank, world, local = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not (rank.isdecimal() and world.isdecimal() and local.isdecimal() and int(rank) < int(world)):
        raise CannotRunHere(
            f"TORCHELASTIC_RUN_ID or CROSS_RANK is set, as under a launcher, but with RANK '{rank}', WORLD_SIZE "
            f"'{world}' and LOCAL_RANK '{local}'; unset them, or start with torchrun"
        )
    return int(rank), int(world)


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
    meeting = f"{socket.gethostname()}:{_free_port()}"
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
    finally:
        logging.disable(logging.NOTSET)
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
    where = [
        f"--hostfile={hostfile}",
        "--force_multi",
        "--no_ssh_check",
        f"--master_addr={first}",
        f"--master_port={_free_port()}",
    ]
    launcher = [sys.executable, "-m", "deepspeed.launcher.runner", *where, "--no_local_rank"]
    return [*launcher, "--module", *_command(job)[1:]]


def _free_port() -> int:
    """Return a port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _call(command: list[str]) -> int:
    """Run a command, pass SIGTERM and SIGINT on to it, and return its exit status as a shell would."""
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    status = child.wait()
    return status if status >= 0 else 128 - status
