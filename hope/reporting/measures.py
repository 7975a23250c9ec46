"""The measures that claims and tables speak of: their names, units and sources, in one table.

An endpoint is a measure of one model on one unit: a document, a prompt, or the model as a whole. ``L`` in
a name is the training length; ``{m}`` stands for a number of training lengths (``1``, ``0.5``) and
``{task}`` for a retrieval task.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hope.config import TASKS
from hope.errors import nearest


@dataclass(frozen=True)
class Measure:
    """One measure, or a family of measures with a number or task in the name.

    Attributes:
        name: the name, or its pattern.
        text: what it is.
        scale: what its numbers count.
        unit: what one observation belongs to, besides the model.
        table: where it is read from; the room is ``evaluation``, ``analysis`` or ``theory``.
        better: which direction is better for the model, if either is.
        loss: whether it is a loss, so that a difference is also a change of perplexity in percent.
        compared: whether the exploratory comparisons between encodings include it.
    """

    name: str
    text: str
    scale: str
    unit: Literal["document", "prompt", "model", "formula"]
    table: str
    better: Literal["lower", "higher"] | None = None
    loss: bool = False
    compared: bool = True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names of this family."""
        text = self.name.replace("{m}", r"\d+(?:\.\d+)?").replace("{task}", f"(?:{'|'.join(TASKS)})")
        return re.compile(text)


NATS = "nats a token"
EXTRAPOLATION = "evaluation/extrapolation.parquet"
CONTEXT = "evaluation/context.parquet"
RETRIEVAL = "evaluation/retrieval.parquet"
USHAPE = "analysis/ushape.parquet"
DIVERGENCE = "analysis/divergence.parquet"
COMPONENTS = "analysis/components.parquet"
INTERVENTION = "analysis/intervention.parquet"
KERNEL = "theory/kernel.parquet"

MEASURES = (
    Measure("loss_within", "mean loss at positions 0 to L", NATS, "document", EXTRAPOLATION, "lower", loss=True),
    Measure("loss_past", "mean loss at positions L to 4L", NATS, "document", EXTRAPOLATION, "lower", loss=True),
    Measure("loss_{m}L_{m}L", "mean loss between two positions", NATS, "document", EXTRAPOLATION, "lower", loss=True),
    Measure(
        "context_loss_{m}L",
        "mean loss on the fixed targets, told from so much context",
        NATS,
        "document",
        CONTEXT,
        "lower",
        loss=True,
    ),
    Measure(
        "context_gain_{m}L",
        "loss on the fixed targets with L of context, minus that with so much",
        NATS,
        "document",
        CONTEXT,
        "higher",
    ),
    Measure(
        "{task}_accuracy_{m}L",
        "teacher-forced token accuracy at one prompt length",
        "share of tokens",
        "prompt",
        RETRIEVAL,
        "higher",
    ),
    Measure("{task}_exact_{m}L", "exact match at one prompt length", "share of prompts", "prompt", RETRIEVAL, "higher"),
    Measure(
        "index_trained",
        "U-shape index without the first token, of the trained model at query L - 1",
        "densities",
        "document",
        USHAPE,
    ),
    Measure(
        "index_initial", "the same of the model at initialisation", "densities", "document", USHAPE, compared=False
    ),
    Measure(
        "divergence_{m}L",
        "share of attention at that query that lies elsewhere than at query L - 1",
        "share of attention",
        "document",
        DIVERGENCE,
        "lower",
    ),
    Measure(
        "(?:activated|random)_index",
        "change of the U-shape index when the components are frozen",
        "densities",
        "document",
        INTERVENTION,
        compared=False,
    ),
    Measure(
        "(?:activated|random)_loss_within",
        "change of the loss at positions 0 to L when they are frozen",
        NATS,
        "document",
        INTERVENTION,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "(?:activated|random)_loss_past",
        "change of the loss at positions L to 2L when they are frozen",
        NATS,
        "document",
        INTERVENTION,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "(?:slow|fast)_spread",
        "standard deviation over the distances within L of a component's mean logit "
        "contribution, mean over the components that turn less (slow) or more (fast) than once within L",
        "logits",
        "model",
        COMPONENTS,
        compared=False,
    ),
    Measure("kernel_far", "mean kernel g(D) over D from 8L to 16L", "of 1", "formula", KERNEL, compared=False),
    Measure(
        "kernel_floor", "share 1 - 2K/d of the components that do not turn", "of 1", "formula", KERNEL, compared=False
    ),
    Measure(
        "kernel_gap_within", "mean over D to L of |g(D) - g(D) of rope|", "of 1", "formula", KERNEL, compared=False
    ),
    Measure(
        "bound_gap_within",
        "mean over D to L of |B(D) - B(D) of rope| / B(0), B the summation bound",
        "of 1",
        "formula",
        KERNEL,
        compared=False,
    ),
)


def measure_named(name: str) -> Measure | None:
    """Return the measure or family that ``name`` belongs to, or None."""
    return next((measure for measure in MEASURES if measure.pattern.fullmatch(name)), None)


def nearest_measure(name: str) -> str:
    """Return a hint at the measure whose name is closest to ``name``, or an empty string."""
    known = [re.sub(r"\(\?:(\w+)\|\w+\)", r"\1", measure.name).replace("{task}", TASKS[0]) for measure in MEASURES]
    return nearest(name, [text.replace("{m}", "2", 1).replace("{m}", "4") for text in known])


def multiple_name(multiple: float) -> str:
    """Return a number of training lengths as it stands in names: ``1L``, ``0.5L``."""
    return f"{multiple:g}L"
