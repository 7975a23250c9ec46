"""Every family of the catalogue: a model learns with it, and it depends on the distance alone where it says so."""

import pytest
import torch

from hope import config
from hope.catalogue import FAMILIES
from hope.model.decoder import Decoder
from hope.model.loss import weighted_loss
from tests.encodings.logits_of import FARTHEST, KINDS, drawn, logits_of, named, random, shape_of

INVARIANT = [name for name in KINDS if FAMILIES[name].shift_invariant]


def test_the_field_is_there():
    """At least sixteen families, the one that takes given frequencies aside."""
    assert len(set(FAMILIES) - {"rotary"}) >= 16
    assert set(KINDS) - set(INVARIANT) == {"darope", "fire", "sinusoidal", "learned"}


@pytest.mark.parametrize("family", KINDS)
def test_a_model_learns_with_it(family):
    length = 24
    model = Decoder(config.Model(layers=2, width=32, heads=4, kv_heads=2, mlp_width=48), 64, length, named(family))
    model.initialise(0)
    ids = torch.randint(64, (4, length), generator=torch.Generator().manual_seed(0))
    weights = torch.ones(4, length - 1) / (4 * (length - 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss, _ = weighted_loss(model, model(ids[:, :-1]), ids[:, 1:], weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize("family", INVARIANT)
def test_its_logits_depend_on_the_distance_alone(family):
    encoding, count = drawn(family, shape_of()), 80
    queries, keys = random(1, 4, count, 16), random(1, 2, count, 16, seed=1)
    near, *others = (
        logits_of(encoding, queries, keys, torch.arange(count) + start, layer=1)
        for start in (0, 1, 60, 4097, 777_777, FARTHEST + 1 - count)
    )
    assert near.isfinite().equal(torch.ones(count, count, dtype=torch.bool).tril().expand_as(near))
    for far in others:
        torch.testing.assert_close(near, far, atol=3e-5, rtol=1e-5)
    # The first token and the last of a million, without all those between them.
    ends = logits_of(encoding, queries[:, :, :2], keys[:, :, :2], torch.tensor([0, FARTHEST]))
    assert ends[..., 1, :].isfinite().all() and not ends.isnan().any()
