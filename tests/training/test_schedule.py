"""The learning rate by step."""

import pytest

from hope import config
from hope.training.step import learning_rate

SETTINGS = config.Training(length=8, tokens=8 * 100, batch_windows=1, warmup_steps=10, learning_rate=1e-2)


def test_warm_up_is_linear_and_reaches_the_peak():
    assert learning_rate(SETTINGS, 0) == pytest.approx(1e-3)
    assert learning_rate(SETTINGS, 4) == pytest.approx(5e-3)
    assert learning_rate(SETTINGS, 9) == learning_rate(SETTINGS, 10) == pytest.approx(1e-2)


def test_cosine_passes_the_middle_and_ends_at_the_final_rate():
    assert learning_rate(SETTINGS, 55) == pytest.approx((1e-2 + 1e-6) / 2)
    assert learning_rate(SETTINGS, 100) == pytest.approx(1e-6)
    rates = [learning_rate(SETTINGS, step) for step in range(10, 100)]
    assert rates == sorted(rates, reverse=True)


def test_matches_transformers_schedule():
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    schedule = get_cosine_schedule_with_warmup(optimizer, 10, 100)
    settings = SETTINGS.model_copy(update={"final_learning_rate": 0.0})
    # Theirs begins at 0, ours at the first step of the warm-up.
    for step in range(99):
        optimizer.step()
        schedule.step()
        if step >= 10:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(learning_rate(settings, step + 1))
