"""Run a whole study with one command: from wherever it was stopped, to its final report."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NamedTuple

import psutil

from hope.config import Study, load_study, with_base
from hope.errors import UserError
from hope.files import exclusive_lock, read_json
from hope.paths import StudyPaths
from hope.progress import FAILED, TRAIN, Progress, growing_trainings
from hope.reporting.effects import threshold
from hope.study_files import check_study
from hope.words import duration, interval, p_value, plural, signed, table

SNAKEMAKE = Path(".snakemake")
HEARTBEAT_SECONDS = 10.0
DRY_RUN = re.compile("--dry-?run|-[a-zA-Z]*n[a-zA-Z]*")
"""An option of snakemake that has it run nothing, alone or among other short ones, such as ``-np``."""
OWN = re.compile("--config|-C|--configfiles?|--directory|-d|--snakefile|-s")
"""Options of snakemake that would run another study than the one that is named at the end."""
STOPPED = "stopped; to go on from here: {}"
LAUNCHER = re.compile("(LOCAL_|CROSS_|GROUP_|ROLE_)?(RANK|SIZE|WORLD_SIZE)|MASTER_(ADDR|PORT)|TORCHELASTIC_.*")
"""Variables that torchrun and DeepSpeed's launcher set: left over in a shell they are none of a study's."""


def reproduce(
    configfiles: list[Path], cores: str, rest: list[str], checks: Iterable[Callable[[Study], None]] = ()
) -> int:
    """Run a study to its final report, from where an earlier run stopped.

    Only one such run works in a folder at a time. After a killed run, its lock on the workflow is removed once no
    snakemake works in the folder any more, and its incomplete outputs are made again.

    Args:
        configfiles: overlays of ``config.yaml``, in order.
        cores: number of cores to use, or ``all``.
        rest: further options of snakemake; with some, its own output is shown.
        checks: of the study, beside that of its files.

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
    for check in checks:
        check(study)
    paths = StudyPaths.named(study.study)
    rest = rest[1:] if rest[:1] == ["--"] else rest
    for given in rest:
        if OWN.fullmatch(given.partition("=")[0]) or given == rest[0] and given.endswith((".yaml", ".yml")):
            raise UserError(f"'{given}': would run another study than this one; give it as --configfile, before any --")
    configs = ["--configfile", *map(str, overlays)] if overlays else []
    again = _command(overlays, cores, rest)
    with exclusive_lock(SNAKEMAKE / "reproduce.lock", wait=False):
        _wait_for_engines()
        if any((SNAKEMAKE / "locks").glob("*")):
            print("removing the lock of a run that was killed", flush=True)
            _snakemake(["--unlock", "--quiet", "all", *configs])
        command = ["--cores", cores, "--rerun-incomplete", *configs, *rest]
        if rest:
            ended = _snakemake(command)
        else:
            runs, arms = len(study.runs()), ", ".join(study.arms)
            print(f"study {study.study}: {runs} models in the arms {arms}; results in {paths.root}/", flush=True)
            ended = _watched(command, configs, paths, cores)
        if ended.stopped:
            print(STOPPED.format(again), flush=True)
        elif ended.status and not rest:
            _explain(paths, again)
        if ended.status or any(DRY_RUN.fullmatch(option) for option in rest):
            return ended.status
        # Some options of snakemake, such as --summary, run nothing.
        if rest and not (paths.claims.exists() and (paths.report / "index.html").exists()):
            return 0
        return _conclude(paths, configs, again)


def _command(overlays: list[Path], cores: str, rest: list[str]) -> str:
    """Return the command that runs a study as this one was run."""
    if cores == "all" and not rest and len(overlays) <= 1:
        return "make reproduce" + "".join(f" CONFIG={shlex.quote(str(path))}" for path in overlays)
    options = ["--configfile", *map(str, overlays)] if overlays else []
    more = ["--", *rest] if rest else []
    return shlex.join(["python", "-m", "hope", "reproduce", *options, "--cores", cores, *more])


class _Ended(NamedTuple):
    """How snakemake ended: with which exit status, and whether a signal to this process stopped it."""

    status: int
    stopped: bool


