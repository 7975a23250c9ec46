"""Floating-point operations of a training and of the measurements on the trained model.

A multiplication and an addition count as two. Matrix products and attention are counted, which are about 99% of
all; attention counts the keys up to each query, half of all on average. A backward pass takes twice its forward pass
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
"""

import math
from dataclasses import dataclass

from hope.config import Arm, Extension, Model
from hope.config.extensions import DynamicNtk, LongRope
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
    def body(self) -> float:
        """Those of a pass whose tokens are not projected."""
        return self.layers + self.attention

    @property
    def total(self) -> float:
        """Their sum."""
        return self.body + self.head


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
    again = once.body if training.activation_checkpointing else 0.0
    return 3 * once.total, 3 * once.total + again


def measuring_flops(arm: Arm, vocabulary: int, rotary: bool) -> float:
    """Return the FLOPs of all measurements on one model, which are forward passes.

    These are the retrieval prompts, without the projection of their answers; the loss at every position and on fixed
    tokens, with every extension; and the attention analysis of the model and of its snapshots, with interventions for
    a rotary encoding. Only tokens with a loss are projected.
    """
    length, retrieval = arm.training.length, arm.retrieval
    prompts = (
        forward(arm.model, vocabulary, round(multiple * length), retrieval.prompts) for multiple in retrieval.multiples
    )
    flops = len(retrieval.tasks) * sum(one.body for one in prompts)
    if arm.reads_text:
        flops += _losses(arm, vocabulary, rotary) + _analysis(arm, vocabulary, rotary)
    return flops


def _losses(arm: Arm, vocabulary: int, rotary: bool) -> float:
    """Return the FLOPs of the losses past the training length (:mod:`hope.evaluation.extrapolation`)."""
    length, loss, strided = arm.training.length, arm.extrapolation, arm.extrapolation.strided
    windows, longest = loss.documents * loss.windows, loss.longest * length

    def passes(tokens: int, texts: int = windows) -> Forward:
        return forward(arm.model, vocabulary, tokens, texts)

    contexts = {round(multiple * length) for multiple in loss.contexts} - {longest}  # that pass is of every position
    each = sum(passes(context).body + passes(loss.targets).head for context in contexts)
    if strided is not None:
        size = max(1, round(strided.window * length))
        stride = min(size, max(1, round(strided.stride * length)))
        each += passes(size, windows * (1 + math.ceil((longest - size) / stride))).total
    flops = 0.0
    for extension in (None, *(loss.extensions if rotary else ())):
        flops += each + sum(passes(multiple * length).total for multiple in _reaches(extension, loss.longest))
    return flops


def _reaches(extension: Extension | None, longest: int) -> list[int]:
    """Return the training lengths read by each pass for the loss at every position.

    There are several where angles depend on the number of tokens read
    (:func:`hope.evaluation.window_losses.pass_lengths`).
    """
    match extension:
        case DynamicNtk():
            shorter = [2**octave for octave in range(longest.bit_length())]
        case LongRope():
            shorter = [1]
        case _:
            shorter = []
    return [*(reach for reach in shorter if reach < longest), longest]


def _analysis(arm: Arm, vocabulary: int, rotary: bool) -> float:
    """Return the FLOPs of the attention analysis, of the trained model and of its snapshots."""
    documents, multiples = arm.analysis.documents, arm.analysis.multiples

    def passes(multiple: float, texts: int) -> Forward:
        return forward(arm.model, vocabulary, round(multiple * arm.training.length), texts)

    whole, within = passes(multiples[-1], documents), passes(1.0, documents)
    flops = 3 * whole.body  # the model, the same at initialisation, and on shuffled tokens
    if rotary:
        # One pass over half of the documents chooses components; each run is one over the others, for attention and
        # loss together. Attention and loss of the unchanged model are those of the first pass.
        chosen, reach = documents // 2, min(2.0, multiples[-1])
        flops += whole.head + passes(reach, chosen).body
        flops += (INTERVENTION_RUNS - 1) * passes(reach, documents - chosen).total
    if moments := arm.training.snapshot_steps:
        # With the start and the end; attention and loss are two passes.
        flops += (len(moments) + 2) * (within.body + within.total)
    return flops
