"""The decoder: causal, the same for all encodings, and equal to transformers' Llama."""

import pytest
import torch
import torch.nn.functional as F

from hope import config
from hope.catalogue import FAMILIES
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loss import token_losses, weighted_loss
from tests.stock import stock_llama

SHAPE = config.Model(layers=2, width=32, heads=4, kv_heads=2, mlp_width=48)
LENGTH = 24


def decoder(family: str, shape: config.Model = SHAPE, seed: int = 0, **changes: float) -> Decoder:
    settings = FAMILIES[family].settings(**changes).model_dump()
    encoding = config.EncodingSpec(name=family, family=family, settings=settings)
    return Decoder(shape, 64, LENGTH, encoding).initialise(seed).eval()


def tokens(rows: int = 3, length: int = LENGTH, seed: int = 0) -> torch.Tensor:
    return torch.randint(64, (rows, length), generator=torch.Generator().manual_seed(seed))


def louder(model: Decoder) -> Decoder:
    """Scale the weights up, so that attention is far from uniform and a fault shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "embedding" not in name else 20)
    return model


def test_rope_decoder_equals_llama():
    model = louder(decoder("rope"))
    ids = tokens(length=3 * LENGTH)
    with torch.inference_mode():
        ours = model.logits(model(ids))
        theirs = stock_llama(model)(ids).logits
    assert ours.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_sees_none_after_it(family):
    model = louder(decoder(family))
    before = tokens()
    after = before.clone()
    after[:, 15:] = (after[:, 15:] + 1) % 64
    with torch.inference_mode():
        first, second = model(before), model(after)
    torch.testing.assert_close(first[:, :15], second[:, :15], atol=1e-5, rtol=1e-5)
    assert (first[:, 15:] - second[:, 15:]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("family", "changes"),
    [*((family, {}) for family in FAMILIES), ("xpos", {"scale_base": 1.5})],  # in blocks of a few tokens
)
def test_states_from_a_token_on_are_those_of_the_whole_pass(family, changes):
    model = louder(decoder(family, **changes))
    ids = tokens(length=min(model.encoding.longest or 3 * LENGTH, 3 * LENGTH))
    with torch.inference_mode():
        whole = model(ids)
        for first in (1, 7, LENGTH - 1, ids.shape[1] - 1):
            torch.testing.assert_close(model(ids, first=first), whole[:, first:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "none"])
def test_the_order_of_the_context_matters(family):
    model = louder(decoder(family))
    ids = tokens(rows=1)
    swapped = ids.clone()
    swapped[0, [2, 9]] = ids[0, [9, 2]]
    with torch.inference_mode():
        assert (model(ids)[0, -1] - model(swapped)[0, -1]).abs().max() > 1e-3


def test_without_positions_a_single_layer_ignores_order():
    model = louder(decoder("none", SHAPE.model_copy(update={"layers": 1})))
    ids = tokens(rows=1)
    swapped = ids.clone()
    swapped[0, [2, 9]] = ids[0, [9, 2]]
    with torch.inference_mode():
        torch.testing.assert_close(model(ids)[0, -1], model(swapped)[0, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_equals_its_rows_and_default_positions_change_nothing(family):
    model = louder(decoder(family))
    ids = tokens()
    with torch.inference_mode():
        whole = model(ids)
        torch.testing.assert_close(model(ids, positions=torch.arange(LENGTH)), whole, atol=0, rtol=0)
        for row in range(len(ids)):
            torch.testing.assert_close(model(ids[row : row + 1])[0], whole[row], atol=1e-4, rtol=1e-4)


def test_shared_parameters_of_all_encodings_begin_equal_and_differ_by_seed():
    models = {family: dict(decoder(family).named_parameters()) for family in FAMILIES}
    shared = [name for name in models["rope"] if not name.startswith("encoding.")]
    for parameters in models.values():
        for name in shared:
            assert torch.equal(parameters[name], models["rope"][name]), name
    other = dict(decoder("rope", seed=1).named_parameters())
    assert not torch.equal(other["embedding.weight"], models["rope"]["embedding.weight"])


def test_learned_positions_end_at_the_training_length():
    with pytest.raises(UserError, match="position 24 has none"):
        decoder("learned")(tokens(length=LENGTH + 1))


@pytest.mark.parametrize("tied", [True, False])
def test_token_losses_equal_a_plain_cross_entropy(tied, monkeypatch):
    from hope.model import loss

    model = louder(decoder("hope", SHAPE.model_copy(update={"tied_embeddings": tied})))
    ids = tokens()
    with torch.inference_mode():
        logits = model.logits(model(ids[:, :-1])).double()
        expected = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(3, -1)
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 64 * 3 * 5)
    torch.testing.assert_close(token_losses(model, ids).double(), expected, atol=1e-4, rtol=1e-4)


def test_weighted_loss_is_the_weighted_sum():
    model = louder(decoder("rope"))
    ids = tokens()
    weights = torch.rand(3, LENGTH - 1, generator=torch.Generator().manual_seed(1))
    weights[:, ::3] = 0
    total, losses = weighted_loss(model, model(ids[:, :-1]), ids[:, 1:], weights)
    expected = token_losses(model, ids)
    torch.testing.assert_close(total.detach(), (expected * weights).sum(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(losses[weights > 0], expected[weights > 0], atol=1e-4, rtol=1e-5)
    assert not losses[weights == 0].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_gets_a_gradient_recomputed_or_not(family):
    gradients = []
    for recompute in (False, True):
        model = decoder(family)
        model.recompute = recompute
        ids = tokens()
        weighted_loss(model, model(ids[:, :-1]), ids[:, 1:], torch.ones(3, LENGTH - 1))[0].backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert all(gradient is not None and gradient.any() for gradient in found.values())
        gradients.append(found)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-5)