def _snakemake(options: list[str], output: BinaryIO | None = None, watch: Callable[[], None] | None = None) -> _Ended:
    """Run snakemake with this Python; its status is 128 plus the number of the signal that ended it, if one did.

    Ctrl-C reaches snakemake and its jobs through the process group, so this process only waits for them. SIGTERM is
    sent on to all of them, since snakemake would wait for its jobs to end by themselves.

    Args:
        options: of snakemake.
        output: file of its output; None for this process's own. No pipe: snakemake goes on if this process is killed.
        watch: called every second meanwhile.
    """
    process = _python(["snakemake", *options], output)
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            with suppress(psutil.NoSuchProcess):
                engine = psutil.Process(process.pid)
                for child in [engine, *engine.children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):
                        child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(1.0)
                break
            if watch and not received:
                watch()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    status = 128 - status if status < 0 else status
    return _Ended(status or (1 if received else 0), bool(received))


def _python(module: list[str], output: BinaryIO | int | None) -> subprocess.Popen[bytes]:
    """Start ``python -m MODULE`` with this Python, whose folder comes first on PATH."""
    environment = {name: value for name, value in os.environ.items() if not LAUNCHER.fullmatch(name)}
    folder = os.path.dirname(sys.executable)
    environment["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    errors = subprocess.DEVNULL if output == subprocess.PIPE else subprocess.STDOUT if output else None
    return subprocess.Popen([sys.executable, "-m", *module], env=environment, stdout=output, stderr=errors)


def _watched(options: list[str], configs: list[str], paths: StudyPaths, cores: str) -> _Ended:
    """Run snakemake with its output in a file, and print how far it is."""
    log = _log(paths)
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"log: {log}; logs of the jobs: {paths.logs}/; stop it with Ctrl-C", flush=True)
    display = _Display(paths, configs, Progress(len(os.sched_getaffinity(0)) if cores == "all" else int(cores)))
    with open(log, "wb") as output, display:
        return _snakemake(options, output, display.update)


class _Display:
    """Prints one line on the whole study every few seconds, rewritten in place on a terminal."""

    def __init__(self, paths: StudyPaths, configs: list[str], progress: Progress) -> None:
        self.paths, self.configs, self.progress = paths, configs, progress
        self.seen: dict[Path, str] = {}
        self.last = time.monotonic()
        self.speed: subprocess.Popen[bytes] | None = None
        growing_trainings(paths.logs / "train_model", self.seen)

    def __enter__(self) -> "_Display":
        return self

    def __exit__(self, *error: object) -> None:
        if self.speed and self.speed.poll() is None:
            self.speed.kill()
            self.speed.wait()
        if sys.stdout.isatty() and self.progress.jobs:
            print(flush=True)

    def update(self) -> None:
        """Take in the logs, and print what is new."""
        progress, begun = self.progress, bool(self.progress.jobs)
        if not begun or time.monotonic() - self.last >= HEARTBEAT_SECONDS:
            trainings = growing_trainings(self.paths.logs / "train_model", self.seen)
            progress.read(_log(self.paths).read_text(encoding="utf-8", errors="replace"), trainings)
        if progress.jobs and not begun:
            models = sum(count for rule, count in progress.jobs.items() if rule.startswith(TRAIN))
            self._print(f"to do: {sum(progress.jobs.values())} jobs, {models} of them trainings")
            if models:
                self.speed = _python(["hope", "speed", "--json", *self.configs], subprocess.PIPE)
        self._take_speed()
        if begun and time.monotonic() - self.last >= HEARTBEAT_SECONDS:
            self.last = time.monotonic()
            self._print(progress.line, passing=True)

    def _print(self, line: str, passing: bool = False) -> None:
        """Print a line in place of the progress on a terminal; ``passing``: the next one takes its place."""
        if not sys.stdout.isatty():
            print(line, flush=True)
            return
        # A longer line would wrap, and its first row stay.
        shown = line[: shutil.get_terminal_size().columns - 1] if passing else line
        print(f"\r\x1b[2K{shown}", end="" if passing else "\n", flush=True)

    def _take_speed(self) -> None:
        """Print how long the study takes here, once the measurement of the speed has ended."""
        if self.speed is None or self.speed.poll() is None or self.progress.measured:
            return
        assert self.speed.stdout
        speeds: dict[str, dict[str, float]] = {}
        text, self.speed = self.speed.stdout.read(), None
        with suppress(ValueError):  # without a measurement, the jobs so far alone tell
            speeds = json.loads(text)
        if speeds:
            self.progress.measured = {arm: (one["training"], one["measuring"]) for arm, one in speeds.items()}
            measured = ", ".join(f"{arm} {one['tokens_per_second']:,.0f}" for arm, one in speeds.items())
            seconds = self.progress.work / self.progress.cores
            self._print(
                f"about {duration(seconds)} on {self.progress.cores} cores, by the tokens per second of a training "
                f"here: {measured}"
            )


