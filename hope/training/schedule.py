"""The learning rate as a pure function of the step."""

import math

from hope import config


def learning_rate(settings: config.Training, step: int) -> float:
    """Return the learning rate of ``step``, from 0: linear warm-up, then a cosine to the final rate."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    span = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + 0.5 * span * (1 + math.cos(math.pi * min(1.0, progress)))
