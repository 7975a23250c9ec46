"""Frequencies of rotary encodings in plain Python floats, shared by the families.

Component j of a head of d dimensions turns by the angle ``m * theta_j`` at position m, and its ``theta_j`` define a
rotary family. Models are built from them, and code that loads no numerical library counts components with them.
"""

import math
from dataclasses import dataclass

from hope.errors import UserError

TURN = 2 * math.pi
FAR = (8, 16)
"""The far distances of a kernel, in training lengths: above the first, up to the second."""


@dataclass(frozen=True)
class Spectrum:
    """The frequencies of one encoding, j = 0 .. d/2 - 1, in radians per token.

    Attributes:
        frequencies: ``theta_j``; a component of frequency 0 does not depend on position.
        whole: the frequencies before any was frozen or slowed.
        span: the number of components, from the first, that the whole spectrum covers; all of them if None.
    """

    frequencies: tuple[float, ...]
    whole: tuple[float, ...]
    span: int | None = None

    @property
    def kept(self) -> int:
        """The number of components that turn, K."""
        return sum(frequency != 0 for frequency in self.frequencies)

    @property
    def slowest(self) -> int:
        """Index of the slowest component of the whole spectrum."""
        return (len(self.frequencies) if self.span is None else self.span) - 1


def geometric(dims: int, base: float) -> tuple[float, ...]:
    """Return ``theta_j = base^(-2j/dims)`` for j = 0 .. dims/2 - 1 (Su et al. 2021, equation 15).

    Raises:
        UserError: ``dims`` is odd, or ``base`` is not above 0.
    """
    if dims % 2:
        raise UserError(f"head dimension {dims} is odd: rotary components are pairs of dimensions")
    if not base > 0:
        raise UserError(f"base {base} is not above 0")
    return tuple(base ** -(dim / dims) for dim in range(0, dims, 2))


def slow_components(frequencies: tuple[float, ...], length: int, cutoff: float = 1.0) -> set[int]:
    """Return the components that complete fewer than ``cutoff`` turns within ``length`` tokens."""
    return {j for j, frequency in enumerate(frequencies) if frequency < TURN * cutoff / length}


def share_of(components: int, share: float) -> int:
    """Return ``int(share * components)``; a share of 2K/d gives K even if rounding made it slightly too small."""
    return min(components, int(share * components + 1e-9))


def check_count(count: int, components: int) -> None:
    """Raise a :class:`UserError` if a head has fewer components than the setting ``count``."""
    if not 0 <= count <= components:
        raise UserError(f"count: {count} is out of range: the head has {components} components")


def mean_kernel(frequencies: tuple[float, ...], after: int, last: int) -> float:
    """Return the mean of ``g(D) = (2/d) sum_j cos(D theta_j)`` over all whole distances ``after < D <= last``.

    The cosines of n consecutive multiples of an angle, whose middle multiple is m, sum to
    ``cos(m theta) sin(n theta / 2) / sin(theta / 2)`` (Lagrange's identity), so that no distance is left out however
    long the model.
    """
    count, middle = last - after, (after + 1 + last) / 2
    turned = (math.remainder(theta, TURN) for theta in frequencies)
    means = [
        math.cos(middle * theta) * math.sin(count * theta / 2) / (count * math.sin(theta / 2)) if theta else 1.0
        for theta in turned
    ]
    return math.fsum(means) / len(means)


def far_kernel(frequencies: tuple[float, ...], length: int) -> float:
    """Return the mean kernel over all whole distances from 8 to 16 training lengths (:data:`FAR`)."""
    return mean_kernel(frequencies, *(multiple * length for multiple in FAR))


def bound_at_origin(head_dim: int) -> float:
    """Return the summation bound at distance 0, where every partial sum S_i is i: (2/d) sum_{i=1}^{d/2} i."""
    return (head_dim / 2 + 1) / 2
