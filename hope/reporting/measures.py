"""The measures that claims and tables speak of: their names, units and sources, in one table.

An endpoint is a measure of one model on one unit: a document, a prompt, or the model as a whole. ``L`` in
a name is the training length; ``{m}`` stands for a number of training lengths (``1``, ``0.5``), ``{task}`` for
a retrieval task, ``{depth}`` for the place of what it asks for, 0 to 1, and ``{extension}`` for the label of a length
extension: without one, a measure is of the model as it was trained.
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
        points: whether it is a share of right answers, so that a difference is also told in points.
        compared: whether the exploratory comparisons between encodings include it.
    """

    name: str
    text: str
    scale: str
    unit: Literal["document", "prompt", "model", "formula"]
    table: str
    better: Literal["lower", "higher"] | None = None
    loss: bool = False
    points: bool = False
    compared: bool = True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names of this family."""
        number = r"(\d+(?:\.\d+)?)"
        text = self.name.replace("{m}", number).replace("{depth}", number).replace("{extension}", "(?P<extension>.+)")
        return re.compile(text.replace("{task}", r"(?P<task>[^\W\d]\w*)"))

    def numbers(self, name: str) -> list[float]:
        """Return the numbers in a name of this family: training lengths, and a depth behind them."""
        match = self.pattern.fullmatch(name)
        assert match is not None
        named = self.pattern.groupindex.values()
        return [float(text) for place, text in enumerate(match.groups(), 1) if place not in named]

    def extension(self, name: str) -> str | None:
        """Return the label of the length extension in a name of this family; None where there is none."""
        match = self.pattern.fullmatch(name)
        return match.groupdict().get("extension") if match else None

    @property
    def shown(self) -> tuple[str, ...]:
        """The figures and summary tables that show it."""
        return EXTENDED if "{extension}" in self.name else SHOWN[self.table]


NATS = "nats a token"
EXTRAPOLATION = "evaluation/extrapolation.parquet"
CONTEXT = "evaluation/context.parquet"
STRIDED = "evaluation/strided.parquet"
RETRIEVAL = "evaluation/retrieval.parquet"
USHAPE = "analysis/ushape.parquet"
DIVERGENCE = "analysis/divergence.parquet"
COMPONENTS = "analysis/components.parquet"
INTERVENTION = "analysis/intervention.parquet"
KERNEL = "theory/kernel.parquet"
INTERVENTIONS = ("freeze", "mean", "remove")
SETS = ("activated", "slow", "fast", "random", "matched")
CHANGED = f"(?:{'|'.join(INTERVENTIONS)})_(?:{'|'.join(SETS)})"
"""What an intervention did to which components (:mod:`hope.analysis.intervention`)."""

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
        "strided_loss",
        "mean loss in windows that slide, every token weighing the same",
        NATS,
        "document",
        STRIDED,
        "lower",
        loss=True,
    ),
    Measure(
        "loss_past@{extension}",
        "mean loss at positions L to 4L with a length extension",
        NATS,
        "document",
        EXTRAPOLATION,
        "lower",
        loss=True,
    ),
    Measure(
        "loss_within@{extension}",
        "mean loss at positions 0 to L with a length extension",
        NATS,
        "document",
        EXTRAPOLATION,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "loss_{m}L_{m}L@{extension}",
        "mean loss between two positions with a length extension",
        NATS,
        "document",
        EXTRAPOLATION,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "context_loss_{m}L@{extension}",
        "mean loss on the fixed targets, told from so much context, with a length extension",
        NATS,
        "document",
        CONTEXT,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "strided_loss@{extension}",
        "mean loss in windows that slide, with a length extension",
        NATS,
        "document",
        STRIDED,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        "{task}_accuracy_{m}L",
        "teacher-forced token accuracy at one prompt length",
        "share of tokens",
        "prompt",
        RETRIEVAL,
        "higher",
        points=True,
    ),
    Measure(
        "{task}_exact_{m}L",
        "exact match at one prompt length",
        "share of prompts",
        "prompt",
        RETRIEVAL,
        "higher",
        points=True,
    ),
    Measure(
        "{task}_margin_{m}L",
        "log-probability of the right answer minus that of the best other candidate",
        NATS,
        "prompt",
        RETRIEVAL,
        "higher",
        compared=False,
    ),
    Measure(
        "{task}_accuracy_{m}L_depth{depth}",
        "teacher-forced token accuracy at one prompt length and depth",
        "share of tokens",
        "prompt",
        RETRIEVAL,
        "higher",
        points=True,
        compared=False,
    ),
    Measure(
        "{task}_exact_{m}L_depth{depth}",
        "exact match at one prompt length and depth",
        "share of prompts",
        "prompt",
        RETRIEVAL,
        "higher",
        points=True,
        compared=False,
    ),
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
        "index_shuffled",
        "the same of the trained model on tokens in random order",
        "densities",
        "document",
        USHAPE,
        compared=False,
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
        f"{CHANGED}_index",
        "change of the U-shape index when the components are changed",
        "densities",
        "document",
        INTERVENTION,
        compared=False,
    ),
    Measure(
        f"{CHANGED}_loss_within",
        "change of the loss at positions 0 to L when they are",
        NATS,
        "document",
        INTERVENTION,
        "lower",
        loss=True,
        compared=False,
    ),
    Measure(
        f"{CHANGED}_loss_past",
        "change of the loss at positions L to 2L when they are",
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


PAST_END = 4
"""``loss_past`` ends at this many training lengths."""
SHOWN = {
    EXTRAPOLATION: ("figures/loss_by_position.svg", "tables/losses.csv"),
    CONTEXT: ("figures/context_gain.svg", "tables/losses.csv"),
    STRIDED: ("tables/losses.csv",),
    RETRIEVAL: ("figures/retrieval.svg", "tables/retrieval.csv"),
    USHAPE: ("figures/ushape_heads.svg", "figures/attention_profile.svg", "tables/attention.csv", "tables/ushape.csv"),
    DIVERGENCE: ("figures/divergence.svg", "tables/attention.csv"),
    COMPONENTS: ("figures/components.svg", "tables/attention.csv"),
    INTERVENTION: ("figures/intervention.svg", "tables/attention.csv"),
    KERNEL: ("figures/kernel.svg",),
}
"""The figures and summary tables that show the measures of a table."""
EXTENDED = ("figures/extensions.svg", "tables/losses.csv")
"""Those that show the measures with a length extension."""


def measure_named(name: str) -> Measure | None:
    """Return the measure or family that ``name`` belongs to, or None."""
    return next((measure for measure in MEASURES if measure.pattern.fullmatch(name)), None)


def nearest_measure(name: str) -> str:
    """Return a hint at the measure whose name is closest to ``name``, or an empty string."""
    known = [name for measure in MEASURES for name in _alternatives(measure.name)]
    known = [text.replace("{task}", task) for text in known for task in (TASKS if "{task}" in text else TASKS[:1])]
    return nearest(
        name,
        [
            text.replace("{m}", "2", 1).replace("{m}", "4").replace("{depth}", "0.5").replace("{extension}", "yarn-4")
            for text in known
        ],
    )


def _alternatives(pattern: str) -> list[str]:
    """Return the names that a pattern with alternatives, ``(?:a|b)_c``, stands for."""
    found = re.search(r"\(\?:([^)]*)\)", pattern)
    if found is None:
        return [pattern]
    return [name for word in found[1].split("|") for name in _alternatives(pattern.replace(found[0], word, 1))]


def canonical(name: str) -> str:
    """Return a measure's name with its numbers as tables write them: ``1L``, not ``1.0L``."""
    name, at, extension = name.partition("@")
    number = r"(?<=_)(depth)?(\d+(?:\.\d+)?)(?=L|$)"
    return re.sub(number, lambda found: f"{found[1] or ''}{float(found[2]):g}", name) + at + extension


def multiple_name(multiple: float) -> str:
    """Return a number of training lengths as it stands in names: ``1L``, ``0.5L``."""
    return f"{multiple:g}L"
