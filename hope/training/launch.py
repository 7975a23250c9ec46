"""Starting a training: its lock, its devices, its processes."""

import datetime
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import Popen
from typing import Any

import torch
import torch.distributed as dist

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import exclusive_lock, read_json, write_json
from hope.paths import RunPaths, snapshot_files
from hope.tracking.provenance import code_digest
from hope.training.devices import VISIBLE, CannotRunHere, claimed_devices, installed_devices, visible_devices
from hope.training.failures import circumstances, failure_note, lasting, note_failure, noted_failure
from hope.training.fingerprint import differing_keys, fingerprint, identity, run_name
from hope.training.processes import spawn
from hope.training.rendezvous import (
    DONE,
    STOP,
    TRAIN,
    address,
    await_leaving,
    await_word,
    group_store,
    leave,
    open_store,
    tell,
)
from hope.training.topology import ProcessRole, brought_in, find_role, read_hostfile, run_step, this_command

COLLECTIVE = datetime.timedelta(minutes=10)
"""How long a process waits for the others within a step."""


@dataclass(frozen=True)
class Job:
    """One training, as it was asked for.

    Attributes:
        stage: all that the training depends on.
        data: the study's data folder.
        output: where the model goes.
        checkpoints: folder of all trainings' checkpoints.
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
        """Name of all that the training keeps in the folder of checkpoints."""
        return run_name(self.stage, self.key)

    @cached_property
    def key(self) -> str:
        """Its fingerprint."""
        return fingerprint(self.stage, self.digest)

    @cached_property
    def digest(self) -> str:
        """What names the content of its data."""
        return TokenCorpus.open(self.data / "train").digest

    @property
    def is_done(self) -> bool:
        """Whether the model is there, with its snapshots."""
        try:
            key = read_json(self.output / "config.json").get("fingerprint")
        except UserError:
            return False
        snapshots = snapshot_files(self.output, self.stage.training.snapshot_steps)
        wanted = [self.output / "model.safetensors", *snapshots]
        return bool(key == self.key) and all(path.exists() for path in wanted)


def launch(stage: config.TrainStage, data: Path, output: Path, checkpoints: Path, tracking: str) -> bool:
    """Train one model, with as many processes on as many nodes as its settings ask for.

    A lock beside the checkpoint folder is held to the end, so that a training that outlived its
    workflow and the one started in its place never share a folder: the second waits, and finds the
    model done. With several processes the first alone holds it, and the others wait for its word.

    Args:
        stage: all that the training depends on.
        data: the study's data folder.
        output: where the model goes.
        checkpoints: folder of all trainings' checkpoints.
        tracking: address of an MLflow server, or the study's folder for the store in it, or empty for no
            live metrics.

    Returns:
        Whether this process is the first of the training, which alone keeps its record.

    Raises:
        UserError: the training cannot succeed, or cannot run here; its failure may have been noted by an
            earlier attempt.
        SystemExit: a signal ended it, or another of its processes says what was wrong.
    """
    job = Job(stage, data, output, checkpoints, tracking)
    role = find_role(stage.training)
    hosts: list[str] = []
    if role is None:
        if stage.training.hostfile is None:
            if status := run_step(stage.training, _command(job)):
                sys.exit(status)
            return False
        hosts = read_hostfile(Path(stage.training.hostfile), stage.training)
        role = ProcessRole(0, stage.training.processes, stage.training.world, whole_node=True)
    if role.leads:
        _lead(job, role, hosts)
    else:
        _follow(job, role)
    return role.leads


def _command(job: Job) -> list[str]:
    return this_command(config.to_json(job.stage), job.data, job.output, job.checkpoints, job.tracking)


def _lead(job: Job, role: ProcessRole, hosts: list[str]) -> None:
    """Decide if and when the training starts, and take part in it."""
    name, note = job.name, failure_note(job.checkpoints, job.name)
    store = open_store(role, hosts[0] if hosts else "")
    try:
        with exclusive_lock(job.checkpoints / f"{name}.lock", wait=True, on_wait=_say):
            if job.is_done:
                _say(f"{job.output}: trained already")
            else:
                # Kept from here on: the code may change while it runs.
                code_digest("train")
                if note.exists() and (line := noted_failure(note, circumstances(job.stage.training, job.data))):
                    raise UserError(line)
                note.unlink(missing_ok=True)
                _name_others(job)
                with _held_devices(role), ExitStack() as stack:
                    tell(store, TRAIN, role)
                    nodes: dict[str, Popen] = {}
                    if store is not None and hosts:
                        nodes = stack.enter_context(brought_in(hosts, address(store), _command(job)))
                    try:
                        _run_here(job, role, store, nodes)
                    except CannotRunHere:
                        raise
                    except UserError as error:
                        line = lasting(str(error), note)
                        note_failure(note, line, circumstances(job.stage.training, job.data))
                        raise UserError(line) from None
                    await_leaving(store, role)
            shutil.rmtree(job.checkpoints / name, ignore_errors=True)
            tell(store, DONE, role)
    except BaseException:
        tell(store, STOP, role)
        raise


def _follow(job: Job, role: ProcessRole) -> None:
    """Wait for the word of the training's first process, and do as it says."""
    store, word = await_word(role)
    if word == STOP:
        sys.exit(1)
    if word == TRAIN:
        with _held_devices(role):
            _run_here(job, role, store, {})
            leave(store, role)


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
                "lies there and is not taken up; set that back to go on with it, or delete the folder"
            )
    write_json(folder / "identity.json", mine)


