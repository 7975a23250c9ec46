"""The loss whose gradients are made chunk by chunk: exact, and small."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hope import config
from hope.model import loss
from hope.model.decoder import Decoder
from hope.model.loss import softmax_gradient, weighted_loss
from tests.conftest import ROOT

VOCABULARY, WIDTH = 50, 8


def model(tied: bool = True) -> Decoder:
    shape = config.Model(layers=1, width=WIDTH, heads=2, mlp_width=8, tied_embeddings=tied)
    encoding = config.EncodingSpec(name="none", family="none", settings={})
    decoder = Decoder(shape, VOCABULARY, 16, encoding).initialise(0)
    with torch.no_grad():
        decoder.output_weight.mul_(6)
    return decoder


def case(rows: int = 3, length: int = 23) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden states, targets, and weights of which a third are 0."""
    random = torch.Generator().manual_seed(1)
    weights = torch.rand(rows, length, generator=random)
    weights[:, ::3] = 0
    return (
        torch.randn(rows, length, WIDTH, generator=random),
        torch.randint(VOCABULARY, (rows, length), generator=random),
        weights,
    )


def plain(decoder: Decoder, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    logits = F.linear(hidden, decoder.output_weight).flatten(0, 1)
    losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
    return (losses * weights.flatten().to(losses.dtype)).sum()


def gradients(decoder: Decoder, total: Tensor, hidden: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(3 * total, (hidden, decoder.output_weight)))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_loss_and_gradients_are_those_of_the_plain_formula(tied, chunk, kind, tolerance, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_LOGITS_ON_CPU", VOCABULARY * chunk)
    monkeypatch.setattr(loss, "FEWEST_ROWS_ON_CPU", 1)
    decoder = model(tied).to(kind)
    hidden, targets, weights = case()
    hidden = hidden.to(kind).requires_grad_()
    expected = plain(decoder, hidden, targets, weights)
    total, losses = weighted_loss(decoder, hidden, targets, weights)
    assert total.item() == pytest.approx(expected.item(), rel=tolerance)
    assert not losses.requires_grad and not losses[weights == 0].any() and losses[weights != 0].all()
    for found, wanted in zip(gradients(decoder, total, hidden), gradients(decoder, expected, hidden), strict=True):
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)


def test_gradients_agree_with_finite_differences(monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_LOGITS_ON_CPU", 3 * VOCABULARY)
    monkeypatch.setattr(loss, "FEWEST_ROWS_ON_CPU", 1)
    hidden, targets, weights = case(1, 7)
    projection = model().double().output_weight.detach()
    supervised = weights.flatten().nonzero()[:, 0]

    def total(hidden: Tensor, projection: Tensor) -> Tensor:
        flat = hidden.flatten(0, 1), projection, targets.flatten(), weights.flatten()
        return loss._WeightedLoss.apply(*flat, supervised, softmax_gradient)[0]

    assert torch.autograd.gradcheck(total, (hidden.double().requires_grad_(), projection.requires_grad_()))


def test_logits_far_apart_give_finite_losses_and_gradients():
    # The softmax of the target is 0 in float32 here: its logarithm alone would be infinite.
    logits = torch.tensor([[500.0, 0.0, -500.0]])
    losses, gradient = softmax_gradient(logits, torch.tensor([2]), torch.tensor([0.5]))
    assert losses.tolist() == [1000.0]
    assert gradient.tolist() == [[0.5, 0.0, -0.5]]


def test_indices_found_before_change_no_bit():
    decoder, (hidden, targets, weights) = model(), case()
    hidden.requires_grad_()
    supervised = weights.flatten().nonzero()[:, 0]
    first, second = (
        weighted_loss(decoder, hidden, targets, weights),
        weighted_loss(decoder, hidden, targets, weights, supervised),
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    for one, other in zip(gradients(decoder, first[0], hidden), gradients(decoder, second[0], hidden), strict=True):
        assert torch.equal(one, other)


def test_nothing_supervised_is_a_loss_of_zero_without_gradient():
    decoder, (hidden, targets, weights) = model(), case()
    hidden.requires_grad_()
    total, losses = weighted_loss(decoder, hidden, targets, torch.zeros_like(weights))
    assert total.item() == 0 and not losses.any()
    assert not any(gradient.any() for gradient in gradients(decoder, total, hidden))


def test_without_gradients_the_losses_are_the_same():
    decoder, (hidden, targets, weights) = model(), case()
    total, losses = weighted_loss(decoder, hidden.requires_grad_(), targets, weights)
    with torch.no_grad():
        again, same = weighted_loss(decoder, hidden, targets, weights)
    torch.testing.assert_close(same, losses)
    torch.testing.assert_close(again, total.detach())


def test_in_bfloat16_the_sum_over_chunks_is_kept_in_float32(monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_LOGITS_ON_CPU", 2 * VOCABULARY)
    monkeypatch.setattr(loss, "FEWEST_ROWS_ON_CPU", 1)
    hidden, targets, weights = case(40)
    exact, rounded = model().double(), model().bfloat16()
    with torch.no_grad():
        exact.output_weight.copy_(rounded.output_weight)
    hidden = hidden.bfloat16()
    wide = hidden.double().requires_grad_()
    narrow = hidden.clone().requires_grad_()
    wanted = gradients(exact, plain(exact, wide, targets, weights), wide)
    found = gradients(rounded, weighted_loss(rounded, narrow, targets, weights)[0], narrow)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.bfloat16
        # A bfloat16 has 8 bits: a sum kept in it over 300 chunks would be off by several per cent.
        assert (one.double() - other).norm() < 0.01 * other.norm()


# Forward and backward, each way: what that adds to the resident peak of a process, in MB.
MEASURE = """
import ctypes, sys, torch
import torch.nn.functional as F
from pathlib import Path
from hope import config
from hope.model.decoder import Decoder
from hope.model.loss import weighted_loss

torch.set_num_threads(1)
tokens, vocabulary = int(sys.argv[1]), int(sys.argv[2])
shape = config.Model(layers=1, width=16, heads=2, mlp_width=8)
model = Decoder(shape, vocabulary, 16, config.EncodingSpec(name="none", family="none", settings={})).initialise(0)
targets, weights = torch.randint(vocabulary, (1, tokens)), torch.ones(1, tokens)
hidden = torch.randn(1, tokens, 16)

def resident(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) // 1024

def train(which, count):
    states = hidden[:, :count].clone().requires_grad_()
    if which == "chunked":
        total = weighted_loss(model, states, targets[:, :count], weights[:, :count])[0]
    else:
        total = F.cross_entropy(model.logits(states)[0], targets[0, :count], reduction="sum")
    total.backward()

for which in ("chunked", "plain"):
    train(which, 64)
    model.zero_grad()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    train(which, tokens)
    print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the resident peak is read from Linux's /proc")
def test_memory_in_training_does_not_grow_with_tokens_times_vocabulary():
    tokens, vocabulary = 4096, 20_000
    command = [sys.executable, "-c", MEASURE, str(tokens), str(vocabulary)]
    # At a fixed threshold the allocator gives freed chunks back at once, whatever was allocated before.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    chunked, plain = map(int, done.stdout.split())
    logits = tokens * vocabulary * 4 / 2**20
    assert plain > logits > 300
    assert chunked < logits / 4
