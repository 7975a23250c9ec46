"""Changed components: what they do, against models that never had them and against whole matrices of logits."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from hope.analysis.component_sets import DRAWS, ComponentSet
from hope.analysis.intervened_model import MODES, intervened, mean_contributions
from hope.analysis.intervention import INTERVENTION_COLUMNS, MOST_RUNS, intervene, write_intervention
from hope.encodings.rotary import Rotary
from hope.model import attention, bounded_passes

QUERIES = 4
EVERY = list(range(8))


@pytest.fixture
def tokens():
    return torch.randint(0, 64, (3, 65), generator=torch.Generator().manual_seed(2))


def plain_losses(model, tokens):
    with torch.no_grad():
        logits = model.logits(model(tokens[:, :-1]))
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").numpy()


class Whole:
    """The stock model with an attention that holds every component's share of every logit.

    ``change`` maps a layer and contributions ``[documents, heads, queries, keys, components]`` to logits.
    """

    def __init__(self, stock, change=None):
        self.stock, self.change, self.seen = stock, change, {}
        AttentionInterface.register("whole", self.attend)
        stock.config._attn_implementation = "whole"

    def attend(self, module, query, key, value, attention_mask, scaling, **_):
        key, value = (one.repeat_interleave(query.shape[1] // one.shape[1], dim=1) for one in (key, value))
        half, count = query.shape[-1] // 2, query.shape[2]
        parts = [
            torch.einsum("bhqc,bhkc->bhqkc", query[..., side], key[..., side])
            for side in (slice(half), slice(half, None))
        ]
        contributions = (parts[0] + parts[1]) * scaling
        self.seen[module.layer_idx] = contributions
        logits = contributions.sum(-1) if self.change is None else self.change(module.layer_idx, contributions)
        later = torch.ones(count, count).triu(1).bool()
        weights = logits.masked_fill(later, float("-inf")).softmax(-1)
        return (weights @ value).transpose(1, 2), weights

    def losses(self, tokens):
        with torch.no_grad():
            logits = self.stock(tokens[:, :-1]).logits
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").numpy()


def means_by_hand(whole, tokens, length=32):
    """Return mean contributions ``[layers, heads, distances, components]``, pair by pair."""
    whole.losses(tokens)
    layers = []
    for _, seen in sorted(whole.seen.items()):
        count = seen.shape[2]
        found = [
            torch.stack([seen[:, :, m, m - far] for m in range(far, length if far < length else count)]).mean(
                dim=(0, 1)
            )
            for far in range(count)
        ]
        layers.append(torch.stack(found, dim=1))
    return torch.stack(layers)


def compare(found, losses):
    np.testing.assert_allclose(found["loss_within"], losses[:, :32].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["loss_past"], losses[:, 32:].mean(axis=1), rtol=1e-5)


def test_nothing_changed_gives_the_plain_losses(decoder, tokens):
    model = decoder("rope")
    losses = plain_losses(model, tokens)
    for mode in MODES:
        compare(intervene(model, tokens, QUERIES, [], mode), losses)


def test_all_frozen_is_a_model_without_positions(decoder, tokens):
    rope, none = decoder("rope"), decoder("none")
    frozen = intervene(rope, tokens, QUERIES, EVERY)
    compare(frozen, plain_losses(none, tokens))
    free = intervene(rope, tokens, QUERIES)
    assert np.abs(free["index_without_sink"] - frozen["index_without_sink"]).min() > 1e-4


def test_the_slow_ones_frozen_is_hope(decoder, tokens):
    rope, hope = decoder("rope"), decoder("hope")
    slow = torch.nonzero(hope.encoding.frequencies == 0).flatten().tolist()
    assert 0 < len(slow) < 8
    frozen, built = intervene(rope, tokens, QUERIES, slow), intervene(hope, tokens, QUERIES)
    for name in built:
        np.testing.assert_allclose(frozen[name], built[name], rtol=1e-4, atol=1e-5)


def test_removed_components_are_missing_from_every_logit(decoder, tokens, stock):
    model, chosen = decoder("rope"), [1, 4, 6]
    others = [component for component in EVERY if component not in chosen]
    whole = Whole(stock(model), lambda _, contributions: contributions[..., others].sum(-1))
    found = intervene(model, tokens, QUERIES, chosen, "remove")
    compare(found, whole.losses(tokens))
    assert np.abs(found["loss_within"] - intervene(model, tokens, QUERIES)["loss_within"]).min() > 1e-3


def test_without_any_component_attention_is_uniform(decoder, tokens):
    found = intervene(decoder("rope"), tokens, QUERIES, EVERY, "remove")
    assert found["index_without_sink"] == pytest.approx(0.0, abs=1e-5)


def test_mean_contributions_are_those_of_whole_matrices(decoder, tokens, stock):
    model = decoder("rope")
    sets = [[2], [0, 7], EVERY]
    by_hand = means_by_hand(Whole(stock(model)), tokens)
    found = mean_contributions(model, tokens[:, :-1], sets)
    assert found.shape == (3, 2, 4, 64)
    for got, chosen in zip(found, sets, strict=True):
        np.testing.assert_allclose(got, by_hand[..., chosen].sum(-1), atol=2e-5)
    short, by_hand = (
        mean_contributions(model, tokens[:, :20], sets),
        means_by_hand(Whole(stock(model)), tokens[:, :21], 20),
    )
    np.testing.assert_allclose(short[0], by_hand[..., 2], atol=2e-5)


def test_components_at_their_mean_say_nothing_of_the_tokens(decoder, tokens, stock):
    """The whole matrices of logits, with the components' part the same at each distance in all documents."""
    model, chosen = decoder("rope"), [0, 3]
    others = [component for component in EVERY if component not in chosen]
    earlier = torch.randint(0, 64, (4, 65), generator=torch.Generator().manual_seed(9))
    by_hand = means_by_hand(Whole(stock(model)), earlier)[..., chosen].sum(-1)
    far = (torch.arange(64)[:, None] - torch.arange(64)).clamp(min=0)
    whole = Whole(stock(model), lambda layer, part: part[..., others].sum(-1) + by_hand[layer][:, far])
    means = mean_contributions(model, earlier[:, :-1], [chosen])[0]
    found = intervene(model, tokens, QUERIES, chosen, "mean", means)
    compare(found, whole.losses(tokens))
    assert np.abs(found["loss_within"] - intervene(model, tokens, QUERIES)["loss_within"]).min() > 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_long_texts_in_tiles_and_pieces_are_as_short_ones_at_once(decoder, tokens, monkeypatch, mode):
    model, chosen = decoder("rope"), [0, 3]
    found = []
    for tokens_at_once, logits_at_once in ((2048, 2**19), (40, 1)):
        monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", tokens_at_once)
        monkeypatch.setattr(attention, "WHOLE", logits_at_once)
        means = mean_contributions(model, tokens[:, :-1], [chosen])[0] if mode == "mean" else None
        found.append(intervene(model, tokens, QUERIES, chosen, mode, means))
    for name in found[0]:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5, atol=1e-6)


