"""Checkpoints: whole or absent, the last two kept, damage named and the one before used, no room left."""

import argparse
import errno
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hope import config
from hope.commands.steps import train
from hope.files import exclusive_lock, read_json, sha256_of_file, sha256_of_json, write_json
from hope.training import checkpoints, process
from hope.training.checkpoints import CONTENTS, checkpoint_steps, damaged_file, full_disk_is_named
from tests.training.conftest import Preloaded, Run, kill, same, until, weights, with_training

LONG = 256 * 60


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    """Change one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = {"truncated": truncate, "flipped": flip, "gone": None}


@pytest.fixture(scope="module")
def long_stage(stage: config.TrainStage) -> config.TrainStage:
    # With one process ZeRO's files are those of any stage from 1 on.
    return with_training(stage, tokens=LONG, checkpoint_seconds=0.0, zero_stage=1)


@pytest.fixture(scope="module")
def killed(preloaded: Preloaded, long_stage, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that was killed with two checkpoints; for copying only."""
    folder = tmp_path_factory.mktemp("killed")
    run = preloaded.train(long_stage, tiny_data, folder)
    until(lambda: max(steps(folder), default=0) >= 20)
    kill(run)
    return folder


@pytest.fixture(scope="module")
def whole(preloaded: Preloaded, long_stage, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    preloaded.trained(with_training(long_stage, checkpoint_seconds=1e9), tiny_data, folder)
    return folder


def steps(folder: Path) -> list[int]:
    found = [path for path in (folder / "checkpoints").glob("*") if path.is_dir()]
    return checkpoint_steps(found[0]) if found else []


def files(folder: Path) -> list[str]:
    """Return the names of a checkpoint's files."""
    newest = max(folder.glob("checkpoints/*/step-*"))
    return sorted(str(path.relative_to(newest)) for path in newest.rglob("*") if path.is_file())


def test_a_checkpoint_names_all_of_its_files(killed):
    newest = max(killed.glob("checkpoints/*/step-*"))
    assert CONTENTS in files(killed) and len(files(killed)) == 3
    assert sorted([*read_json(newest / CONTENTS)["files"], CONTENTS]) == files(killed)
    assert damaged_file(newest) is None


def test_any_damage_to_any_file_is_found(killed, tmp_path, capsys):
    newest = max(killed.glob("checkpoints/*/step-*"))
    named = dict.fromkeys(DAMAGE, 0)
    for kind, how in DAMAGE.items():
        for name in files(killed):
            shutil.copytree(newest, tmp_path / "copy")
            damage(tmp_path / "copy" / name, how)
            assert damaged_file(tmp_path / "copy") == name
            named[kind] += 1
            shutil.rmtree(tmp_path / "copy")
    with capsys.disabled():
        print(f"\ndamaged files found and named: {', '.join(f'{count} {kind}' for kind, count in named.items())}")


def damage(path: Path, how: Callable[[bytes], bytes] | None) -> None:
    if how is None:
        path.unlink()
    else:
        path.write_bytes(how(path.read_bytes()))


# Each file once, each kind once, of those that the test above has shown to be found.
@pytest.mark.parametrize(("number", "kind"), list(enumerate(DAMAGE)))
def test_the_one_before_a_damaged_one_is_used(
    number, kind, preloaded: Preloaded, long_stage, killed, whole, tiny_data, tmp_path
):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    before, newest = steps(tmp_path)
    name = files(tmp_path)[number]
    damage(max(tmp_path.glob("checkpoints/*/step-*")) / name, DAMAGE[kind])
    run = preloaded.trained(long_stage, tiny_data, tmp_path)
    lines = [line for line in run.output.splitlines() if "damaged" in line]
    assert lines == [f"checkpoint step-{newest:08d}: {name} is damaged; going back to the one before"]
    assert f"resumed at step {before} of 60" in run.output
    assert same(weights(tmp_path), weights(whole))


def test_with_none_left_it_starts_anew(preloaded: Preloaded, long_stage, killed, whole, tiny_data, tmp_path):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    for checkpoint in tmp_path.glob("checkpoints/*/step-*"):
        damage(checkpoint / CONTENTS, flip)
    run = preloaded.trained(long_stage, tiny_data, tmp_path)
    assert run.output.count("is damaged") == 2 and "resumed" not in run.output
    assert same(weights(tmp_path), weights(whole))


def test_two_are_kept_and_a_damaged_one_is_none_of_them(preloaded: Preloaded, long_stage, killed, tiny_data, tmp_path):
    assert len(steps(killed)) == 2
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    before, newest = steps(tmp_path)
    damage(max(tmp_path.glob("checkpoints/*/step-*")) / CONTENTS, None)
    run = preloaded.train(long_stage, tiny_data, tmp_path)
    until(lambda: max(steps(tmp_path), default=0) > newest)
    kill(run)
    found = steps(tmp_path)
    assert len(found) >= 2 and found[0] >= before
    (folder,) = {path.parent for path in tmp_path.glob("checkpoints/*/step-*")}
    assert [damaged_file(folder / f"step-{step:08d}") for step in found] == [None] * len(found)


class Marker:
    """What no checkpoint holds: its pickle runs code when it is read."""

    def __reduce__(self):
        return Path.touch, (Path("was-run"),)


def test_a_pickle_that_holds_more_than_tensors_is_not_run(
    preloaded: Preloaded, long_stage, killed, tiny_data, tmp_path, monkeypatch
):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    newest = max(tmp_path.glob("checkpoints/*/step-*"))
    target = newest / "mp_rank_00_model_states.pt"
    state = torch.load(target, weights_only=False)
    torch.save(state | {"more": Marker()}, target)
    content = read_json(newest / CONTENTS)
    content["files"][target.name] = sha256_of_file(target)
    content.pop("sha256")
    write_json(newest / CONTENTS, content | {"sha256": sha256_of_json(content)})
    run = preloaded.train(long_stage, tiny_data, tmp_path)
    assert run.wait() == 1
    assert not Path("was-run").exists()
    (line,) = run.errors
    assert f"{newest}: holds more than tensors and plain values" in line
    assert not list(tmp_path.glob("checkpoints/*.failed.json")), "deleting it is enough"


class FullDisk(Exception):
    """An error as PyTorch and safetensors raise it, each of a kind of its own."""


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_whatever_the_writer_raised(reason, tmp_path, monkeypatch):
    (tmp_path / "half").mkdir()
    monkeypatch.setattr(checkpoints, "_why_full", lambda folder: OSError(reason, "no"))
    with pytest.raises(OSError) as raised, full_disk_is_named(tmp_path, tmp_path / "half"):
        raise FullDisk
    assert raised.value.errno == reason and raised.value.filename == str(tmp_path)
    assert not (tmp_path / "half").exists()


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(FullDisk), full_disk_is_named(tmp_path):
        raise FullDisk
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path):
    """Return a folder on a file system of four megabytes, where this machine lets us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_in_one_line_and_can_be_gone_on_from(
    preloaded: Preloaded, long_stage, whole, tiny_data, small_disk
):
    def run() -> Run:
        return preloaded.train(long_stage, tiny_data, small_disk)

    first = run()
    until(lambda: len(steps(small_disk)) == 2)
    first.send(signal.SIGSTOP)
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(room - 200_000))
    first.send(signal.SIGCONT)
    assert first.wait() == 1
    (line,) = first.errors
    (folder,) = {path.parent for path in small_disk.glob("checkpoints/*/step-*")}
    assert line == f"hope: error: {folder}: the disk is full; free some space and run again"
    assert "Traceback" not in first.output
    assert steps(small_disk) and not list(small_disk.glob("checkpoints/*/partial-*"))
    assert not list(small_disk.glob("checkpoints/*.failed.json")), "with more room it succeeds"
    (small_disk / "filler").unlink()
    again = run()
    assert again.wait() == 0, again.output
    assert "resumed at step" in again.output
    assert same(weights(small_disk), weights(whole))


def test_the_checkpoints_stay_until_the_record_is_written(stage, tiny_data, tmp_path, monkeypatch):
    job = process.Job(stage, tiny_data, tmp_path / "model", tmp_path / "checkpoints", "")
    kept = job.checkpoints / job.name / "step-00000001"
    kept.mkdir(parents=True)
    at_record: list[bool] = []

    def record(*_: object) -> dict:
        at_record.append(kept.exists())
        return {}

    monkeypatch.setattr(process, "_is_to_train", lambda *_: False)
    monkeypatch.setattr("hope.tracking.provenance.record", record)
    for name in ("DS_ACCELERATOR", "LOCAL_RANK"):
        monkeypatch.setenv(name, "")  # put back after the test: a training sets both
    folders = {"data": tiny_data, "output": job.output, "checkpoints": job.checkpoints}
    flags = {"step": "train", "tracking": "", "launch": "{}", "rendezvous": "", "settings": config.to_json(stage)}
    train(argparse.Namespace(**flags, **folders))
    assert at_record == [True]
    assert not kept.exists()


def test_checkpoints_that_another_training_goes_on_from_stay(stage, tiny_data, tmp_path):
    job = process.Job(stage, tiny_data, tmp_path / "model", tmp_path / "checkpoints", "")
    kept = job.checkpoints / job.name
    kept.mkdir(parents=True)
    with exclusive_lock(job.lock, wait=False):
        job.remove_checkpoints()
        assert kept.exists()
    job.remove_checkpoints()
    assert not kept.exists()
