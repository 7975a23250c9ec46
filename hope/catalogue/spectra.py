"""Frequencies of the rotary families: what turns how fast, in plain Python floats.

Component j of a head of d dimensions turns by the angle ``m * theta_j`` at position m. A family is told by
its ``theta_j``, so these functions are its definition: a model is built from them, and a report or a check
that loads no numerical library counts components with them.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hope.errors import UserError

TURN = 2 * math.pi


@dataclass(frozen=True)
class Spectrum:
    """The frequencies of one encoding, j = 0 .. d/2 - 1, in radians a token.

    Attributes:
        frequencies: ``theta_j``; a component of frequency 0 has no position.
        whole: the same before any was stopped or slowed.
    """

    frequencies: tuple[float, ...]
    whole: tuple[float, ...]

    @property
    def kept(self) -> int:
        """How many components turn: K."""
        return sum(frequency != 0 for frequency in self.frequencies)


def rope(head_dim: int, length: int, base: float | Literal["fast"] = 10_000.0) -> Spectrum:
    """Return ``theta_j = base^(-2j/d)``: all components turn (Su et al. 2021, equation 15).

    With ``fast`` as base, that of :func:`fast_base`.

    Raises:
        UserError: ``head_dim`` is odd, or ``base`` is not above 0.
    """
    whole = _geometric(head_dim, fast_base(head_dim, length) if base == "fast" else base)
    return Spectrum(whole, whole)


def fast_base(head_dim: int, length: int) -> float:
    """Return the largest base at which every component completes a turn within ``length`` tokens.

    ``(L / 2 pi)^(d / (d - 2))``, about 803 at L = 4096, d = 64: none would be frozen by HoPE. A hair less, so
    that rounding leaves the slowest component on the fast side.
    """
    if head_dim <= 2:
        return 10_000.0  # the only component turns by a radian a token at any base
    return (length / TURN) ** (head_dim / (head_dim - 2)) * (1 - 1e-12)


def hope(
    head_dim: int,
    length: int,
    base: float = 10_000.0,
    cutoff: float = 1.0,
    freeze: Literal["slow", "fast", "band", "listed", "random"] = "slow",
    band: Sequence[float] | None = None,
    components: Sequence[int] | None = None,
    count: int | None = None,
    seed: int | None = None,
) -> Spectrum:
    """Return RoPE's frequencies with some set to 0 (Chen et al. 2025).

    Args:
        head_dim: d.
        length: the training length L.
        base: of RoPE's frequencies.
        cutoff: turns within L from which on a component is fast: ``theta_j >= 2 pi * cutoff / L``.
        freeze: what gets angle 0 at every position. ``slow`` is HoPE; the others are its ablations:
            ``fast`` leaves the slow components alone, ``band`` and ``listed`` freeze what ``band`` and
            ``components`` say, ``random`` as many as HoPE, or ``count``, drawn at random.
        band: turns within L, from and below which a component is frozen.
        components: indices that are frozen.
        count: how many are frozen at random.
        seed: of the random set.

    Raises:
        UserError: a component or a count that the head does not have.
    """
    whole = _geometric(head_dim, base)
    slow = {j for j, frequency in enumerate(whole) if frequency < TURN * cutoff / length}
    every = range(len(whole))
    if freeze == "slow":
        frozen = slow
    elif freeze == "fast":
        frozen = set(every) - slow
    elif freeze == "band":
        low, high = (TURN * turns / length for turns in band or (0.0, 0.0))
        frozen = {j for j in every if low <= whole[j] < high}
    elif freeze == "listed":
        frozen = set(components or ())
        _within("components", frozen, len(whole))
    else:
        frozen = _random_set(len(whole), len(slow) if count is None else count, seed or 0)
    return Spectrum(tuple(0.0 if j in frozen else whole[j] for j in every), whole)


def p_rope(head_dim: int, length: int, base: float = 10_000.0, p: float = 0.75) -> Spectrum:
    """Return RoPE's first ``int(p * d/2)`` frequencies, the rest 0 (Barbero et al. 2024, section 6)."""
    whole = _geometric(head_dim, base)
    kept = _share_of(len(whole), p)
    return Spectrum(whole[:kept] + (0.0,) * (len(whole) - kept), whole)


