"""Properties of every encoding on drawn tokens: causal, the same in a batch, by its positions, with a cache."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.catalogue import NAMES
from hope.contract import Subject
from hope.contract.subject import TOLERANCE
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder

FARTHEST = 1_048_576


@functools.cache
def model(name: str) -> Decoder:
    return Subject.named(name, {}).trained()


def near(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=6, derandomize=True)
@given(data=st.data())
@torch.inference_mode()
def test_a_token_sees_those_before_it_and_no_others(name, data):
    decoder = model(name)
    longest = decoder.encoding.longest
    count = data.draw(st.integers(2, min(longest or 48, 48)), "tokens")
    start = data.draw(st.integers(0, FARTHEST - count if longest is None else longest - count), "first position")
    rows = data.draw(st.integers(1, 3), "rows")
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 1000), "seed"))
    ids = torch.randint(decoder.vocabulary, (rows, count), generator=random)
    positions = torch.arange(start, start + count)
    whole = decoder(ids, positions)

    cut = data.draw(st.integers(1, count - 1), "first token that changes")
    changed = ids.clone()
    changed[:, cut:] = (changed[:, cut:] + 1) % decoder.vocabulary
    near(decoder(changed, positions)[:, :cut], whole[:, :cut])
    near(decoder(ids[:, :cut], positions[:cut])[:, :cut], whole[:, :cut])

    row = data.draw(st.integers(0, rows - 1), "row")
    near(decoder(ids[row : row + 1], positions)[0], whole[row])

    held = GrowingCache()
    first = decoder(ids[:, :cut], positions[:cut], cache=held)
    rest = [
        decoder(part, place, cache=held)
        for part, place in zip(ids[:, cut:].split(3, 1), positions[cut:].split(3), strict=True)
    ]
    near(torch.cat([first, *rest], dim=1), whole)
    if start == 0:
        assert torch.equal(decoder(ids), whole)
