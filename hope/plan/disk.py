"""Space on disk: the models, their snapshots, the tokens, and the checkpoints of running trainings."""

from dataclasses import dataclass

from hope.config import Arm, Training
from hope.plan.memory import MASTER, MOMENTS

CHECKPOINTS = 3
"""Checkpoints per running training: two are kept, and a third is written before the oldest is deleted."""
SHORT_IDS = 1 << 16
"""Token ids below this take two bytes, others four."""


@dataclass(frozen=True)
class Disk:
    """Bytes on disk.

    Attributes:
        tokens: token ids of the corpus, if a training sees every token once.
        models: weights of all models.
        snapshots: weights of all snapshots of all models.
        checkpoint: one checkpoint of one training.
        checkpoints: all checkpoints of the trainings that run at once; a training deletes its own at the end.
    """

    tokens: float
    models: float
    snapshots: float
    checkpoint: float
    checkpoints: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.tokens + self.models + self.snapshots + self.checkpoints


def disk_space(arm: Arm, vocabulary: int, parameters: dict[str, int], at_once: int) -> Disk:
    """Return the space that an arm needs, without the study's text, tables and report.

    Args:
        arm: the arm.
        vocabulary: number of token ids.
        parameters: parameters per model, by encoding.
        at_once: trainings that run at once.
    """
    counts = [parameters[encoding] for encoding, _ in arm.runs()]
    checkpoint = checkpoint_bytes(arm.training, max(counts))
    return Disk(
        tokens=float(arm.training.tokens * (2 if vocabulary <= SHORT_IDS else 4)) if arm.reads_text else 0.0,
        models=4.0 * sum(counts),
        # They lie beside the checkpoints while a model trains, and beside the model afterwards.
        snapshots=4.0 * sum(counts) * len(arm.training.snapshot_steps),
        checkpoint=checkpoint,
        checkpoints=CHECKPOINTS * checkpoint * at_once,
    )


def checkpoint_bytes(training: Training, parameters: int) -> float:
    """Return the size of one checkpoint: the weights, AdamW's averages, and the float32 copy if there is one."""
    number = 2 if training.precision == "bfloat16" else 4
    master = MASTER if training.zero_stage or number == 2 else 0
    # Stage 3 has no weights besides the float32 copy.
    weights = 0 if training.zero_stage == 3 else number
    return float(parameters * (weights + master + MOMENTS))
