"""Everything that a study can list by name: the field is there, and a model learns with each."""

import pytest
import torch

from hope import config
from hope.catalogue import FAMILIES, NAMES
from hope.model.decoder import Decoder
from hope.model.loss import weighted_loss
from tests.encodings.logits_of import named

SHAPE = config.Model(layers=2, width=32, heads=4, kv_heads=2, mlp_width=48)
LENGTH = 24


def test_the_field_is_there():
    """At least sixteen distinct ones, those that give given frequencies apart."""
    assert len(set(FAMILIES) - {"rotary"}) >= 16


@pytest.mark.parametrize("name", NAMES)
def test_a_model_learns_with_it(name):
    model = Decoder(SHAPE, 64, LENGTH, named(name)).initialise(0)
    ids = torch.randint(64, (4, LENGTH), generator=torch.Generator().manual_seed(0))
    weights = torch.ones(4, LENGTH - 1) / (4 * (LENGTH - 1))
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
