"""Starting a training: its lock, its processes, its device."""

import datetime
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import exclusive_lock, read_json
from hope.training.fingerprint import fingerprint


def launch(stage: config.TrainStage, data: Path, output: Path, checkpoints: Path, tracking: str) -> None:
    """Train one model with as many processes as its settings ask for.

    A lock beside the checkpoint folder is held to the end, so that a training that outlived its
    workflow and the one started in its place never share a folder: the second waits, and finds the
    model done.

    Args:
        stage: all that the training depends on.
        data: the study's data folder.
        output: where the model goes.
        checkpoints: folder of all trainings' checkpoints.
        tracking: address of an MLflow server, or the study's folder for the store in it, or empty for no
            live metrics.
    """
    key = fingerprint(stage, TokenCorpus.open(data / "train").digest)
    name = f"{stage.encoding.name}-seed{stage.seed}-{key}"
    with exclusive_lock(checkpoints / f"{name}.lock", wait=True, on_wait=lambda line: print(line, flush=True)):
        if _is_done(output, key):
            print(f"{output}: trained by another process meanwhile", flush=True)
            return
        arguments = (stage, data, output, checkpoints / name, tracking)
        if "WORLD_SIZE" in os.environ:
            _run_process(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), "env://", arguments)
        elif stage.training.processes == 1:
            with tempfile.TemporaryDirectory() as folder:
                _run_process(0, 1, f"file://{folder}/rendezvous", arguments)
        else:
            _spawn(stage.training.processes, arguments)


def _is_done(output: Path, key: str) -> bool:
    try:
        return read_json(output / "config.json").get("fingerprint") == key and (output / "model.safetensors").exists()
    except UserError:
        return False


def _spawn(processes: int, arguments: tuple) -> None:
    """Run the processes of one training on this machine; a file serves as their meeting point."""
    with tempfile.TemporaryDirectory() as folder:
        context = start_processes(
            _spawned, (processes, folder, arguments), nprocs=processes, join=False, start_method="spawn"
        )
        stopped: list[int] = []

        def forward(number: int, frame: object) -> None:
            stopped.append(number)
            for process in context.processes:
                if process.is_alive():
                    process.terminate()

        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not context.join():
                pass
        except (ProcessExitedException, ProcessRaisedException):
            errors = sorted(Path(folder).glob("error-*"))
            if errors:
                raise UserError(errors[0].read_text(encoding="utf-8")) from None
            if stopped:
                sys.exit(128 + stopped[0])
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _spawned(rank: int, processes: int, folder: str, arguments: tuple) -> None:
    try:
        _run_process(rank, processes, f"file://{folder}/rendezvous", arguments)
    except UserError as error:
        (Path(folder) / f"error-{rank}").write_text(str(error), encoding="utf-8")
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _run_process(rank: int, processes: int, meeting: str, arguments: tuple) -> None:
    """Train as process ``rank``, in a process group of its own."""
    stage, data, output, checkpoints, tracking = arguments
    torch.set_num_threads(stage.training.threads)
    # DeepSpeed warns of a missing accelerator unless it is told, before its import, which one there is.
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    from hope.training.train import train

    local_rank = int(os.environ.setdefault("LOCAL_RANK", str(rank)))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local_rank % torch.cuda.device_count()) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=meeting,
        rank=rank,
        world_size=processes,
        timeout=datetime.timedelta(minutes=10),
    )
    live: Any = None
    try:
        if rank == 0 and tracking:
            from hope.tracking.store import LiveMetrics

            live = LiveMetrics(output.parents[2], stage, tracking if "://" in tracking else None)
        train(stage, data, output, checkpoints, device, live)
        # A process that leaves while another still talks to it makes gloo abort the other.
        dist.barrier()
    finally:
        if live is not None:
            live.close()
        dist.destroy_process_group()
