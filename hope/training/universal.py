"""Checkpoints of ZeRO for another number of processes, by way of DeepSpeed's universal checkpoint.

ZeRO's state is cut into as many parts as there were processes. DeepSpeed's converter puts the parts together,
parameter by parameter; from that any number of processes takes its own.
"""

import argparse
import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from deepspeed.checkpoint import ds_to_universal


def load_for_another_world(engine: Any, folder: Path, tag: str, converted: str) -> dict:
    """Load a checkpoint that another number of processes wrote; every process must call.

    Args:
        engine: the DeepSpeed engine; of the same ZeRO stage as then.
        folder: the training's own checkpoint folder.
        tag: name of the checkpoint in it.
        converted: name of the folder that the converted one is kept in meanwhile, in the same place.

    Returns:
        The state that was saved beside the checkpoint.
    """
    if dist.get_rank() == 0:
        shutil.rmtree(folder / converted, ignore_errors=True)
        _convert(folder / tag, folder / converted)
    dist.barrier()
    groups = [{key: value for key, value in group.items() if key != "params"} for group in _groups(engine)]
    settings = engine._config
    settings.load_universal_checkpoint = True
    try:
        _, state = engine.load_checkpoint(str(folder), tag=converted)
    finally:
        settings.load_universal_checkpoint = False
    _mend(engine, groups)
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(folder / converted)
    return state


def _convert(source: Path, target: Path) -> None:
    arguments = argparse.Namespace(
        input_folder=str(source),
        output_folder=str(target),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ds_to_universal.main(arguments)


def _mend(engine: Any, groups: list[dict]) -> None:
    """Put right what the loader of stage 3 gets wrong (DeepSpeed 0.19.8).

    It hands the same step counter to all parameters, which then counts once for each of them, and gives all
    groups the settings of the first, weight decay among them.
    """
    for group, settings in zip(_groups(engine), groups, strict=True):
        group.update(settings)
    optimizer = getattr(engine.optimizer, "optimizer", engine.optimizer)
    for state in optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()


def _groups(engine: Any) -> list[dict]:
    return list(engine.optimizer.param_groups)
