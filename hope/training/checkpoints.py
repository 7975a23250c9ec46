"""Checkpoints of unfinished trainings: whole or absent.

A checkpoint is a folder ``step-00000120`` that DeepSpeed wrote under another name and that was renamed
when it was complete. It is private state of the machine that wrote it, never something to pass on.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address, tensor_fragment

from hope.errors import UserError
from hope.files import read_json, sha256_of_file, write_json

KEPT = 2
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_NAME = re.compile(r"step-(\d{8})")


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of the whole checkpoints in ``folder``, rising."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def save_checkpoint(engine: Any, folder: Path, step: int, state: dict) -> None:
    """Write the checkpoint of ``step`` and drop all but the last two; every process must call.

    Args:
        engine: the DeepSpeed engine.
        folder: the training's own checkpoint folder.
        step: steps done.
        state: what else is to be found again: plain values only.
    """
    final, partial = folder / f"step-{step:08d}", f"partial-{step:08d}"
    engine.save_checkpoint(str(folder), tag=partial, client_state=state, save_latest=False)
    dist.barrier()
    if dist.get_rank() == 0:
        written = folder / partial
        sums = {str(path.relative_to(written)): sha256_of_file(path) for path in written.rglob("*") if path.is_file()}
        write_json(written / "checksums.json", sums)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(written, final)
        for old in checkpoint_steps(folder)[:-KEPT]:
            shutil.rmtree(folder / f"step-{old:08d}")
        for leftover in folder.glob("partial-*"):
            shutil.rmtree(leftover)
    dist.barrier()


def load_checkpoint(engine: Any, folder: Path) -> tuple[int, dict] | None:
    """Load the newest checkpoint whose checksums hold; every process must call.

    Returns:
        The steps done and the state that was saved beside them, or None where there is no checkpoint.
    """
    for step in reversed(checkpoint_steps(folder)):
        checkpoint = folder / f"step-{step:08d}"
        damage = damaged_file(checkpoint)
        if damage:
            print(f"checkpoint {checkpoint.name}: {damage} is damaged; going back to the one before", flush=True)
            continue
        with _tensors_only():
            _, state = engine.load_checkpoint(str(folder), tag=checkpoint.name)
        return step, state
    return None


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Let torch.load read tensors, plain values and the few classes DeepSpeed stores; no other pickle."""
    allowed = [LossScaler, ZeroStageEnum, fragment_address, tensor_fragment]
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        with torch.serialization.safe_globals(allowed):
            yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


def damaged_file(checkpoint: Path) -> str | None:
    """Return the name of a file that is missing or whose content has changed, or None."""
    try:
        sums = read_json(checkpoint / "checksums.json")
    except UserError:
        return "checksums.json"
    for name, expected in sums.items():
        path = checkpoint / name
        if not path.is_file() or sha256_of_file(path) != expected:
            return name
    return None