@contextmanager
def _held_devices(role: ProcessRole) -> Iterator[None]:
    """Hold the GPUs that the processes here compute on; nothing on a machine without any."""
    visible = visible_devices(installed_devices(), os.environ.get(VISIBLE)) if torch.version.cuda else []
    if not visible:
        yield
    elif role.whole_node:
        with claimed_devices(role.here, visible, on_wait=_say) as taken:
            if taken != visible:
                os.environ[VISIBLE] = ",".join(taken)
            yield
    else:
        # A launcher gives each process its own device, or all of them the same list.
        number = role.local if len(visible) > 1 else 0
        if number >= len(visible):
            raise CannotRunHere(
                f"process {role.local} of this node finds {len(visible)} GPUs; start fewer, or ask for more"
            )
        with claimed_devices(1, [visible[number]], on_wait=None):
            yield


def _run_here(job: Job, role: ProcessRole, store: Any, nodes: dict[str, Popen]) -> None:
    """Run the processes that this one stands for to their end."""
    if role.here > 1 or nodes:
        spawn(_run_spawned, role.here, (job, role, address(store)), nodes)
        return
    with tempfile.TemporaryDirectory() as folder:
        _run_process(job, role.first, role.world, role.local, group_store(store, "", folder, role.world))


def _run_spawned(number: int, folder: str, job: Job, role: ProcessRole, meeting: str) -> None:
    """Run process ``number`` of those that were started on this node."""
    store = group_store(None, meeting, folder, role.world)
    _run_process(job, role.first + number, role.world, role.local + number, store)


def _run_process(job: Job, rank: int, world: int, local: int, store: Any) -> None:
    """Train as process ``rank``, in a process group of its own."""
    settings = job.stage.training
    torch.set_num_threads(settings.threads)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local if torch.cuda.device_count() > 1 else 0) if cuda else torch.device("cpu")
    # DeepSpeed reads both: the one to compute on, the other before its import, else it warns.
    os.environ["LOCAL_RANK"] = str(device.index or 0)
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    from hope.training.train import train

    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        timeout=COLLECTIVE,
    )
    live: Any = None
    try:
        if rank == 0 and job.tracking:
            from hope.tracking.store import LiveMetrics

            uri = job.tracking if "://" in job.tracking else None
            live = LiveMetrics(RunPaths.of_model(job.output), job.stage, uri)
        train(job.stage, job.key, job.data, job.output, job.checkpoints / job.name, device, live)
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
        dist.destroy_process_group()
