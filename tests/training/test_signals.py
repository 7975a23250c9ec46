"""What the processes of a training agree on."""

from types import SimpleNamespace

import pytest

from hope.training import signals


def test_several_processes_write_each_checkpoint_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(signals.dist, "new_group", lambda **_: None)
    # The other process asks for nothing, so the sum over both is what this one asks for.
    monkeypatch.setattr(signals.dist, "all_reduce", lambda *_, **__: SimpleNamespace(wait=lambda: None))
    requests = signals.Requests()
    written, checkpointed = [], 0
    for step in range(1, 41):
        _, checkpoint = requests(step - checkpointed > 10)
        if checkpoint:
            written.append(step)
            checkpointed = step
    # The answer is that of the step before: due after 11 steps, written at the 12th.
    assert written == [12, 24, 36]
