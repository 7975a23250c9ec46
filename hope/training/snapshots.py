"""Weights that are kept while a model trains, for the study of how it comes to be what it is.

Until the model is done they lie beside its checkpoints, since the workflow deletes what a failed job leaves in
its outputs; then the same files come to the model.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist

from hope.files import whole_file
from hope.model.loading import save_weights
from hope.paths import SNAPSHOTS, snapshot_file
from hope.training.checkpoints import checkpoint_folder, checkpoint_steps, drop_checkpoint, full_disk_is_named
from hope.training.engine import full_weights


class Snapshots:
    """The snapshots of one training."""

    def __init__(self, steps: list[int], checkpoints: Path, key: str) -> None:
        """Begin or go on; every process must call, before a checkpoint is loaded.

        Args:
            steps: the moments, in optimiser steps done, rising.
            checkpoints: the training's own checkpoint folder.
            key: the training's fingerprint, which each file notes.
        """
        self.steps, self.folder, self.key = steps, checkpoints / SNAPSHOTS, key
        if dist.get_rank() == 0:
            for unfinished in self.folder.glob(".*.part"):
                unfinished.unlink()
            self._drop_what_cannot_be_gone_on_from(checkpoints)

    def _drop_what_cannot_be_gone_on_from(self, checkpoints: Path) -> None:
        """Remove checkpoints that were written past a moment at which no snapshot was asked for yet."""
        for step in checkpoint_steps(checkpoints):
            missing = [moment for moment in self.steps if moment <= step and not self._file(moment).exists()]
            if missing:
                print(
                    f"checkpoint of step {step}: not gone on from, for the snapshot of step {missing[0]} is missing",
                    flush=True,
                )
                drop_checkpoint(checkpoint_folder(checkpoints, step))

    def __call__(self, engine: Any, done: int) -> None:
        """Keep the weights of this moment, float32, whole or not at all; every process must call.

        Raises:
            OSError: the disk is full.
        """
        weights = full_weights(engine)
        if dist.get_rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            with full_disk_is_named(self.folder):
                save_weights(weights, self._file(done), fingerprint=self.key, step=str(done))

    def hand_over(self, output: Path) -> None:
        """Put the snapshots into the model's folder, and remove those of another training from there."""
        target = output / SNAPSHOTS
        wanted = {snapshot_file(target, step): self._file(step) for step in self.steps}
        for path in target.glob("*"):
            if path not in wanted:
                path.unlink()
        for path, source in wanted.items():
            with whole_file(path) as temporary:
                temporary.unlink()  # a link needs a free name
                try:
                    os.link(source, temporary)
                except OSError:  # another file system, or one without links
                    shutil.copyfile(source, temporary)
        if target.exists() and not wanted:
            target.rmdir()

    def _file(self, step: int) -> Path:
        return snapshot_file(self.folder, step)
