"""The record beside each result: what it was made from, by what code, where and when.

A record can be published as it is: it names neither host nor user, and its paths start at the study's folder.
"""

import contextlib
import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hope.files import digests_of, read_json, relative_name, sha256_of_file, sha256_of_json

KEY_PACKAGES = (
    "torch",
    "deepspeed",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pydantic",
    "snakemake",
    "mlflow",
    "papermill",
    "nbconvert",
    "matplotlib",
)
PACKAGE = Path(__file__).resolve().parents[1]
ROOMS = {
    "prepare-corpus": {"data"},
    "tokenize": {"data"},
    "train": {"data", "encodings", "model", "training"},
    "analyze-attention": {"data", "encodings", "model", "analysis"},
    "analyze-dynamics": {"data", "encodings", "model", "analysis"},
    "theory": {"encodings", "analysis"},
    "extrapolate": {"data", "encodings", "model", "evaluation"},
    "retrieve": {"data", "encodings", "model", "evaluation"},
}
"""Folders of the package that the results of a stage depend on."""
GROUND = {"catalogue", "config", "tasks"}
"""Folders that every stage depends on, as it does on the modules at the package's root."""
CALLERS = {"__main__", "adopt", "cli", "reproduce", "study_files"}
"""Modules at the package's root that only call the others."""


def record(stage: str, settings: dict, inputs: list[Path], outputs: list[Path], started: float) -> dict[str, Any]:
    """Return the record of a stage that has just ended.

    Args:
        stage: name of the stage, as on the command line.
        settings: all settings that the stage was given.
        inputs: files or folders that it read. A data folder is described by the digests in its manifests, a
            model folder by its weights and its config, any other folder by all its files.
        outputs: files that it wrote; missing and hidden ones are left out.
        started: when it started, in seconds since 1970.

    Returns:
        ``stage``, ``settings`` and ``settings_sha256``; ``code`` (:func:`code_digest`), ``commit`` and
        ``dirty`` (null outside a checkout); ``python``, ``packages`` and ``environment``
        (:func:`environment_digest`); ``machine``; ``started`` and ``ended`` (UTC, ISO 8601) and
        :func:`cost`; ``inputs`` and ``outputs``, by path relative to the deepest folder that holds them all.
    """
    spent = cost(started)
    # For a study's files this is the study's folder.
    base = Path(os.path.commonpath([path.absolute().parent for path in [*inputs, *outputs]] or [Path.cwd()]))
    return {
        "format": 1,
        "stage": stage,
        "settings": settings,
        "settings_sha256": sha256_of_json(settings),
        "code": code_digest(stage),
        **git_state(),
        "python": platform.python_version(),
        "packages": _versions(),
        "environment": environment_digest(),
        "machine": machine(),
        "started": _iso(started),
        "ended": _iso(started + spent["seconds"]),
        **spent,
        "inputs": {relative_name(path, base): describe_input(path) for path in inputs},
        "outputs": digests_of(outputs, base),
    }


def cost(started: float) -> dict[str, float]:
    """Return what a stage has cost so far.

    Args:
        started: when it started, in seconds since 1970.

    Returns:
        ``seconds`` by the clock; ``processor_seconds`` of this process and of those that it started and waited for,
        from its very start; ``peak_memory_bytes``, the most that one of them held.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": round(time.time() - started, 3),
        "processor_seconds": round(sum(each.ru_utime + each.ru_stime for each in used), 3),
        "peak_memory_bytes": 1024 * max(each.ru_maxrss for each in used),
    }


@functools.cache
def code_digest(stage: str) -> str:
    """Return the SHA-256 over names and contents of the ``.py`` files that a stage's results depend on.

    Those are the ground (:data:`GROUND`) and the rooms of :data:`ROOMS`: a new caption in the report
    does not make a trained model stale. A stage without an entry depends on the whole package.
    """
    rooms = ROOMS.get(stage)
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: path.relative_to(PACKAGE).as_posix()):
        name = path.relative_to(PACKAGE)
        ground = name.parts[0] in GROUND or len(name.parts) == 1 and name.stem not in CALLERS
        if rooms is None or ground or name.parts[0] in rooms:
            digest.update(f"{name.as_posix()}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


@functools.cache
def git_state() -> dict[str, Any]:
    """Return ``commit`` and ``dirty`` of the checkout that tracks this package; both null if none does."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE.parent), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        # A package installed into an environment may lie within a checkout that is not its own.
        git("ls-files", "--error-unmatch", f"{PACKAGE.name}/__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


@functools.cache
def environment_digest() -> str:
    """Return the SHA-256 over the Python version and all installed distributions with their versions."""
    packages = metadata.distributions()
    lines = {f"{(package.name or '').lower().replace('_', '-')}=={package.version}" for package in packages}
    return hashlib.sha256("\n".join([platform.python_version(), *sorted(lines)]).encode()).hexdigest()


def machine() -> dict[str, Any]:
    """Return what the stage ran on: system, processor, cores that it may use, memory and GPUs.

    GPUs are named only where torch is loaded already: loading it for their names would cost seconds.
    """
    torch = sys.modules.get("torch")
    gpus: list[str] = []
    if torch is not None:
        with contextlib.suppress(Exception):  # a broken driver must not cost the result that was just made
            gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpus,
    }


def describe_input(path: Path) -> dict[str, Any]:
    """Return the digests of an input, by file for a folder."""
    if path.is_file():
        return digests_of([path], path.parent)[path.name]
    manifests = [path / "manifest.json", *sorted(path.glob("*/manifest.json"))]
    digests = {relative_name(file, path): _manifest_digest(file) for file in manifests if file.is_file()}
    if digests:
        return {"manifests": digests}
    if (path / "model.safetensors").is_file():
        return {"files": digests_of([path / "config.json", path / "model.safetensors"], path)}
    return {"files": digests_of(sorted(path.rglob("*")), path)}


def _manifest_digest(path: Path) -> str:
    """Return the digest that a manifest states of its data, or that of the manifest itself."""
    content = read_json(path)
    stated = content.get("digest") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else sha256_of_file(path)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


@functools.cache
def _versions() -> dict[str, str]:
    versions = {}
    for name in KEY_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


@functools.cache
def _processor() -> str:
    """Return the processor's model, which ``platform.processor`` leaves empty on many systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
