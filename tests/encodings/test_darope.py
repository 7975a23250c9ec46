"""DaRoPE against its formula in plain floats, and its identities with RoPE and HoPE."""

import math

import pytest
import torch

from hope.encodings.base import EncodingShape
from hope.encodings.darope import Darope
from tests.encodings.logits_of import built, logits_of

DIM, LENGTH = 8, 64
SHAPE = EncodingShape(layers=2, width=12, heads=4, kv_heads=2, head_dim=DIM, length=LENGTH)
LAYER = 1


def inputs(tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    sizes = ((1, 4, tokens, DIM), (1, 2, tokens, DIM), (1, tokens, SHAPE.width))
    return tuple(torch.randn(size, generator=random) for size in sizes)


def drawn(**settings: float) -> Darope:
    darope = built("darope", SHAPE, **settings)
    assert isinstance(darope, Darope)
    darope.initialise(lambda name: torch.Generator().manual_seed(len(name)))
    return darope


def coordinate(darope: Darope, head: int, hidden: list[float], position: int) -> float:
    """c = L sigmoid(w . x + alpha logit((m + 0.5) / L))."""
    share = min(max((position + 0.5) / LENGTH, 1e-6), 1 - 1e-6)
    content = sum(w * x for w, x in zip(darope.w[LAYER, head].tolist(), hidden, strict=True))
    return LENGTH / (1 + math.exp(-content - darope.alpha[LAYER, head].item() * math.log(share / (1 - share))))


@pytest.mark.parametrize("start", [0, 40, 1_048_000])
def test_logits_equal_the_formula(start):
    darope = drawn(w_std=0.5, alpha=0.7)
    with torch.no_grad():
        darope.alpha[LAYER, 1] = 1.3
    queries, keys, hidden = inputs(30)
    logits = logits_of(darope, queries, keys, torch.arange(start, start + 30), hidden, LAYER)
    frequencies = [10_000 ** (-2 * j / DIM) for j in range(4)]
    fast = [frequency >= 2 * math.pi / LENGTH for frequency in frequencies]
    assert fast == [True, True, False, False]
    for head in range(4):
        for m in range(30):
            for n in range(m + 1):
                rows = hidden[0].tolist()
                clocks = [coordinate(darope, head // 2, rows[token], start + token) for token in (m, n)]
                expected = 0.0
                for j, frequency in enumerate(frequencies):
                    angle = frequency * (m - n if fast[j] else clocks[0] - clocks[1])
                    q = complex(*queries[0, head, m, [j, j + 4]].tolist())
                    k = complex(*keys[0, head // 2, n, [j, j + 4]].tolist())
                    expected += (q * k.conjugate() * complex(math.cos(angle), math.sin(angle))).real
                assert logits[0, head, m, n].item() == pytest.approx(expected, abs=3e-5)


@pytest.mark.parametrize("start", [0, 1_000_000])
def test_without_clock_it_is_hope(start):
    darope = drawn(w_std=0.0, alpha=0.0)
    queries, keys, hidden = inputs(2 * LENGTH)
    positions = torch.arange(start, start + 2 * LENGTH)
    torch.testing.assert_close(
        logits_of(darope, queries, keys, positions, hidden, LAYER),
        logits_of(built("hope", SHAPE), queries, keys, positions),
        atol=3e-5,
        rtol=0,
    )


def test_with_a_clock_of_position_alone_it_is_rope_within_the_training_length():
    darope = drawn(w_std=0.0, alpha=1.0)
    queries, keys, hidden = inputs(2 * LENGTH)
    positions = torch.arange(2 * LENGTH)
    found = logits_of(darope, queries, keys, positions, hidden, LAYER)
    rope = logits_of(built("rope", SHAPE), queries, keys, positions)
    torch.testing.assert_close(found[..., :LENGTH, :LENGTH], rope[..., :LENGTH, :LENGTH], atol=3e-5, rtol=0)
    assert (found - rope)[..., LENGTH:, :][rope[..., LENGTH:, :].isfinite()].abs().max() > 0.1
    place = darope.prepare(positions)[2]
    clock = darope.clock(hidden, place, LAYER)[0, 0]
    torch.testing.assert_close(clock[:LENGTH], positions[:LENGTH] + 0.5, atol=1e-3, rtol=0)
    # Past the training length the clock stands at its end.
    torch.testing.assert_close(clock[LENGTH:], torch.full((LENGTH,), LENGTH * (1 - 1e-6)), atol=1e-3, rtol=0)


def test_it_begins_as_its_source_says():
    darope = built("darope", EncodingShape(layers=4, width=512, heads=4, kv_heads=2, head_dim=DIM, length=LENGTH))
    darope.initialise(lambda name: torch.Generator().manual_seed(0))
    assert darope.w.shape == (4, 2, 512) and darope.w.std().item() == pytest.approx(0.1, rel=0.05)
    assert (darope.alpha == 0.5).all()