def partial_rope(head_dim: int, length: int, base: float = 10_000.0, share: float | Literal["hope"] = 0.25) -> Spectrum:
    """Return the whole spectrum over r rotated dimensions, the rest 0: ``theta_j = base^(-2j/r)``, j < r/2.

    ``share`` is r/d (Black et al. 2022, section 2.1.1); with ``hope``, as many dimensions rotate as HoPE keeps.
    """
    half = len(_geometric(head_dim, base))
    kept = hope(head_dim, length, base).kept if share == "hope" else _share_of(half, share)
    whole = (_geometric(2 * kept, base) if kept else ()) + (0.0,) * (half - kept)
    return Spectrum(whole, whole)


def clipped_rope(
    head_dim: int,
    length: int,
    base: float = 10_000.0,
    kind: Literal["soft", "hard"] = "soft",
    count: int | None = None,
) -> Spectrum:
    """Return RoPE's frequencies, the ``count`` slowest of them slowed or stopped (Li et al. 2026).

    ``soft`` multiplies them by ``(1 + cos t) / 2``, t evenly from 0 to pi: the first is left, the last
    stands still. ``hard`` stops them all. Without ``count`` they are those that HoPE freezes.

    Raises:
        UserError: a count that the head does not have.
    """
    whole = _geometric(head_dim, base)
    clipped = len(whole) - hope(head_dim, length, base).kept if count is None else count
    _counted(clipped, len(whole))
    first = len(whole) - clipped
    if kind == "hard":
        factors = [0.0] * clipped
    else:
        factors = [(1 + math.cos(math.pi * at / max(1, clipped - 1))) / 2 for at in range(clipped)]
    slowed = tuple(whole[first + at] * factor for at, factor in enumerate(factors))
    return Spectrum(whole[:first] + slowed, whole)


def rotary(
    head_dim: int,
    length: int,
    base: float = 10_000.0,
    frequencies: Sequence[float] | None = None,
    multipliers: Sequence[float] | None = None,
) -> Spectrum:
    """Return ``frequencies`` as they are given, or RoPE's times ``multipliers``.

    Raises:
        UserError: there is not one of them for each component.
    """
    whole = _geometric(head_dim, base)
    for key, given in (("frequencies", frequencies), ("multipliers", multipliers)):
        if given is not None and len(given) != len(whole):
            raise UserError(
                f"{key}: {len(given)} numbers, but head dimension {head_dim} has {len(whole)} components; give one each"
            )
    if frequencies is not None:
        whole = tuple(float(frequency) for frequency in frequencies)
        return Spectrum(whole, whole)
    factors = [1.0] * len(whole) if multipliers is None else multipliers
    return Spectrum(tuple(factor * frequency for factor, frequency in zip(factors, whole, strict=True)), whole)


def _geometric(dims: int, base: float) -> tuple[float, ...]:
    if dims % 2:
        raise UserError(f"head dimension {dims} is odd: rotary components are pairs of dimensions")
    if not base > 0:
        raise UserError(f"base {base} is not above 0")
    return tuple(base ** -(dim / dims) for dim in range(0, dims, 2))


def _share_of(components: int, share: float) -> int:
    """Return ``int(share * components)``, where a share of 2K/d that rounding made a hair too small gives K."""
    return min(components, int(share * components + 1e-9))


def _random_set(components: int, count: int, seed: int) -> set[int]:
    """Return ``count`` of the components, the same for a seed on every machine and in every version of Python."""
    _counted(count, components)
    drawn = sorted(range(components), key=lambda j: hashlib.sha256(f"frozen {seed} {j}".encode()).digest())
    return set(drawn[:count])


def _counted(count: int, components: int) -> None:
    if not 0 <= count <= components:
        raise UserError(f"count: {count} is out of range: the head has {components} components")


def _within(key: str, chosen: set[int], components: int) -> None:
    for component in sorted(chosen):
        if not 0 <= component < components:
            raise UserError(
                f"{key}: {component} is out of range: the head has components 0 to {components - 1}, from fast to slow"
            )
