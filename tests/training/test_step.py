"""Steps: batches made ahead, micro-batches, and the gradient's norm; with a stand-in for DeepSpeed's engine."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.training.batches import Batches
from hope.training.step import Steps, learning_rate
from tests.conftest import tiny_arm


class Engine:
    """Records what it is given; its loss is the weighted sum of the tokens times its one parameter."""

    def __init__(self) -> None:
        self.module = nn.ParameterList([nn.Parameter(torch.tensor([0.5, 0.0]))])
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.0)
        self.seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.norms: list[float] = []

    def __call__(self, tokens, weights, supervised):
        self.seen.append((tokens, weights, supervised))
        losses = tokens[:, 1:] * self.module[0][0]
        return (losses * weights).sum(), losses.detach()

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def step(self) -> None:
        self.norms.append(float(self.module[0].grad.norm()))

    def get_global_grad_norm(self) -> float:
        return 7.0


@pytest.fixture(scope="module", autouse=True)
def one_process(tmp_path_factory):
    meeting = tmp_path_factory.mktemp("group") / "meeting"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def corpus(tiny_data):
    return TokenCorpus.open(tiny_data / "train")


def stage(tiny_files, **over: object) -> config.TrainStage:
    return tiny_arm(tiny_files, training=over).train_stage("rope", 0)


def steps(stage: config.TrainStage, corpus: TokenCorpus) -> tuple[Steps, Engine, Batches]:
    engine, batches = Engine(), Batches(stage, corpus)
    return Steps(stage.training, engine, batches, torch.device("cpu")), engine, batches


def test_batches_made_ahead_are_those_of_their_steps(tiny_files, corpus):
    take, engine, batches = steps(stage(tiny_files), corpus)
    asked = [0, 1, 2, 7, 8, 3, 11]
    for step in asked:
        take(step)
    for step, (tokens, weights, supervised) in zip(asked, engine.seen, strict=True):
        batch = batches.batch(step)
        assert np.array_equal(tokens.numpy(), batch.tokens)
        assert np.array_equal(weights.numpy(), batch.weights)
        assert np.array_equal(supervised.numpy(), np.flatnonzero(batch.weights))
        assert 0 < len(supervised) < batch.weights.size


def test_no_batch_is_made_past_the_last_step(tiny_files, corpus):
    take, _, batches = steps(stage(tiny_files), corpus)
    made: list[int] = []
    plain = batches.batch
    batches.batch = lambda step: made.append(step) or plain(step)
    for step in range(take.settings.steps):
        take(step)
    assert made == list(range(take.settings.steps))


def test_what_goes_wrong_ahead_is_raised_at_its_step(tiny_files, corpus):
    take, _, batches = steps(stage(tiny_files), corpus)
    plain = batches.batch

    def broken(step: int):
        if step == 2:
            raise UserError("the third batch is broken")
        return plain(step)

    batches.batch = broken
    take(0)
    take(1)
    with pytest.raises(UserError, match="the third batch is broken"):
        take(2)


def test_micro_batches_sum_to_the_batch(tiny_files, corpus):
    whole, one, _ = steps(stage(tiny_files), corpus)
    parts, many, _ = steps(stage(tiny_files, micro_batch_windows=2), corpus)
    sums, _ = whole(4)
    pieces, _ = parts(4)
    assert len(one.seen) == 1 and len(many.seen) == 4
    assert all(tokens.shape[0] == 2 for tokens, _, _ in many.seen)
    torch.testing.assert_close(pieces, sums)
    # Text and synthetic loss, apart: weighted means of 0.5 times the tokens.
    batch = Batches(stage(tiny_files), corpus).batch(4)
    parts_of = 0.5 * batch.tokens[:, 1:] * batch.weights
    # A loss of 0.5 is below ln 2: an answer that is token 1 got more than half of the probability, or token 0.
    likely = batch.synthetic & (batch.tokens[:, 1:] <= 1)
    expected = [parts_of[~batch.synthetic].sum(), parts_of[batch.synthetic].sum(), batch.weights[likely].sum()]
    assert sums.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_rate_of_the_step_is_set(tiny_files, corpus):
    take, engine, _ = steps(stage(tiny_files), corpus)
    for step in (0, 5):
        take(step)
        assert engine.optimizer.param_groups[0]["lr"] == learning_rate(take.settings, step)


def test_the_norm_returned_is_that_before_clipping(tiny_files, corpus):
    take, engine, _ = steps(stage(tiny_files, clip=1e-3), corpus)
    _, norm = take(0)
    assert engine.norms == [pytest.approx(1e-3, rel=1e-3)]
    assert norm > 1.0
    sharded, _, _ = steps(stage(tiny_files, zero_stage=1), corpus)
    assert sharded(0)[1] == 7.0
