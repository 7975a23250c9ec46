"""Run a whole study with one command: from wherever it was stopped, to its final report."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from hope.config import load_study, with_base
from hope.errors import UserError
from hope.files import exclusive_lock
from hope.paths import StudyPaths
from hope.study_files import check_study

SNAKEMAKE = Path(".snakemake")
HEARTBEAT_SECONDS = 10.0
LAUNCHER = re.compile("(LOCAL_|CROSS_|GROUP_|ROLE_)?(RANK|SIZE|WORLD_SIZE)|MASTER_(ADDR|PORT)|TORCHELASTIC_.*")
"""Variables that torchrun and DeepSpeed's launcher set: left over in a shell they are none of a study's."""


def reproduce(configfiles: list[Path], cores: str, rest: list[str]) -> int:
    """Run a study to its final report, from where an earlier run stopped.

    Only one such run works in a folder at a time. After a killed run, its lock on the workflow is removed once no
    snakemake works in the folder any more, and its incomplete outputs are made again.

    Args:
        configfiles: overlays of ``config.yaml``, in order.
        cores: number of cores to use, or ``all``.
        rest: further options of snakemake.

    Returns:
        The exit status of snakemake.

    Raises:
        UserError: the config is wrong, this is no folder of the project, or another run works in it.
    """
    if not Path("Snakefile").exists():
        raise UserError(f"{Path.cwd()}: there is no Snakefile; run this in the project's own folder")
    base, *overlays = with_base(configfiles)
    study = load_study([base, *overlays])
    check_study(study)
    paths = StudyPaths.named(study.study)
    rest = rest[1:] if rest[:1] == ["--"] else rest
    configs = ["--configfile", *map(str, overlays)] if overlays else []
    with exclusive_lock(SNAKEMAKE / "reproduce.lock", wait=False):
        _wait_for_engines()
        if any((SNAKEMAKE / "locks").glob("*")):
            print("removing the lock of a run that was killed", flush=True)
            _snakemake(["--unlock", "--quiet", "all", *configs])
        started = time.time()
        with _heartbeat(paths.logs / "train_model"):
            status = _snakemake(["--cores", cores, "--rerun-incomplete", *configs, *rest])
        if status:
            _explain(paths, started)
            return status
        if not {"-n", "--dry-run", "--dryrun"}.isdisjoint(rest):
            return 0
        return _conclude(paths, configs)


def _snakemake(options: list[str]) -> int:
    """Run snakemake with this Python; return its exit status, or 128 plus the number of the signal that ended it.

    Ctrl-C reaches snakemake and its jobs through the process group, so this process only waits for them. SIGTERM is
    sent on to all of them, since snakemake would wait for its jobs to end by themselves.
    """
    folder = os.path.dirname(sys.executable)
    environment = {name: value for name, value in os.environ.items() if not LAUNCHER.fullmatch(name)}
    environment["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *options], env=environment)

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGTERM)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def _wait_for_engines() -> None:
    """Wait until no snakemake works in this folder: one whose starter was killed runs on."""
    reported = False
    while engine := _engine():
        if not reported:
            print(f"snakemake (process {engine}) is at work in this folder; waiting for it to end", flush=True)
            reported = True
        time.sleep(1.0)


def _engine() -> int | None:
    """Return the process id of a snakemake that works in this folder."""
    here = os.getcwd()
    for process in psutil.process_iter():
        try:
            names = [os.path.basename(argument) for argument in process.cmdline()[:3]]
            if "snakemake" in names and process.cwd() == here and process.status() != psutil.STATUS_ZOMBIE:
                return int(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


@contextmanager
def _heartbeat(folder: Path) -> Iterator[None]:
    """Print the last line of every log in ``folder`` that grows while the block runs."""
    ended = threading.Event()
    shown: dict[Path, str] = {path: _last_line(path) for path in folder.glob("*.log")}

    def show() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            for path in sorted(folder.glob("*.log")):
                line = _last_line(path)
                if line and line != shown.get(path):
                    shown[path] = line
                    print(f"{path.stem}: {line}", flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _last_line(path: Path) -> str:
    """Return the last complete line of a log, or an empty string."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, os.path.getsize(path) - 2000))
            lines = handle.read().decode(errors="replace").rpartition("\n")[0].splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def _explain(paths: StudyPaths, started: float) -> None:
    """Print the error line of each failed step again, after snakemake's output."""
    print("\nThe study is not complete.", flush=True)
    for log in sorted(paths.logs.rglob("*.log")):
        if log.stat().st_mtime >= started:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith("hope: error: "):
                    print(f"{log}: {line.removeprefix('hope: error: ')}")
    print("The same command goes on from here.", flush=True)


def _conclude(paths: StudyPaths, configs: list[str]) -> int:
    """Write Snakemake's own report into the study's folder and print the addresses of both reports."""
    page = paths.root / "snakemake-report.html"
    status = _snakemake(["--report", str(page), "--quiet", "all", *configs])
    if status:
        return status
    print(
        f"\nreport:          {(paths.report / 'index.html').resolve().as_uri()}"
        f"\nworkflow report: {page.resolve().as_uri()}"
        f"\nMLflow UI:       make ui STUDY={paths.root.name}",
        flush=True,
    )
    return 0
