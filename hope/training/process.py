"""One process of a training: it takes its GPU and, if it is the first, the lock of the training; then it trains.

The first process holds the lock for as long as it trains, so that a training that outlived its workflow and the one
started in its place never share a checkpoint folder.
"""

import datetime
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import HashStore  # type: ignore[attr-defined]

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError, short_reason
from hope.files import Held, exclusive_lock, read_json, write_json
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

    def remove_checkpoints(self) -> None:
        """Remove what the training keeps in the folder of checkpoints, unless another training uses it by now."""
        with suppress(Held, OSError), exclusive_lock(self.lock, wait=False):
            shutil.rmtree(self.checkpoints / self.name, ignore_errors=True)


def take_part(job: Job, rank: int, world: int) -> None:
    """Train as process ``rank`` of ``world``."""
    settings = job.stage.training
    torch.set_num_threads(settings.threads)
    visible = visible_devices(installed_devices(), os.environ.get(VISIBLE)) if torch.version.cuda else []
    with ExitStack() as held:
        device = _claim_gpu(visible, held, wait=world == 1) if visible else torch.device("cpu")
        # DeepSpeed reads both: the first when it is imported; and each process sees one device.
        os.environ |= {"DS_ACCELERATOR": "cuda" if visible else "cpu", "LOCAL_RANK": "0"}
        alone: dict[str, Any] = {"store": HashStore(), "rank": 0, "world_size": 1} if world == 1 else {}
        try:
            dist.init_process_group("nccl" if visible else "gloo", timeout=COLLECTIVE, **alone)
        except (dist.DistError, ValueError) as error:
            place = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
            reason = short_reason(error)
            raise CannotRunHere(
                f"MASTER_ADDR:MASTER_PORT: the processes cannot meet at {place} ({reason}); "
                "choose a free port, or start with torchrun, which sets both"
            ) from None
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


def _claim_gpu(visible: list[str], held: ExitStack, wait: bool) -> torch.device | None:
    """Return the GPU that this process computes on, locked until ``held`` is closed; None if none is free."""
    number = 0 if wait else int(os.environ["LOCAL_RANK"])
    told = False
    while (name := held.enter_context(claimed_device(visible, number))) is None:
        if not told and number == 0:
            say(f"all {len(visible)} GPUs are held by other trainings; waiting")
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
        held.enter_context(exclusive_lock(job.lock, wait=wait, on_wait=say))
    except Held:
        return "held"
    if job.is_done:
        say(f"{job.output}: trained already")
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
    with _hidden("mlflow"):
        from hope.training.train import train
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


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Make ``module`` look as if it were not installed, unless it is imported already."""
    before = sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if before is None:
            del sys.modules[module]


def _name_others(job: Job) -> None:
    """Name unfinished trainings of this encoding and seed that the config no longer describes; note this one's."""
    folder, mine = job.checkpoints / job.name, identity(job.stage, job.digest)
    for other in sorted(job.checkpoints.glob(f"{job.stage.encoding.name}-seed{job.stage.seed}-*/identity.json")):
        if other.parent != folder and list(other.parent.glob("step-*")):
            changed = ", ".join(differing_keys(read_json(other), mine))
            say(
                f"{other.parent}: an unfinished training with another {changed} "
                "lies there and is not continued; set that back to continue it, or delete the folder"
            )
    write_json(folder / "identity.json", mine)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)
