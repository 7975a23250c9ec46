"""Length extensions: a trained rotary encoding is changed at evaluation, without training.

Each extension makes another encoding, which replaces the model's own within :func:`extended`. It changes the angles
of the components and, in some methods, a factor of all logits. Frozen components stay frozen, whatever their set.
``docs/extensions.md`` lists which extension applies to which encoding; :func:`refusal` gives the reason in one line.

Below, theta_j is the angle of component j per token, s the factor, d the head dimension, L the training length.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from hope.config import Extension
from hope.config.extensions import DynamicNtk, LinearScaling, LongRope, Ntk, ReRope, Slowest, Yarn
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.rotary import Rotary, turn, turn_both
from hope.errors import UserError


class Extended(Rotary):
    """A rotary encoding with other angles, whose queries and keys are multiplied by a factor."""

    def __init__(self, shape: EncodingShape, frequencies: Tensor, sharpness: float = 1.0) -> None:
        """Keep the new frequencies and the factor of queries and keys; the logits grow by its square."""
        super().__init__(shape, frequencies)
        self.sharpness = sharpness

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine ``[tokens, d/2]`` in float32, times the sharpness."""
        cosine, sine = super().prepare(positions)
        return cosine * self.sharpness, sine * self.sharpness


class Resized(Encoding):
    """A rotary encoding whose angles depend on the number of tokens read.

    All keys turn by the angles for the newest token's length: a cache holds unrotated keys, which turn again with
    every token. So in the first layer the newest token attends exactly as in one pass over as many tokens. Higher
    layers get states of earlier tokens that were computed under the angles of their own lengths: with several
    layers, reading token by token equals one pass only while the angles do not change.
    """

    recodes = True

    def __init__(self, shape: EncodingShape, frequencies: Callable[[int], Tensor], sharpness: float = 1.0) -> None:
        """Keep the function from a number of tokens to frequencies ``[d/2]``."""
        super().__init__(shape)
        self.frequencies = frequencies
        self.sharpness = sharpness

    def settled(self, tokens: int) -> Extended:
        """Return the encoding with the angles for ``tokens`` tokens fixed."""
        return Extended(self.shape, self.frequencies(tokens), self.sharpness)

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine ``[tokens, d/2]`` of the angles for the last position's length."""
        return self.settled(int(positions[-1]) + 1 if len(positions) else 0).prepare(positions)

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Turn every component by its angle; queries stand at the last of the positions."""
        return turn_both(queries, keys, prepared)


class ReRotary(Rotary):
    """ReRoPE (Su 2023, github.com/bojone/rerope): distances past a window w count as w.

    The logit of query i and key j is that of a rotary encoding at the distance min(i - j, w). Queries and keys come
    in two forms side by side: turned by their positions, for near keys; queries turned by w and keys as they are,
    for far keys.
    """

    has_logits = True

    def __init__(self, shape: EncodingShape, frequencies: Tensor, window: int) -> None:
        """Keep the frequencies and the window w, in tokens."""
        super().__init__(shape, frequencies)
        self.window = window

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Return both forms side by side, ``[batch, heads, tokens, 2 d]``."""
        near_queries, near_keys = super().rotate(queries, keys, prepared, hidden, layer)
        far_queries = turn(queries, *self.prepare(torch.tensor([self.window], device=queries.device)))
        return torch.cat((near_queries, far_queries), dim=-1), torch.cat((near_keys, keys), dim=-1)

    def logits(self, queries: Tensor, keys: Tensor, positions: Tensor, layer: int) -> Tensor:
        """Return the products at the distance of each query and key, or at the window if that is less."""
        near, far = (
            part @ other.mT for part, other in zip(queries.chunk(2, dim=-1), keys.chunk(2, dim=-1), strict=True)
        )
        distances = positions[-queries.shape[2] :, None] - positions
        return torch.where(distances < self.window, near, far)


class Refused(ValueError):
    """An extension does not apply to an encoding; the text is the reason."""


def extend(encoding: Encoding, extension: Extension) -> Encoding:
    """Return ``encoding`` extended to longer texts than it was trained on.

    Raises:
        UserError: the extension does not apply to this encoding; the line gives the reason.
    """
    try:
        return _computed(encoding, extension)
    except Refused as reason:
        raise UserError(f"extension {extension.label}: {reason}") from None


def refusal(encoding: Encoding, extension: Extension) -> str | None:
    """Return the reason why an extension does not apply to an encoding, or None if it does."""
    try:
        _computed(encoding, extension)
    except Refused as reason:
        return str(reason)
    return None