def _log(paths: StudyPaths) -> Path:
    """Return the file of snakemake's own output."""
    return paths.logs / "snakemake.log"


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
            program, *arguments = [os.path.basename(argument) for argument in process.cmdline()[:3]] or [""]
            is_engine = program.startswith("python") and (
                arguments == ["-m", "snakemake"] or arguments[:1] == ["snakemake"]
            )
            if is_engine and process.cwd() == here and process.status() != psutil.STATUS_ZOMBIE:
                return int(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def _explain(paths: StudyPaths, again: str) -> None:
    """Print why the study is not complete: the error of each job that failed, or else what snakemake said last."""
    text = _log(paths).read_text(encoding="utf-8", errors="replace")
    logs = dict.fromkeys(Path(name) for name in FAILED.findall(text))
    reasons = [f"{log}: {_reason(log)}" for log in logs]
    if not reasons:
        reasons = [f"{_log(paths)}: {line}" for line in text.splitlines() if line.strip()][-5:]
    print("\nThe study is not complete.", *reasons, sep="\n", flush=True)
    print(f"Once that is mended, the same command goes on from here: {again}", flush=True)


def _reason(log: Path) -> str:
    """Return why a job failed: its error line, or the last line of its traceback."""
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    errors = [line.removeprefix("hope: error: ") for line in lines if line.startswith("hope: error: ")]
    if errors:
        return errors[-1]
    if any(line.startswith("Traceback ") for line in lines):
        return f"{lines[-1]} (the traceback is there)"
    return "it ended without an error of its own; if nobody stopped it, the machine's memory was full"


def _conclude(paths: StudyPaths, configs: list[str], again: str) -> int:
    """Write Snakemake's own report into the study's folder; print the verdicts and the addresses of both reports."""
    text = _log(paths).read_text(encoding="utf-8", errors="replace") if _log(paths).exists() else ""
    print(*[line for line in text.splitlines() if line.startswith("Nothing to be done")], sep="\n", end="", flush=True)
    page = paths.root / "snakemake-report.html"
    with tempfile.TemporaryFile() as output:
        ended = _snakemake(["--report", str(page), "--quiet", "all", *configs], output)
        if ended.stopped:
            print(STOPPED.format(again), flush=True)
            return ended.status
        if ended.status:
            output.seek(0)
            print(output.read().decode(errors="replace"), end="", flush=True)
            return ended.status
    print("", *verdict_lines(paths.claims), sep="\n")
    print(
        f"\nreport:          {(paths.report / 'index.html').resolve().as_uri()}"
        f"\nworkflow report: {page.resolve().as_uri()}"
        f"\nMLflow UI:       make ui STUDY={paths.root.name}",
        flush=True,
    )
    return 0


def verdict_lines(claims: Path) -> list[str]:
    """Return a table of the verdicts in ``claims.json``: two lines per claim, with its effect and what it asks for."""
    rows, beside, below = [("claim", "", "verdict", "effect")], [], []
    with suppress(UserError):
        judged = read_json(claims)
        for claim in judged["claims"]:
            shown = next(part for part in claim["parts"] if part["id"] == claim["numbers_of"])
            effect = f"{signed(shown['estimate'])} {interval(shown['low'], shown['high'], shown['estimate'])}".strip()
            rows.append((claim["id"], claim["title"], claim["verdict"], effect))
            p = "" if shown["holm_p"] is None else f"p {p_value(shown['holm_p'])}"
            beside.append("; ".join(filter(None, [shown["unit"], threshold(shown), p])))
        endpoints = plural(judged["correction"]["endpoints"], "endpoint")
        below = [f"Verdicts and p include Holm's correction over {endpoints}; intervals do not."]
    head, *lines = table(rows, left=range(4))
    margin = " " * (2 + max(len(row[0]) for row in rows))
    return [head, *(text for line, other in zip(lines, beside, strict=True) for text in (line, margin + other)), *below]
