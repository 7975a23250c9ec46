"""The rules run on the very packages that the tests run on."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "envs").glob("*.yaml"))


def lines(name: str) -> dict[str, str]:
    """Return the pins of a requirements file, by name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin", ROOT / "envs" / "pin.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pip_part(path: Path) -> dict[str, str]:
    (pip,) = [
        item for item in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"] if isinstance(item, dict)
    ]
    return dict(requirement.split("==") for requirement in pip["pip"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_environment_is_python_pip_and_pins_of_the_lock(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge"]
    assert set(content) == {"channels", "dependencies"}
    python, pip, _ = content["dependencies"]
    assert re.fullmatch(r"python=3\.1[1-3]\.\d+", python)
    assert re.fullmatch(r"pip=[\d.]+", pip)
    lock = lines("requirements.lock")
    assert pip_part(path).items() <= lock.items()


def test_environments_and_lock_are_complete(pin: ModuleType) -> None:
    # Only packages that this interpreter's own version needs may be missing from what was written under another.
    written = {"requirements.lock": lines("requirements.lock")} | {path.stem: pip_part(path) for path in FILES}
    assert set(written) == {"requirements.lock", *pin.ENVIRONMENTS}
    for name, pins in written.items():
        wanted = pin.named() if name == "requirements.lock" else pin.ENVIRONMENTS[name][1].split()
        assert dict(line.split("==") for line in pin.pins(wanted)).items() <= pins.items()


def test_the_tests_run_on_the_lock(pin: ModuleType) -> None:
    assert set(pin.pins(pin.named())) <= {f"{name}=={version}" for name, version in lines("requirements.lock").items()}


def test_what_is_asked_for_by_name_is_in_the_lock() -> None:
    lock = lines("requirements.lock")
    asked = {canonicalize_name(name): version for name, version in lines("requirements.in").items()}
    assert asked.items() <= lock.items()
    assert asked["torch"] == "2.13.0"


def test_reports_need_no_torch() -> None:
    assert "torch" not in pip_part(ROOT / "envs" / "report.yaml")


def test_both_images_install_the_lock_as_everyone_does() -> None:
    base, *stages = (ROOT / "Containerfile").read_text(encoding="utf-8").split("\nFROM ")[1:]
    assert re.match(r"docker\.io/library/python:3\.1[1-3]\.\d+-\S+ AS base\n", base)
    assert "COPY --chown=hope Makefile requirements.lock ./" in base and "USER 1000" in base
    assert [re.match(r"base AS (\w+)\n", stage)[1] for stage in stages] == ["cpu", "cuda"]  # type: ignore[index]
    for stage in stages:
        assert "RUN make setup PIP_ARGS=" in stage and 'CMD ["make", "reproduce"]' in stage
        assert "pip install" not in stage
