"""Encodings that turn queries and keys and do more: DaRoPE, PoPE and xPos against formulas in plain Python."""

import math

import pytest
import torch

from hope import config
from hope.encodings.darope import Darope
from hope.encodings.pope import held
from hope.errors import UserError
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder
from tests.encodings.logits_of import assert_pairs, built, drawn, logits_of, random, shape_of

DIM, LENGTH, TOKENS, LAYER = 8, 64, 12, 1
SHAPE = shape_of(DIM, LENGTH)
FREQUENCIES = [10_000 ** (-2 * j / DIM) for j in range(DIM // 2)]


def inputs(tokens: int = TOKENS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, keys of half as many heads, and hidden states."""
    return random(1, 4, tokens, DIM), random(1, 2, tokens, DIM, seed=1), random(1, tokens, SHAPE.width, seed=2)


def component(query: list[float], key: list[float], j: int, angle: float) -> float:
    """Return ``Re(q_j conj(k_j) e^(i angle))`` of component j of a query and a key of d numbers."""
    q, k = (complex(head[j], head[j + DIM // 2]) for head in (query, key))
    return (q * k.conjugate() * complex(math.cos(angle), math.sin(angle))).real


def darope(**settings: float) -> Darope:
    encoding = drawn("darope", SHAPE, **settings)
    assert isinstance(encoding, Darope)
    return encoding


# Within the training length, past its end, and far out.
@pytest.mark.parametrize("start", [0, LENGTH - TOKENS // 2, 1_048_000])
def test_darope_equals_the_formula(start):
    encoding = darope(w_std=0.2, alpha=0.7)
    with torch.no_grad():
        encoding.alpha[LAYER, 1] = 1.3
    queries, keys, hidden = inputs()
    q, k, x = queries[0].tolist(), keys[0].tolist(), hidden[0].tolist()
    w, alpha = encoding.w[LAYER].tolist(), encoding.alpha[LAYER].tolist()
    fast = [frequency >= 2 * math.pi / LENGTH for frequency in FREQUENCIES]
    assert fast == [True, True, False, False]

    def clock(head: int, token: int) -> float:
        """c = L sigmoid(w . x + alpha logit((m + 0.5) / L))."""
        share = min(max((start + token + 0.5) / LENGTH, 1e-6), 1 - 1e-6)
        content = sum(weight * value for weight, value in zip(w[head], x[token], strict=True))
        return LENGTH / (1 + math.exp(-content - alpha[head] * math.log(share / (1 - share))))

    def formula(head: int, m: int, n: int) -> float:
        moved = clock(head // 2, m) - clock(head // 2, n)
        angles = [frequency * (m - n if fast[j] else moved) for j, frequency in enumerate(FREQUENCIES)]
        return sum(component(q[head][m], k[head // 2][n], j, angle) for j, angle in enumerate(angles))

    logits = logits_of(encoding, queries, keys, torch.arange(start, start + TOKENS), hidden, LAYER)
    assert_pairs(logits[0], formula, atol=3e-5)


@pytest.mark.parametrize("start", [0, 1_000_000])
def test_darope_without_clock_is_hope(start):
    queries, keys, hidden = inputs(2 * LENGTH)
    positions = torch.arange(start, start + 2 * LENGTH)
    found = logits_of(darope(w_std=0.0, alpha=0.0), queries, keys, positions, hidden, LAYER)
    torch.testing.assert_close(found, logits_of(built("hope", SHAPE), queries, keys, positions), atol=3e-5, rtol=0)


def test_darope_with_a_clock_of_position_alone_is_rope_within_the_training_length():
    encoding, positions = darope(w_std=0.0, alpha=1.0), torch.arange(2 * LENGTH)
    queries, keys, hidden = inputs(2 * LENGTH)
    found = logits_of(encoding, queries, keys, positions, hidden, LAYER)
    rope = logits_of(built("rope", SHAPE), queries, keys, positions)
    torch.testing.assert_close(found[..., :LENGTH, :LENGTH], rope[..., :LENGTH, :LENGTH], atol=3e-5, rtol=0)
    assert (found - rope)[..., LENGTH:, :][rope[..., LENGTH:, :].isfinite()].abs().max() > 0.1
    # Past the training length the clock stands at its end.
    clock = encoding.clock(hidden, encoding.prepare(positions)[2], LAYER)[0, 0]
    expected = torch.where(positions < LENGTH, positions + 0.5, LENGTH * (1 - 1e-6))
    torch.testing.assert_close(clock, expected, atol=1e-3, rtol=0)


def test_darope_begins_as_its_source_says():
    encoding = drawn("darope", shape_of(128, layers=4))
    assert encoding.w.shape == (4, 2, 512) and encoding.w.std().item() == pytest.approx(0.1, rel=0.05)
    assert (encoding.alpha == 0.5).all()


@pytest.mark.parametrize("delta", ["zero", "uniform"])
@pytest.mark.parametrize("start", [0, 1_048_000])
def test_pope_equals_the_formula_and_its_phases_begin_as_set(start, delta):
    encoding = drawn("pope", SHAPE, delta=delta)
    queries, keys, _ = inputs()
    q, k, phases = queries[0].tolist(), keys[0].tolist(), encoding.delta[LAYER].tolist()

    def softplus(value: float) -> float:
        return math.log1p(math.exp(value))

    def formula(head: int, m: int, n: int) -> float:
        """Sum over the d dimensions: softplus(q_c) softplus(k_c) cos(distance theta_c - delta_c)."""
        return sum(
            softplus(a) * softplus(b) * math.cos((m - n) * 10_000 ** (-c / DIM) - phase)
            for c, (a, b, phase) in enumerate(zip(q[head][m], k[head // 2][n], phases[head // 2], strict=True))
        )

    logits = logits_of(encoding, queries, keys, torch.arange(start, start + TOKENS), layer=LAYER)
    assert_pairs(logits[0], formula, atol=2e-5)
    least, most = encoding.delta.aminmax()
    assert (least == most == 0) if delta == "zero" else (-2 * math.pi <= least < -5.5 and -0.8 < most <= 0)


@pytest.mark.parametrize(
    ("delta", "gradient", "passes"),
    [
        (-1.0, 1.0, True),
        (-1.0, -1.0, True),
        (0.0, 1.0, True),  # a descent goes inwards
        (0.0, -1.0, False),
        (0.3, 1.0, True),  # and back, from where a step led out
        (0.3, -1.0, False),
        (-2 * math.pi - 0.1, -1.0, True),
        (-2 * math.pi - 0.1, 1.0, False),
    ],
)
def test_phases_of_pope_stay_in_their_range_and_never_stick_at_its_edge(delta, gradient, passes):
    parameter = torch.tensor([delta], requires_grad=True)
    inside = held(parameter)
    assert inside.item() == pytest.approx(min(max(delta, -2 * math.pi), 0.0))
    inside.backward(torch.tensor([gradient]))
    assert parameter.grad.item() == (gradient if passes else 0.0)


def test_a_phase_of_pope_that_left_its_range_comes_back():
    encoding = built("pope", SHAPE)
    with torch.no_grad():
        encoding.delta.fill_(0.3)
    # At distance 1 the logit grows with every phase, as sin(theta_c) is above 0.
    logit = logits_of(encoding, torch.ones(1, 4, 2, DIM), torch.ones(1, 2, 2, DIM), torch.arange(2))[0, :, 1, 0].sum()
    (inwards,) = torch.autograd.grad(logit, encoding.delta, retain_graph=True)
    (outwards,) = torch.autograd.grad(-logit, encoding.delta)
    assert (inwards[0] > 0).all() and not outwards.any()


@pytest.mark.parametrize("scale_base", [16.0, 512.0])
@pytest.mark.parametrize("start", [0, 1_048_000])
def test_xpos_equals_the_formula(scale_base, start):
    queries, keys, _ = inputs()
    q, k = queries[0].tolist(), keys[0].tolist()
    encoding = built("xpos", SHAPE, scale_base=scale_base)
    logits = logits_of(encoding, queries, keys, torch.arange(start, start + TOKENS))[0]
    assert_pairs(logits, lambda h, m, n: xpos(q[h][m], k[h // 2][n], m - n, scale_base), atol=2e-5)


def xpos(query: list[float], key: list[float], distance: int, scale_base: float = 512.0) -> float:
    """Sum over components: zeta_j^(distance / scale base) Re(q_j conj(k_j) e^(i distance theta_j))."""
    zetas = [(2 * j + 0.4 * DIM) / (1.4 * DIM) for j in range(DIM // 2)]
    return sum(
        zeta ** (distance / scale_base) * component(query, key, j, distance * FREQUENCIES[j])
        for j, zeta in enumerate(zetas)
    )


def test_a_long_pass_of_xpos_neither_overflows_nor_forgets():
    """As many queries as are encoded together, and keys far before them: zeta^(65536/512) is 1e-70."""
    encoding, tokens = built("xpos", SHAPE), 65_536
    assert encoding.span == 32 * 512
    queries, keys = random(1, 2, tokens, DIM), random(1, 2, tokens, DIM, seed=1)
    tables = encoding.prepare(torch.arange(tokens))
    assert all(table.isfinite().all() for table in tables)
    last = queries[:, :, -encoding.span :]
    turned, turned_keys = encoding.rotate(last, keys, tables, last, 0)
    # Keys later than a query are masked after their products are made, which must not overflow either.
    earliest = turned[:, :, 0].double() @ turned_keys[:, :, -1].double().mT
    assert earliest.abs().max() < 1e20
    for m in (tokens - encoding.span, tokens - 1):
        for distance in (0, 1, 100, 5_000, 40_000):
            found = (turned[0, 1, m - tokens + encoding.span] * turned_keys[0, 1, m - distance]).sum().item()
            expected = xpos(queries[0, 1, m].tolist(), keys[0, 1, m - distance].tolist(), distance)
            assert found == pytest.approx(expected, abs=3e-5)


def test_xpos_in_float16_is_right_as_far_as_it_reads():
    encoding = built("xpos", SHAPE, scale_base=8.0)
    queries, keys = random(1, 2, 65, DIM), random(1, 2, 65, DIM, seed=1)

    def products(tokens, dtype):
        parts = (part[:, :, :tokens].to(dtype) for part in (queries, keys))
        turned, turned_keys = encoding.rotate(*parts, encoding.prepare(torch.arange(tokens)), queries, 0)
        return (turned.double() @ turned_keys.double().mT).tril()

    torch.testing.assert_close(products(64, torch.float16), products(64, torch.float32), atol=0.02, rtol=0)
    assert products(65, torch.float32).isfinite().all()
    with pytest.raises(UserError, match="xPos reads up to 64 tokens in float16; load the model in bfloat16 or float32"):
        products(65, torch.float16)


def test_queries_of_xpos_encoded_in_parts_give_what_they_give_together(monkeypatch):
    encoding = config.EncodingSpec(name="xpos", family="xpos", settings={"scale_base": 16.0})
    shape = config.Model(layers=2, width=32, heads=4, kv_heads=2, mlp_width=48)
    model = Decoder(shape, 64, 24, encoding).initialise(0).eval()
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 1)
        ids = torch.randint(64, (2, 40), generator=torch.Generator().manual_seed(0))
        whole = model(ids)
        assert len(model.frames(torch.arange(40), 0)) == 1
        monkeypatch.setattr(model.encoding, "span", 6)
        monkeypatch.setattr(model.encoding, "together", 6)
        assert len(model.frames(torch.arange(40), 0)) == 7
        torch.testing.assert_close(model(ids), whole, atol=2e-4, rtol=1e-4)
        cache = GrowingCache()
        parts = [model(part, cache=cache) for part in ids.split([17, 1, 1, 21], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-4, rtol=1e-4)