def _computed(encoding: Encoding, extension: Extension) -> Encoding:
    if not (isinstance(encoding, Rotary) and _only_rotates(encoding)):
        raise Refused(
            f"{getattr(encoding, 'name', type(encoding).__name__)} does more than turn components by angles linear in "
            "position; only encodings that do just this are extended"
        )
    if not encoding.frequencies.any():
        raise Refused(f"no component of this {encoding.name} turns: there is no angle to change")
    components = len(encoding.frequencies)
    for key in extension.by_component:
        if len(getattr(extension, key)) != components:
            raise Refused(
                f"{key} has {len(getattr(extension, key))} factors, but a head of {2 * components} dimensions has "
                f"{components} components; give one for each, frozen ones included"
            )
    shape, theta, length = encoding.shape, encoding.frequencies, encoding.shape.length
    match extension:
        case LinearScaling(factor=factor):
            return Extended(shape, theta / factor)
        case Ntk(factor=factor, slowest=slowest):
            return Extended(shape, ntk_frequencies(theta, factor, _slowed_wholly(encoding, slowest)))
        case DynamicNtk(factor=factor, slowest=slowest):
            last = _slowed_wholly(encoding, slowest)
            return Resized(shape, lambda tokens: ntk_frequencies(theta, dynamic_factor(factor, tokens, length), last))
        case Yarn(factor=factor):
            if theta[1:].any() and _step(theta) is None:
                raise Refused(
                    f"the fastest components of this {encoding.name} are no geometric series: "
                    "YaRN's ramp is not defined for them"
                )
            slowed = yarn_frequencies(theta, factor, length, extension.fast, extension.slow)
            return Extended(shape, slowed, 0.1 * math.log(factor) + 1)
        case LongRope(factor=factor):
            short, long = (
                theta / torch.tensor(divisors, dtype=torch.float64) for divisors in (extension.short, extension.long)
            )
            sharpness = extension.sharpness or math.sqrt(1 + math.log(factor) / math.log(length))
            return Resized(shape, lambda tokens: long if tokens > length else short, sharpness)
        case ReRope(window=window):
            return ReRotary(shape, theta, max(1, round(window * length)))


class HasEncoding(Protocol):
    """A model whose encoding can be replaced."""

    encoding: Encoding


@contextmanager
def extended(model: HasEncoding, extension: Extension | None) -> Iterator[None]:
    """Extend a model's encoding within the block; None changes nothing.

    Raises:
        UserError: the extension does not apply to the model's encoding.
    """
    before = model.encoding
    if extension is not None:
        model.encoding = extend(before, extension)
    try:
        yield
    finally:
        model.encoding = before


def _slowed_wholly(encoding: Rotary, slowest: Slowest) -> int:
    """Return the index of the component that NTK-aware scaling slows by the whole factor."""
    kept = int(encoding.frequencies.nonzero()[-1, 0])
    if not kept:
        raise Refused(
            f"only the first component of this {encoding.name} turns, and NTK-aware scaling does not change that one"
        )
    if slowest == "kept" and kept == encoding.slowest:
        raise Refused(
            f"the slowest component of this {encoding.name}'s spectrum turns: slowest 'spectrum' means the same"
        )
    return kept if slowest == "kept" else encoding.slowest


def ntk_frequencies(frequencies: Tensor, factor: float, last: int) -> Tensor:
    """Return ``theta_j * s^(-j / last)``, float64 ``[d/2]``: component 0 is unchanged, ``last`` is slowed by s.

    With ``last = d/2 - 1`` this is RoPE with the base ``b * s^(d / (d - 2))`` (bloc97 2023, "NTK-aware scaled
    RoPE"; Peng et al. 2023, arXiv 2309.00071, section 3.1), which slows HoPE's slowest kept component by less than s.
    With ``last = K - 1`` that component is slowed by s, and the base is ``b * s^(d / (2 (K - 1)))``.
    """
    return frequencies * factor ** (-torch.arange(len(frequencies), dtype=torch.float64) / last)


def dynamic_factor(factor: float, tokens: int, length: int) -> float:
    """Return the factor of dynamic NTK: ``s * tokens / L - (s - 1)``, and 1 up to L (emozilla 2023)."""
    return max(1.0, factor * tokens / length - (factor - 1))


def yarn_frequencies(frequencies: Tensor, factor: float, length: int, fast: float, slow: float) -> Tensor:
    """Return YaRN's angles ``(1 - r_j) theta_j + r_j theta_j / s``, float64 ``[d/2]``.

    Source: Peng et al. 2023, arXiv 2309.00071, section 3.2.
    r_j rises from 0 to 1 between the components of ``fast`` and of ``slow`` rotations within L: linearly in j,
    between whole numbers, as in the authors' code (the paper's equation is linear in the number of rotations). The
    geometric series of the fast components gives the indices of these two, so that a component that was slowed in
    training keeps its r_j.
    """
    step = _step(frequencies)
    if step is None:
        return frequencies.clone()  # only the first component turns: it lies before any ramp
    low, high = (math.log(length / (2 * math.pi * rotations)) / step for rotations in (fast, slow))
    low, high = float(max(math.floor(low), 0)), float(min(math.ceil(high), 2 * len(frequencies) - 1))
    if low == high:
        high += 0.001
    ramp = ((torch.arange(len(frequencies), dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    return frequencies * (1 - ramp) + frequencies / factor * ramp


def _step(frequencies: Tensor) -> float | None:
    """Return c if the fastest components turn by ``exp(-c j)`` with c above 0, else None."""
    turning = [int(j) for j in frequencies.nonzero()[:, 0] if j][:2]
    steps = [-math.log(float(frequencies[j])) / j for j in turning]
    same = len(steps) > 0 and steps[0] > 0 and math.isclose(steps[0], steps[-1], rel_tol=1e-6)
    return steps[0] if same else None


def _only_rotates(encoding: Rotary) -> bool:
    """Return whether an encoding does nothing but turn components by angles linear in position."""
    own = type(encoding)
    return (own.prepare, own.rotate) == (Rotary.prepare, Rotary.rotate) and own.own_hooks() == {"prepare", "rotate"}
