"""The file of a user's own encoding is found as Python finds it, and never run."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from hope.catalogue.custom import source_digest, source_file
from hope.errors import UserError

EXPLODES = "raise RuntimeError('this was run')\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder that a command is run in, and another on Python's path."""
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    return tmp_path / "root"


def write(path: Path, text: str = EXPLODES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()
    return path


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("made_up_own", "made_up_own.py"),
        ("made_up_own", "made_up_own/__init__.py"),
        ("made_up_folder.own", "made_up_folder/own.py"),
        ("made_up_folder.deep.own", "made_up_folder/deep/own.py"),
    ],
)
def test_a_module_of_the_root_is_found_without_running_it(module, path, root):
    write(root / path)
    assert source_file(f"{module}:Mine") == Path(path)
    assert not [name for name in sys.modules if name.startswith("made_up_own")]


def test_packages_around_it_are_not_run_either(root):
    write(root / "made_up_package" / "__init__.py")
    write(root / "made_up_package" / "inner" / "__init__.py")
    write(root / "made_up_package" / "inner" / "own.py")
    assert source_file("made_up_package.inner.own:Mine") == Path("made_up_package/inner/own.py")


def test_one_that_lies_elsewhere_has_an_absolute_path_and_comes_after_the_root_s(root):
    there = write(root.parent / "elsewhere" / "made_up_own.py")
    assert source_file("made_up_own:Mine") == there
    write(root / "made_up_own.py")
    assert source_file("made_up_own:Mine") == Path("made_up_own.py")


@pytest.mark.parametrize(
    "family", ["made_up_none:Mine", "made_up_folder:Mine", "sys:Mine", ":Mine", "a..b:Mine", "..a:M"]
)
def test_a_module_that_is_not_there_is_one_clear_line(family, root):
    (root / "made_up_folder").mkdir()
    with pytest.raises(UserError) as caught:
        source_file(family)
    assert str(caught.value) == f"'{family}' names no module that Python finds from the project's root"


def test_the_digest_is_that_of_the_file_when_it_was_first_asked_for(root):
    path = write(root / "made_up_first.py", "one = 1\n")
    expected = hashlib.sha256(b"one = 1\n").hexdigest()
    assert source_digest("made_up_first:Mine") == expected
    path.write_text("one = 2\n")
    assert source_digest("made_up_first:Other") == hashlib.sha256(b"one = 2\n").hexdigest()
    assert source_digest("made_up_first:Mine") == expected
