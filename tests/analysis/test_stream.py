"""The streamed attention against full maps computed elsewhere."""

import math

import pytest
import torch
from torch import Tensor

from hope.analysis.stream import Observed, Scope, observe_attention
from hope.catalogue import FAMILIES
from hope.model import bounded_passes
from hope.model.attention import attend

QUERIES = 5
ENDS = [24, 48]


def scope(ends=ENDS, queries=QUERIES):
    return Scope(layers=2, heads=4, ends=ends, queries=queries, documents=3)


class Keep:
    """A measure that keeps all it is told."""

    def __init__(self) -> None:
        self.seen: list[Observed] = []

    def add(self, seen: Observed) -> None:
        self.seen.append(seen)

    def weights(self, layer: int, end: int) -> Tensor:
        """Return the weights of all documents, in their order."""
        return torch.cat([part.weights for part in self.seen if (part.layer, part.end) == (layer, end)])


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 64, (3, 48), generator=torch.Generator().manual_seed(1))


def test_weights_are_those_of_transformers(decoder, stock, tokens):
    model, keep = decoder("hope"), Keep()
    observe_attention(model, tokens, scope(), [keep])
    with torch.no_grad():
        maps = stock(model)(tokens, output_attentions=True).attentions
    for layer, full in enumerate(maps):
        assert full.max(dim=-1).values.mean() > 0.3  # far from uniform: an error would show
        for end in ENDS:
            expected = full[:, :, end - QUERIES : end, :end]
            torch.testing.assert_close(keep.weights(layer, end), expected, atol=1e-5, rtol=0)


def test_weights_with_a_bias_are_those_of_the_formula(decoder, tokens):
    model, keep = decoder("alibi"), Keep()
    observe_attention(model, tokens, scope([48], 48), [keep])
    for seen in keep.seen:
        keys = seen.keys.repeat_interleave(2, dim=1)
        for head, slope in enumerate((2**-2, 2**-4, 2**-6, 2**-8)):
            for query in (0, 1, 20, 47):
                logits = [
                    float(seen.queries[0, head, query] @ keys[0, head, key]) / math.sqrt(16) - slope * (query - key)
                    for key in range(query + 1)
                ]
                expected = [math.exp(logit) / sum(map(math.exp, logits)) for logit in logits]
                torch.testing.assert_close(
                    seen.weights[0, head, query, : query + 1], torch.tensor(expected), atol=1e-5, rtol=0
                )
                assert not seen.weights[0, head, query, query + 1 :].any()


@pytest.mark.parametrize("encoding", [name for name, family in FAMILIES.items() if not family.bounded])
def test_weights_are_those_that_the_model_reads_with(decoder, tokens, monkeypatch, encoding):
    """The attention that each model really runs, on values that tell one key from another."""
    model, keep, read = decoder(encoding), Keep(), []

    def attend_to_keys(queries, keys, values, layer_encoding, scale):
        every = torch.eye(keys.shape[2]).expand(*keys.shape[:3], keys.shape[2])
        read.append(attend(queries, keys, every, layer_encoding, scale))
        return attend(queries, keys, values, layer_encoding, scale)

    monkeypatch.setattr("hope.model.decoder.attend", attend_to_keys)
    observe_attention(model, tokens, scope(), [keep])
    assert len(read) == 2
    for layer, full in enumerate(read):
        for end in ENDS:
            expected = full[:, :, end - QUERIES : end, :end]
            torch.testing.assert_close(keep.weights(layer, end), expected, atol=1e-5, rtol=0)


def test_one_document_at_a_time_gives_the_same(decoder, tokens, monkeypatch):
    model, whole, parts = decoder("alibi"), Keep(), Keep()
    observe_attention(model, tokens, scope(), [whole])
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 1)
    observe_attention(model, tokens, scope(), [parts])
    assert len(parts.seen) == 3 * len(whole.seen)
    assert {seen.logits.shape[2:] for seen in whole.seen} == {(QUERIES, end) for end in ENDS}
    for layer in range(2):
        for end in ENDS:
            torch.testing.assert_close(whole.weights(layer, end), parts.weights(layer, end), atol=1e-5, rtol=0)


def test_no_token_past_the_last_query_is_run(decoder, tokens):
    model, short, long = decoder("learned"), Keep(), Keep()
    observe_attention(model, tokens, scope([24]), [long])  # 48 tokens, but only 32 learned positions
    observe_attention(model, tokens[:, :24], scope([24]), [short])
    torch.testing.assert_close(short.weights(1, 24), long.weights(1, 24), atol=1e-6, rtol=0)
