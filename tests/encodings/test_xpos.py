"""xPos against its formula in plain floats, and where floats would overflow."""

import math

import pytest
import torch

from hope import config
from hope.encodings.base import EncodingShape
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder
from tests.encodings.logits_of import built, logits_of

DIM = 8
SHAPE = EncodingShape(layers=1, width=16, heads=2, kv_heads=2, head_dim=DIM, length=64)


def formula(query: list[float], key: list[float], distance: int, scale_base: float = 512.0) -> float:
    """Sum over components: zeta_j^(distance / scale base) Re(q_j conj(k_j) e^(i distance theta_j))."""
    total = 0.0
    for j in range(DIM // 2):
        zeta = (2 * j + 0.4 * DIM) / (1.4 * DIM)
        q, k = complex(query[j], query[j + DIM // 2]), complex(key[j], key[j + DIM // 2])
        angle = distance * 10_000 ** (-2 * j / DIM)
        turned = q * k.conjugate() * complex(math.cos(angle), math.sin(angle))
        total += zeta ** (distance / scale_base) * turned.real
    return total


def heads(tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, 1, 2, tokens, DIM, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("scale_base", [16.0, 512.0])
@pytest.mark.parametrize("start", [0, 1_048_000])
def test_logits_equal_the_formula(scale_base, start):
    queries, keys = heads(20)
    logits = logits_of(built("xpos", SHAPE, scale_base=scale_base), queries, keys, torch.arange(start, start + 20))
    for m in range(20):
        for n in range(m + 1):
            expected = formula(queries[0, 1, m].tolist(), keys[0, 1, n].tolist(), m - n, scale_base)
            assert logits[0, 1, m, n].item() == pytest.approx(expected, abs=2e-5)


def test_the_decay_is_the_papers():
    """zeta of the fastest component is 0.4/1.4, and it decays by that over 512 tokens."""
    xpos = built("xpos", SHAPE)
    assert xpos.zeta.tolist() == pytest.approx([(2 * j + 3.2) / 11.2 for j in range(4)])
    key = torch.zeros(1, 2, 513, DIM)
    key[..., 0] = 1.0
    logits = logits_of(xpos, key, key, torch.arange(513))
    assert logits[0, 0, 512, 0].item() == pytest.approx(0.4 / 1.4 * math.cos(512), abs=1e-6)


def test_a_long_pass_neither_overflows_nor_forgets():
    """As many queries as are encoded together, and keys far before them: zeta^(65536/512) is 1e-70."""
    xpos, tokens = built("xpos", SHAPE), 65_536
    assert xpos.span == 32 * 512
    queries, keys = heads(tokens)
    tables = xpos.prepare(torch.arange(tokens))
    assert all(table.isfinite().all() for table in tables)
    last = queries[:, :, -xpos.span :]
    turned, turned_keys = xpos.rotate(last, keys, tables, last, 0)
    # Keys later than a query are masked after their products are made, which must not overflow either.
    earliest = turned[:, :, 0].double() @ turned_keys[:, :, -1].double().mT
    assert earliest.abs().max() < 1e20
    for m in (tokens - xpos.span, tokens - 1):
        for distance in (0, 1, 100, 5_000, 40_000):
            found = (turned[0, 1, m - tokens + xpos.span] * turned_keys[0, 1, m - distance]).sum().item()
            expected = formula(queries[0, 1, m].tolist(), keys[0, 1, m - distance].tolist(), distance)
            assert found == pytest.approx(expected, abs=3e-5)


def tiny(scale_base: float) -> Decoder:
    encoding = config.EncodingSpec(name="xpos", family="xpos", settings={"scale_base": scale_base})
    shape = config.Model(layers=2, width=32, heads=4, kv_heads=2, mlp_width=48)
    model = Decoder(shape, 64, 24, encoding).initialise(0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model


def test_queries_encoded_in_parts_give_what_they_give_together(monkeypatch):
    model = tiny(scale_base=16.0)
    ids = torch.randint(64, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = model(ids)
        assert len(model.frames(torch.arange(40), 0)) == 1
        monkeypatch.setattr(model.encoding, "span", 6)
        monkeypatch.setattr(model.encoding, "together", 6)
        assert len(model.frames(torch.arange(40), 0)) == 7
        torch.testing.assert_close(model(ids), whole, atol=2e-4, rtol=1e-4)
        cache = GrowingCache()
        parts = [model(part, cache=cache) for part in ids.split([17, 1, 1, 21], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-4, rtol=1e-4)
