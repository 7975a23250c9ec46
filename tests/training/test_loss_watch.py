"""A loss that is no number, or far above where it was: reported with its step and batch, and an end in time."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from hope import config
from hope.errors import UserError
from hope.training.loss_watch import ENOUGH, MEMORY, LossWatch
from tests.training.conftest import with_training


@pytest.fixture(autouse=True)
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def watch(stage: config.TrainStage) -> LossWatch:
    return LossWatch(with_training(stage, spike_factor=2.0, bad_steps=5))


def feed(watch: LossWatch, losses: list[float], done: int, every: int = 1) -> int:
    """Note losses, halves of them text, and look after ``every`` steps and at the end; return the steps done."""
    for number, loss in enumerate(losses, start=1):
        watch.note(torch.tensor([loss / 2, loss / 2], dtype=torch.float64))
        if number % every == 0 or number == len(losses):
            watch.look(done + number)
    return done + len(losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("every", [1, 7])
def test_a_loss_that_is_no_number_ends_it_with_step_and_batch(watch, bad, every):
    done = feed(watch, [4.0] * 30, 0, every)
    with pytest.raises(UserError, match=r"hope, seed 1: the loss is no number at step 33 \(batch 32 of seed 1\)"):
        feed(watch, [4.0, 4.0, bad, 4.0], done, 4)


@pytest.mark.parametrize("norm", [math.nan, math.inf, -1.0, torch.tensor(math.inf), torch.tensor(-1.0)])
def test_a_gradient_that_is_no_number_ends_it_too(watch, norm):
    halves = torch.tensor([2.0, 2.0], dtype=torch.float64)
    for number in (1.5, torch.tensor(0.0), None):
        watch.note(halves, number)
    watch.look(3)
    watch.note(halves, norm)
    watch.note(halves, 1.0)
    with pytest.raises(UserError, match=r"the loss's gradient is no number at step 4 \(batch 3 of seed 1\)"):
        watch.look(5)


def test_other_tasks_behind_a_lead_in_are_no_spike(stage):
    watched = with_training(
        stage, spike_factor=2.0, bad_steps=5, tokens=80 * stage.training.batch_windows * stage.training.length
    )
    lead_in = config.Mixture(share=1.0, tasks={"copy": 1.0}, lead_in={"share": 0.5, "tasks": {"recall": 1.0}})
    losses = [0.1] * 40 + [4.0] * 40
    feed(LossWatch(watched.model_copy(update={"mixture": lead_in})), losses, 0)
    with pytest.raises(UserError, match="at step 45"):
        feed(LossWatch(watched.model_copy(update={"mixture": lead_in.model_copy(update={"lead_in": None})})), losses, 0)


def test_a_spike_is_reported_once_and_its_end_too(watch, capsys):
    done = feed(watch, [4.0] * 40, 0)
    done = feed(watch, [8.1, 9.0, 4.1, 4.0], done, 4)
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "hope, seed 1: the loss is 8.100 at step 41 (batch 40 of seed 1), 2.0 times its median of the last 40"
    )
    assert second == (
        "hope, seed 1: the loss is back at 4.100 at step 43 (batch 42 of seed 1), after 2 steps above, 9.000 at most"
    )
    assert watch.bad == 0
    # The median is of the good steps: it has not moved.
    feed(watch, [7.9], done)
    assert capsys.readouterr().out == ""


def test_so_many_in_a_row_end_it(watch, capsys):
    done = feed(watch, [4.0] * 40, 0)
    done = feed(watch, [9.0] * 4, done)
    with pytest.raises(
        UserError, match=r"9.500 at step 45 \(batch 44 of seed 1\) .* 2 times its usual 4.000 for 5 steps"
    ):
        feed(watch, [9.5], done)


def test_in_a_row_means_without_a_good_step_between(watch):
    done = feed(watch, [4.0] * 40, 0)
    for _ in range(10):
        done = feed(watch, [9.0] * 4 + [4.0], done, 3)


def test_the_first_steps_have_nothing_to_be_compared_with(watch, capsys):
    feed(watch, [10.0 * (number % 2) + 1 for number in range(ENOUGH)], 0)
    assert capsys.readouterr().out == ""


def test_a_falling_loss_is_followed(watch, capsys):
    feed(watch, [16 * 0.99**step for step in range(400)], 0)
    assert capsys.readouterr().out == ""
    assert len(watch.usual) == MEMORY


@pytest.mark.parametrize("cut", [0, 5, 38, 41, 43])
def test_a_resumed_watch_goes_on_as_if_never_stopped(stage, cut, capsys):
    settings = with_training(stage, bad_steps=5)
    losses = [4.0] * 40 + [9.0] * 4 + [4.0] * 3 + [9.0] * 5

    def end(watch: LossWatch, rest: list[float], done: int) -> str:
        with pytest.raises(UserError) as raised:
            feed(watch, rest, done)
        return str(raised.value)

    whole = end(LossWatch(settings), losses, 0)
    printed = capsys.readouterr().out
    first = LossWatch(settings)
    feed(first, losses[:cut], 0)
    assert end(LossWatch(settings, first.state()), losses[cut:], cut) == whole
    assert capsys.readouterr().out == printed
