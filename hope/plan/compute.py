"""Floating-point operations of a training and of the measurements on the trained model.

A multiplication and an addition count as two. Matrix products and attention are counted, which are about 99% of
all; attention counts the keys up to each query, half of all on average. A backward pass takes twice its forward pass
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
"""

from dataclasses import dataclass

from hope.config import Arm, Model
from hope.plan.sizes import attention_widths, layer_matrices

INTERVENTION_RUNS = 34
"""Runs of a model by the interventions, at most, unchanged ones included (:mod:`hope.analysis.intervention`)."""


@dataclass(frozen=True)
class Forward:
    """FLOPs of one forward pass over a text.

    Attributes:
        layers: matrix products of the decoder layers.
        attention: logits and weighted sums of the values.
        head: the projection to the vocabulary.
    """

    layers: float
    attention: float
    head: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.layers + self.attention + self.head


def forward(shape: Model, vocabulary: int, length: int, texts: float = 1.0) -> Forward:
    """Return the FLOPs of a forward pass over ``texts`` texts of ``length`` tokens, each projected."""
    queries, _ = attention_widths(shape)
    tokens = texts * length
    pairs = texts * length * (length + 1) / 2
    return Forward(
        layers=2.0 * tokens * shape.layers * layer_matrices(shape),
        attention=4.0 * pairs * shape.layers * queries,
        head=2.0 * tokens * vocabulary * shape.width,
    )


def training_flops(arm: Arm, vocabulary: int) -> tuple[float, float]:
    """Return the FLOPs of one training: those of the model, and those computed.

    With recomputed activations the two differ: the layers' forward pass then runs twice.
    """
    training = arm.training
    windows = training.steps * training.batch_windows
    once = forward(arm.model, vocabulary, training.length, windows)
    again = once.layers + once.attention if training.activation_checkpointing else 0.0
    return 3 * once.total, 3 * once.total + again


def measuring_flops(arm: Arm, vocabulary: int, rotary: bool) -> float:
    """Return the FLOPs of all measurements on one model, which are forward passes.

    These are the loss at every position and on fixed tokens, with every extension; the retrieval prompts; and the
    attention analysis, with interventions for a rotary encoding.
    """
    length, shape = arm.training.length, arm.model

    def passes(multiple: float, texts: float) -> float:
        return forward(shape, vocabulary, round(multiple * length), texts).total

    retrieval = arm.retrieval
    flops = len(retrieval.tasks) * sum(passes(multiple, retrieval.prompts) for multiple in retrieval.multiples)
    if not arm.reads_text:
        return flops
    loss, strided = arm.extrapolation, arm.extrapolation.strided
    windows = loss.documents * loss.windows
    times = 1 + (len(loss.extensions) if rotary else 0)
    flops += times * sum(passes(context, windows) for context in dict.fromkeys((loss.longest, *loss.contexts)))
    if strided is not None:
        slid = windows * max(1.0, (loss.longest - strided.window) / strided.stride + 1)
        flops += times * passes(strided.window, slid)
    analysis = arm.analysis
    flops += 2 * passes(analysis.multiples[-1], analysis.documents)
    if rotary:
        # Each run is one pass up to 2 L, for attention and loss together.
        flops += INTERVENTION_RUNS * passes(min(2.0, analysis.multiples[-1]), analysis.documents / 2)
    return flops