def test_a_model_that_knows_distances_alone_is_its_own_mean(decoder, tokens):
    """With the same queries and keys at every token, the mean is what there was; angle 0 is not."""
    model = decoder("rope")
    with torch.no_grad():
        model.embedding.weight[:] = model.embedding.weight[5]
    plain = intervene(model, tokens, QUERIES)
    means = mean_contributions(model, tokens[:, :-1], [EVERY])[0]
    same = intervene(model, tokens, QUERIES, EVERY, "mean", means)
    for name in plain:
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-4, atol=1e-4)
    frozen = intervene(model, tokens, QUERIES, EVERY, "freeze")
    assert np.abs(frozen["index_without_sink"] - plain["index_without_sink"]).min() > 0.01


@pytest.mark.parametrize("mode", MODES)
def test_the_model_is_left_as_it_was(decoder, tokens, mode):
    model = decoder("rope")
    encoding, before = model.encoding, model.encoding.frequencies.clone()
    means = mean_contributions(model, tokens[:, :-1], [[0, 3]])[0] if mode == "mean" else None
    intervene(model, tokens, QUERIES, [0, 3], mode, means)
    with pytest.raises(ZeroDivisionError), intervened(model, [1], mode, means):
        raise ZeroDivisionError
    assert model.encoding is encoding and isinstance(encoding, Rotary)
    assert torch.equal(encoding.frequencies, before)


def test_past_is_from_one_length_to_two_or_not_at_all(decoder):
    model = decoder("rope")
    tokens = torch.randint(0, 64, (2, 129), generator=torch.Generator().manual_seed(3))
    losses = plain_losses(model, tokens)
    for size in (129, 65):
        found = intervene(model, tokens[:, :size], QUERIES)
        np.testing.assert_allclose(found["loss_past"], losses[:, 32:64].mean(axis=1), rtol=1e-5)
    for size in (64, 33):
        assert "loss_past" not in intervene(model, tokens[:, :size], QUERIES)


def test_the_table_has_every_mode_and_averages_the_sets(decoder, tokens, folder):
    model = decoder("rope")
    groups = [ComponentSet("activated", [[1, 2]], 0.4), ComponentSet("random", [[0, 4], [3, 5]], 0.1)]
    earlier, documents = tokens.flip(1), np.array([5, 6, 9])
    write_intervention(folder / "table.parquet", model, earlier, tokens, documents, QUERIES, groups)
    table = pd.read_parquet(folder / "table.parquet")
    assert list(table) == list(INTERVENTION_COLUMNS)
    assert len(table) == 3 * 3 * (1 + 2 * len(MODES))
    assert 1 + len(MODES) * (3 + 2 * DRAWS) == MOST_RUNS  # three single sets, and the draws of two more
    assert set(zip(table["mode"], table["set"], strict=True)) == {("none", "none")} | {
        (mode, name) for mode in MODES for name in ("activated", "random")
    }
    by_set = table.groupby("set")[["components", "variance_share"]].first()
    assert [list(by_set["components"][name]) for name in ("none", "activated", "random")] == [
        [],
        ["1", "2"],
        ["0+4", "3+5"],
    ]
    assert by_set["variance_share"].to_dict() == {"none": 0.0, "activated": 0.4, "random": 0.1}
    for mode in MODES:
        means = mean_contributions(model, earlier[:, :-1], [[0, 4], [3, 5]]) if mode == "mean" else [None, None]
        single = [
            intervene(model, tokens, QUERIES, chosen, mode, mean)["loss_past"]
            for chosen, mean in zip(([0, 4], [3, 5]), means, strict=True)
        ]
        rows = table[(table["mode"] == mode) & (table["set"] == "random") & (table["measure"] == "loss_past")]
        assert rows["document"].tolist() == [5, 6, 9]
        np.testing.assert_allclose(rows["value"], np.mean(single, axis=0))
