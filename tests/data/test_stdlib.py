"""The embedded corpus."""

import inspect
import json.decoder
import platform
from pathlib import Path

import pytest

from hope.config import TextSource
from hope.data.sources import collect, origin
from hope.data.sources.document import WHOLE, Record, Shard
from hope.data.sources.python_stdlib import read_folder
from hope.errors import UserError


def test_modules_of_this_interpreter_come_in_order_under_names_without_a_machine_path() -> None:
    found = collect(TextSource())
    names = [document.name for document in found]
    assert dict(found)["json/decoder.py"] == inspect.getsource(json.decoder)
    assert names == sorted(names)
    assert not any(Path(name).is_absolute() or ".." in name for name in names)
    assert origin(TextSource())["python"] == platform.python_version()
    assert sum(len(document.text) for document in found) > 5_000_000


def test_tests_tables_installed_packages_and_build_files_are_left_out(tmp_path: Path) -> None:
    kept = ["a.py", "json/decoder.py", "unittest/case.py", "idlelib/editor.py"]
    left_out = [
        "test/test_a.py",
        "unittest/test/test_b.py",
        "lib2to3/tests/c.py",
        "idlelib/idle_test/d.py",
        "encodings/cp1252.py",
        "site-packages/numpy/e.py",
        "dist-packages/f.py",
        "ensurepip/__init__.py",
        "config-3.11-x86_64-linux-gnu/python-config.py",
        "_sysconfigdata__linux_x86_64-linux-gnu.py",
        "sitecustomize.py",
        "lib-dynload/g.so",
        "__pycache__/a.cpython-311.pyc",
        "LICENSE.txt",
    ]
    for name in kept + left_out:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name = '{name}'\n")
    assert [document.name for document in read_folder(tmp_path, Record(), WHOLE)] == sorted(kept)
    parts = [read_folder(tmp_path, Record(), Shard(number, 3)) for number in range(3)]
    assert [document.name for part in parts for document in part] == sorted(kept)


def test_an_interpreter_without_sources_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.pyc").write_bytes(b"\0")
    with pytest.raises(UserError, match=r"^corpus\.source: .*use another Python[^\n]*$"):
        list(read_folder(tmp_path, Record(), WHOLE))
