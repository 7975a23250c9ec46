"""Checkpoints of unfinished trainings: whole or absent.

A checkpoint is a folder ``step-00000120`` that DeepSpeed wrote under another name and that was renamed
when it was complete. ``checkpoint.json`` in it holds the digests of all its files, and its own. It is private
state of the machine that wrote it, never something to pass on.
"""

import errno
import os
import pickle
import re
import shutil
import tempfile
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
from hope.files import read_json, sha256_of_file, sha256_of_json, write_json
from hope.training.devices import CannotRunHere
from hope.training.universal import load_for_another_world

KEPT = 2
CONTENTS = "checkpoint.json"
PARTIAL = "partial-"
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_NAME = re.compile(r"step-(\d{8})")


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of the whole checkpoints in ``folder``, rising."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Return the folder of the checkpoint of ``step``."""
    return folder / f"step-{step:08d}"


def save_checkpoint(engine: Any, folder: Path, step: int, state: dict) -> None:
    """Write the checkpoint of ``step`` and drop all but the last two; every process must call.

    Args:
        engine: the DeepSpeed engine.
        folder: the training's own checkpoint folder.
        step: steps done.
        state: what else is to be found again: plain values only.

    Raises:
        OSError: the disk is full; the checkpoints before stay, and nothing of this one.
    """
    final = checkpoint_folder(folder, step)
    written = folder / f"{PARTIAL}{final.name}"
    with full_disk_is_named(folder, written):
        engine.save_checkpoint(str(folder), tag=written.name, client_state=state, save_latest=False)
        dist.barrier()
        if dist.get_rank() == 0:
            sums = {str(path.relative_to(written)): sha256_of_file(path) for path in _files_of(written)}
            content = {"world": dist.get_world_size(), "files": sums}
            write_json(written / CONTENTS, content | {"sha256": sha256_of_json(content)})
            drop_checkpoint(final)
            os.replace(written, final)
    if dist.get_rank() == 0:
        for old in checkpoint_steps(folder)[:-KEPT]:
            drop_checkpoint(checkpoint_folder(folder, old))
        drop_partial(folder)
    dist.barrier()


def load_checkpoint(engine: Any, folder: Path) -> tuple[int, dict, int] | None:
    """Load the newest checkpoint whose checksums hold; every process must call.

    A damaged one is named in a line and removed. One that another number of processes wrote is converted.

    Returns:
        The steps done, the state that was saved beside them, and how many processes had saved it; or None
        where there is no checkpoint.

    Raises:
        CannotRunHere: it holds what no checkpoint holds.
    """
    newest = torch.zeros(2, dtype=torch.int64, device=engine.device)
    if dist.get_rank() == 0:
        drop_partial(folder)
        newest += torch.tensor(_newest_whole(folder) or (0, 0), device=engine.device)
    dist.broadcast(newest, 0)
    step, world = newest.tolist()
    if not step:
        return None
    tag = checkpoint_folder(folder, step).name
    try:
        with _tensors_only():
            if world == dist.get_world_size() or not engine.zero_optimization():
                _, state = engine.load_checkpoint(str(folder), tag=tag)
            else:
                state = load_for_another_world(engine, folder, tag, f"{PARTIAL}universal")
    except pickle.UnpicklingError:
        raise CannotRunHere(
            f"{folder / tag}: holds more than tensors and plain values, so it was not written by this program, or by "
            "another version of its packages; delete it to go on from the one before"
        ) from None
    return step, state, world


def _newest_whole(folder: Path) -> tuple[int, int] | None:
    """Return step and number of processes of the newest checkpoint that is undamaged; drop the others on the way."""
    for step in reversed(checkpoint_steps(folder)):
        checkpoint = checkpoint_folder(folder, step)
        damage = damaged_file(checkpoint)
        if damage is None:
            return step, read_json(checkpoint / CONTENTS)["world"]
        print(f"checkpoint {checkpoint.name}: {damage} is damaged; going back to the one before", flush=True)
        drop_checkpoint(checkpoint)
    return None


def damaged_file(checkpoint: Path) -> str | None:
    """Return the name of a file that is missing or whose content has changed, or None."""
    try:
        content = read_json(checkpoint / CONTENTS)
        if content.pop("sha256") != sha256_of_json(content):
            return CONTENTS
    except (UserError, AttributeError, KeyError):
        return CONTENTS
    for name, expected in content["files"].items():
        path = checkpoint / name
        if not path.is_file() or sha256_of_file(path) != expected:
            return str(name)
    return None


def drop_partial(folder: Path) -> None:
    """Remove what writers and removers that were killed have left."""
    for leftover in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(leftover)


def drop_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint so that none is ever seen with files missing."""
    if checkpoint.exists():
        doomed = checkpoint.with_name(f"{PARTIAL}dropped-{checkpoint.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(checkpoint, doomed)
        shutil.rmtree(doomed)


def _files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def full_disk_is_named(folder: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Turn an error of a writer within the block into the OSError of a full disk, if that is what it was.

    PyTorch and safetensors report one as an error of their own kinds.

    Args:
        folder: where the block writes.
        unfinished: a folder that it would leave half-written, removed on any error.
    """
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = error if full else _why_full(folder)
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        if reason is None:
            raise
        raise OSError(getattr(reason, "errno", errno.ENOSPC), "the disk is full", str(folder)) from error


def _why_full(folder: Path) -> OSError | None:
    """Return the error of writing a little more into ``folder``, or None if that works."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 20))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
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
