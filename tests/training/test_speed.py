from hope.training import speed
from tests.conftest import tiny_arm


def test_the_speed_is_of_one_training(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.05)
    assert 100 < speed.training_speed(tiny_arm(tmp_path), 64) < 1e7
    assert speed.is_measured(speed.LARGEST)
