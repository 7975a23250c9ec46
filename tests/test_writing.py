"""Files appear whole or not at all, and locks end with their holder."""

import errno
import multiprocessing
import os
import signal
import time

import pytest

from hope.errors import UserError, nearest
from hope.files import exclusive_lock, read_json, sha256_of_file, whole_file, write_json


def test_a_file_is_there_only_once_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with whole_file(path) as temporary:
        temporary.write_text("content")
        assert not path.exists()
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "no space")
    assert path.read_text() == "content"
    assert list(path.parent.iterdir()) == [path]


def test_json_is_sorted_and_comes_back(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": "é"})
    assert path.read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert read_json(path) == {"a": "é", "b": 1}
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(path)
    path.unlink()
    with pytest.raises(UserError, match="there is no such file"):
        read_json(path)


def test_the_digest_is_that_of_coreutils(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_of_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def hold(path, ready):
    with exclusive_lock(path, wait=False):
        ready.set()
        time.sleep(60)


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "a.lock"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(path, ready))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(UserError, match=f"held by process {holder.pid} on "), exclusive_lock(path, wait=False):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with exclusive_lock(path, wait=False):
        assert f"process {os.getpid()} " in path.read_text()


def test_nearest_names():
    assert nearest("roep", ["rope", "hope"]) == " (did you mean 'rope'?)"
    assert nearest("xyz", ["rope", "hope"]) == ""
