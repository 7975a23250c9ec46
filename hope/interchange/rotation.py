"""What a stock format has to say of a rotary encoding: decided by its frequencies, not by its name."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hope.encodings.base import Encoding
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError

FREQUENCY_TOLERANCE = 1e-9
"""Relative difference below which two frequencies are one: far below what float32 tells apart."""
STILL = 1e30
"""A factor that stops a component: at position 10^9 it has turned by less than 10^-20 radians."""
PROBES = (0, 1, 2, 5, 17, 100, 4_099)
"""Positions at which an encoding must equal the plain rotation."""


def rotation_of(encoding: Encoding, name: str) -> Tensor:
    """Return the frequencies of an encoding that is a plain rotation, radians a token, float64 ``[d/2]``.

    No encoding at all is the rotation by 0. Whether it is plain is tried, not believed: a subclass of
    :class:`Rotary` may do more.

    Args:
        encoding: of a decoder.
        name: what the user calls it.

    Raises:
        UserError: positions enter in another way, which no stock architecture has.
    """
    frequencies = None
    if not encoding.own_hooks():
        frequencies = torch.zeros(encoding.shape.head_dim // 2, dtype=torch.float64)
    elif isinstance(encoding, Rotary):
        frequencies = encoding.frequencies.to("cpu", torch.float64)
    if frequencies is not None and _is_plain(encoding, frequencies):
        return frequencies
    raise UserError(
        f"encoding '{name}' does not rotate by angles linear in position, and no stock architecture has it; "
        "after `import hope` the model folder itself loads with AutoModelForCausalLM"
    )


@torch.no_grad()
def _is_plain(encoding: Encoding, frequencies: Tensor) -> bool:
    """Return whether the hooks do what the frequencies say, on random input, and nothing else."""
    if encoding.has_bias or encoding.has_logits or encoding.recodes or encoding.longest is not None:
        return False
    shape, positions = encoding.shape, torch.tensor(PROBES)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, len(PROBES), shape.width, generator=generator)
    if not torch.equal(encoding.embed(hidden, positions), hidden):
        return False
    given = [
        torch.randn(1, heads, len(PROBES), shape.head_dim, generator=generator)
        for heads in (shape.heads, shape.kv_heads)
    ]
    prepared = encoding.prepare(positions)
    angles = positions[:, None] * frequencies
    for layer in range(shape.layers):
        rotated = encoding.rotate(given[0], given[1], prepared, hidden, layer)
        for before, after in zip(given, rotated, strict=True):
            components = torch.complex(*before.double().chunk(2, dim=-1))
            turned = components * torch.polar(torch.ones_like(angles), angles)
            expected = torch.cat((turned.real, turned.imag), dim=-1)
            if after.shape != before.shape or not torch.allclose(after.double(), expected, rtol=0, atol=1e-4):
                return False
    return True


@dataclass(frozen=True)
class Prefix:
    """RoPE of which the fast components turn and the others stand still.

    Attributes:
        base: b of the frequencies ``b^(-2j/d)``.
        kept: how many components turn: those with j below it.
    """

    base: float
    kept: int


def prefix_of(frequencies: Tensor) -> Prefix | None:
    """Return the base and the number of kept components, or None where the frequencies are no such prefix.

    RoPE, HoPE, p-RoPE, no encoding, and a full spectrum over the first dimensions alone are all of this form.

    Args:
        frequencies: radians a token, float64 ``[d/2]``.
    """
    half = len(frequencies)
    kept = int((frequencies != 0).sum())
    if frequencies[kept:].any():
        return None
    base = geometric_base(frequencies[:kept], half)
    return None if base is None else Prefix(base, kept)


def geometric_base(turning: Tensor, half: int) -> float | None:
    """Return b such that the frequencies are ``b^(-j/half)`` for j = 0, 1, ..., or None.

    Args:
        turning: frequencies in their order, none of them 0, float64.
        half: components of the whole head.
    """
    if len(turning) < 2:
        # One component turns by a radian a token at any base.
        is_one = len(turning) == 0 or abs(float(turning[0]) - 1) < FREQUENCY_TOLERANCE
        return 10_000.0 if is_one else None
    if not 0 < float(turning[1]) < 1:
        return None
    inferred = float(turning[1]) ** -half
    if not math.isfinite(inferred):
        return None
    # The root of a rounded power differs from the base in its last digits.
    for base in (float(f"{inferred:.12g}"), inferred):
        expected = rope_frequencies(2 * half, base)[: len(turning)]
        if torch.allclose(turning, expected, rtol=FREQUENCY_TOLERANCE, atol=0):
            return base
    return None


def frequency_factors(frequencies: Tensor) -> tuple[float, list[float]]:
    """Return a base b and factors f with ``frequency_j = b^(-2j/d) / f_j``; a huge factor stops a component.

    The base is chosen so that as many factors as possible are 1.

    Args:
        frequencies: radians a token, float64 ``[d/2]``.
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
    """Return the ``partial_rotary_factor`` from which every reader gets ``kept`` components.

    Readers round down, each after a product of its own, so that 2K/d itself may lose a component (head
    dimension 88, K = 15, say).
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
