"""Every family of the catalogue passes the contract, is what it declares, and is causal on drawn tokens."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.catalogue import FAMILIES
from hope.contract import Subject, examine
from hope.contract.subject import TOLERANCE
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder
from tests.encodings.logits_of import FARTHEST, KINDS


@pytest.mark.parametrize("family", KINDS)
def test_it_passes_every_check(family):
    assert [finding for finding in examine(Subject.named(family, {})) if not finding.holds] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_it_declares(family):
    declared, subject = FAMILIES[family], Subject.named(family, {})
    encoding = subject.blank().encoding
    assert (encoding.longest is not None) == declared.bounded
    assert (encoding.has_bias, encoding.has_logits) == (declared.kernel == "bias", False)
    assert sum(parameter.numel() for parameter in encoding.parameters()) == declared.parameter_count(subject.sizes)


@functools.cache
def model(family: str) -> Decoder:
    return Subject.named(family, {}).trained()


near = functools.partial(torch.testing.assert_close, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", KINDS)
@settings(deadline=None, max_examples=5, derandomize=True)
@given(data=st.data())
@torch.inference_mode()
def test_a_token_sees_those_before_it_and_no_others_at_any_position(family, data):
    decoder = model(family)
    longest = decoder.encoding.longest
    count = data.draw(st.integers(2, min(longest or 48, 48)), "tokens")
    start = data.draw(st.integers(0, FARTHEST - count if longest is None else longest - count), "first position")
    ids = torch.randint(decoder.vocabulary, (2, count), generator=torch.Generator().manual_seed(count))
    positions = torch.arange(start, start + count)
    whole = decoder(ids, positions)

    cut = data.draw(st.integers(1, count - 1), "first token that changes")
    changed = ids.clone()
    changed[:, cut:] = (changed[:, cut:] + 1) % decoder.vocabulary
    near(decoder(changed, positions)[:, :cut], whole[:, :cut])
    near(decoder(ids[:, :cut], positions[:cut])[:, :cut], whole[:, :cut])
    near(decoder(ids[1:], positions)[0], whole[1])

    cache = GrowingCache()
    pieces = [(ids[:, :cut], positions[:cut])]
    pieces += zip(ids[:, cut:].split(3, 1), positions[cut:].split(3), strict=True)
    near(torch.cat([decoder(part, place, cache=cache) for part, place in pieces], dim=1), whole)
