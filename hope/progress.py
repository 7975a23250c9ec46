"""How far a running study is and how long it will take, from what Snakemake and the trainings write."""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hope.words import duration

JOB_SECONDS = 5.0
"""Time of a job on one core beside what is measured: mostly the start of Python and its libraries (docs/budget.md)."""

_TABLE = re.compile(r"^([\w.-]+) +(\d+)$", re.MULTILINE)
_FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: ([\w.-]+)\)$", re.MULTILINE)
FAILED = re.compile(r"^Error in rule [\w.-]+:\n(?:    .*\n)*?    log: (.*?) \(check log file", re.MULTILINE)
"""The log of a failed job, in the output of snakemake."""
_STEP = re.compile(r"^step (\d+) of (\d+) .*", re.MULTILINE)
_RESUMED = re.compile(r"^resumed at step (\d+) of (\d+)", re.MULTILINE)
TRAIN = "train_"
"""Beginning of the names of the rules that train, one per arm."""


def planned_jobs(log: str) -> dict[str, int]:
    """Return the jobs of a run, by rule, as Snakemake's log lists them before the first; empty before it does."""
    table = re.search(r"^Job stats:$(.*?)^total ", log, re.DOTALL | re.MULTILINE)
    return {rule: int(count) for rule, count in _TABLE.findall(table[1] if table else "") if rule != "all"}


@dataclass
class Progress:
    """The state of a run.

    Attributes:
        cores: number of cores that jobs run on.
        measured: seconds on one core of one training, and of the measurements on one model, by arm; empty until known.
        jobs: planned jobs, by rule.
        done: finished jobs, by rule.
        running: share done of each training that is on its way, by its log.
        resumed: share that each training seen so far had when it was started in this run, by its log.
        failures: number of failed jobs.
        started: when the run started, in seconds of a clock that never jumps.
    """

    cores: int
    measured: dict[str, tuple[float, float]] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    running: dict[Path, float] = field(default_factory=dict)
    resumed: dict[Path, float] = field(default_factory=dict)
    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    def read(self, log: str, trainings: dict[Path, float]) -> None:
        """Take in the whole text of Snakemake's log, and the share done of the trainings whose logs have grown."""
        self.jobs = self.jobs or planned_jobs(log)
        self.done = Counter(rule for rule in _FINISHED.findall(log) if rule in self.jobs)
        self.resumed |= {path: resumed_share(path) for path in trainings.keys() - self.resumed.keys()}
        # A training with slow steps stays, though its log may not grow for a while.
        self.running = {path: share for path, share in (self.running | trainings).items() if share < 1.0}
        failed = FAILED.findall(log)
        for name in failed[self.failures :]:
            self.running.pop(Path(name), None)
        self.failures = len(failed)

    def _seconds(self, rule: str) -> float:
        """Return the estimated seconds on one core of one job of a rule."""
        arm = self.measured.get(rule.removeprefix(TRAIN)) if rule.startswith(TRAIN) else None
        # The measurements on a model follow its training, in jobs of several rules: they are counted with it.
        return JOB_SECONDS + (sum(arm) if arm else 0.0)

    def _of_trainings(self, shares: dict[Path, float]) -> float:
        """Return the estimated seconds on one core of these shares of trainings."""
        # A log is in a folder named after its arm.
        return sum(share * self._seconds(f"{TRAIN}{path.parent.name}") for path, share in shares.items())

    @property
    def work(self) -> float:
        """Estimated seconds of all jobs on one core."""
        return sum(count * self._seconds(rule) for rule, count in self.jobs.items())

    @property
    def share(self) -> float:
        """Share of the work that is done, from 0 to 1."""
        finished = sum(count * self._seconds(rule) for rule, count in self.done.items())
        return min(1.0, (finished + self._of_trainings(self.running)) / self.work) if self.jobs else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until the end; None before anything is known.

        The estimate beforehand and the speed so far count by the share that is open and done, of what was open when
        this run started: what resumed trainings had done before says nothing about its speed.
        """
        share, elapsed = self.share, time.monotonic() - self.started
        earlier = self._of_trainings(self.resumed) / self.work if self.jobs else 0.0
        here = max(0.0, share - earlier)
        if not self.jobs or (not self.measured and here < 0.02):
            return None
        before = self.work / self.cores
        so_far = elapsed / here if here > 0 else before
        weight = here / max(1e-9, 1 - earlier)
        return (1 - share) * ((1 - weight) * before + weight * so_far if self.measured else so_far)

    @property
    def line(self) -> str:
        """The state in one line."""
        done, jobs = sum(self.done.values()), sum(self.jobs.values())
        models, trained = (
            sum(count for rule, count in counts.items() if rule.startswith(TRAIN)) for counts in (self.jobs, self.done)
        )
        parts = [f"{self.share:4.0%}", f"{done} of {jobs} jobs"]
        if models:
            parts.append(f"{trained} of {models} models trained")
        if self.running:
            parts.append(
                f"{len(self.running)} training ({', '.join(f'{share:.0%}' for share in self.running.values())})"
            )
        left = self.seconds_left
        parts.append("" if left is None else f"about {duration(left)} left")
        return ", ".join(filter(None, parts))


def growing_trainings(folder: Path, seen: dict[Path, str]) -> dict[Path, float]:
    """Return the share done of each training whose log below ``folder`` has grown.

    Args:
        folder: of the logs.
        seen: the last line with a step in each log at the last call; brought up to date.
    """
    shares = {}
    for path in sorted(folder.rglob("*.log")):
        *_, last = [None, *_STEP.finditer(_complete_lines(path, -2000))]
        if last and last[0] != seen.get(path):
            seen[path] = last[0]
            shares[path] = int(last[1]) / int(last[2])
    return shares


def resumed_share(log: Path) -> float:
    """Return the share that the training with this log had when it was resumed; 0 if it started from nothing."""
    resumed = _RESUMED.search(_complete_lines(log, 100_000))
    return int(resumed[1]) / int(resumed[2]) if resumed else 0.0


def _complete_lines(path: Path, size: int) -> str:
    """Return the complete lines among the first ``size`` bytes of a log, or the last if it is negative."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size + size) if size < 0 else 0)
            return handle.read(abs(size)).decode(errors="replace").rpartition("\n")[0]
    except OSError:
        return ""
