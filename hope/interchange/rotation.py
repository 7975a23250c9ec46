"""The parameters of a rotary encoding in stock formats, derived from its frequencies, not from its name."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hope.encodings.base import Encoding
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError

FREQUENCY_TOLERANCE = 1e-9
"""Relative difference below which two frequencies are equal: far below the resolution of float32."""
STILL = 1e30
"""A factor that freezes a component: at position 10^9 it has turned by less than 10^-20 radians."""
PROBES = (0, 1, 2, 5, 17, 100, 4_099)
"""Positions at which an encoding is compared with the plain rotation."""


def rotation_of(encoding: Encoding, name: str) -> Tensor:
    """Return the frequencies of an encoding that is a plain rotation, radians per token, float64 ``[d/2]``.

    No encoding is a rotation by 0. A subclass of :class:`Rotary` may do more than rotate, so its output is compared
    with the plain rotation.

    Args:
        encoding: of a decoder.
        name: of the encoding in the config.

    Raises:
        UserError: the encoding uses positions in another way, which no stock architecture does.
    """
    frequencies = None
    if not encoding.own_hooks():
        frequencies = torch.zeros(encoding.shape.head_dim // 2, dtype=torch.float64)
    elif isinstance(encoding, Rotary):
        frequencies = encoding.frequencies.to("cpu", torch.float64)
    if frequencies is not None and _is_plain(encoding, frequencies):
        return frequencies
    raise UserError(
        f"encoding '{name}' does not rotate by angles linear in position, so no stock architecture can express it; "
        "after `import hope` the model folder itself loads with AutoModelForCausalLM"
    )


@torch.no_grad()
def _is_plain(encoding: Encoding, frequencies: Tensor) -> bool:
    """Return True if, on random input, the encoding only rotates queries and keys by these frequencies."""
    if encoding.has_bias or encoding.has_logits or encoding.recodes or encoding.longest is not None:
        return False
    shape, positions = encoding.shape, torch.tensor(PROBES)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, len(PROBES), shape.width, generator=generator)
    if not torch.equal(encoding.embed(hidden, positions), hidden):
        return False
    inputs = [
        torch.randn(1, heads, len(PROBES), shape.head_dim, generator=generator)
        for heads in (shape.heads, shape.kv_heads)
    ]
    prepared = encoding.prepare(positions)
    angles = positions[:, None] * frequencies
    for layer in range(shape.layers):
        rotated = encoding.rotate(inputs[0], inputs[1], prepared, hidden, layer)
        for before, after in zip(inputs, rotated, strict=True):
            components = torch.complex(*before.double().chunk(2, dim=-1))
            turned = components * torch.polar(torch.ones_like(angles), angles)
            expected = torch.cat((turned.real, turned.imag), dim=-1)
            if after.shape != before.shape or not torch.allclose(after.double(), expected, rtol=0, atol=1e-4):
                return False
    return True


@dataclass(frozen=True)
class Prefix:
    """RoPE with only its fastest components turning.

    Attributes:
        base: b of the frequencies ``b^(-2j/d)``.
        kept: number of components that turn, j = 0 to kept - 1.
    """

    base: float
    kept: int


def prefix_of(frequencies: Tensor) -> Prefix | None:
    """Return the base and the number of kept components, or None if the frequencies are no such prefix.

    RoPE, HoPE, p-RoPE, no encoding, and a full spectrum over the leading dimensions are of this form.

    Args:
        frequencies: radians per token, float64 ``[d/2]``.
    """
    half = len(frequencies)
    kept = int((frequencies != 0).sum())
    # A 0 among the first ``kept`` frequencies is no power of a base.
    base = geometric_base(frequencies[:kept], half)
    return None if base is None else Prefix(base, kept)


def geometric_base(turning: Tensor, half: int) -> float | None:
    """Return b such that the frequencies are ``b^(-j/half)`` for j = 0, 1, ..., or None.

    Args:
        turning: frequencies in order, float64.
        half: components of the whole head.
    """
    if len(turning) < 2:
        # The first component turns by one radian per token at any base.
        is_one = len(turning) == 0 or abs(float(turning[0]) - 1) < FREQUENCY_TOLERANCE
        return 10_000.0 if is_one else None
    if not 0 < float(turning[1]) < 1:
        return None
    inferred = float(turning[1]) ** -half
    if not math.isfinite(inferred):
        return None
    # The root of a rounded power differs from the base in the last digits.
    for base in (float(f"{inferred:.12g}"), inferred):
        expected = rope_frequencies(2 * half, base)[: len(turning)]
        if torch.allclose(turning, expected, rtol=FREQUENCY_TOLERANCE, atol=0):
            return base
    return None


def frequency_factors(frequencies: Tensor) -> tuple[float, list[float]]:
    """Return a base b and factors f with ``frequency_j = b^(-2j/d) / f_j``; a huge factor freezes a component.

    The base is the one with the most factors of 1.

    Args:
        frequencies: radians per token, float64 ``[d/2]``.
    """
    half = len(frequencies)
    turning = [index for index in range(half) if frequencies[index] != 0]
    bases = {10_000.0}
    for first, second in zip(turning, turning[1:], strict=False):
        ratio = float(frequencies[first] / frequencies[second])
        if ratio > 1:
            inferred = ratio ** (half / (second - first))
            bases |= {inferred, float(f"{inferred:.12g}")}
    ranked = []
    for base in bases:
        if 1 < base < 1e30:
            factors = (rope_frequencies(2 * half, base) / frequencies).tolist()
            ones = [1.0 if abs(factor - 1) < FREQUENCY_TOLERANCE else factor for factor in factors]
            ranked.append((ones.count(1.0), -len(repr(base)), base, ones))
    _, _, base, chosen = max(ranked)
    return base, [factor if abs(factor) < STILL else STILL for factor in chosen]


def rotary_share(head_dim: int, heads: int, kept: int) -> float:
    """Return the ``partial_rotary_factor`` from which every reader computes ``kept`` components.

    Each reader rounds another product down, so that 2K/d itself may lose a component (head dimension 88, K = 15).
    """
    share = 2 * kept / head_dim
    for _ in range(16):
        exact = (
            int(share * head_dim // 2) == kept
            and int(head_dim * share) == 2 * kept
            and int(share * head_dim * heads) // heads == 2 * kept
        )
        if exact:
            return share
        share = math.nextafter(share, math.inf)
    raise AssertionError(f"no float next to {2 * kept}/{head_dim} keeps {kept} components")
