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
_STEP = re.compile(r"step (\d+) of (\d+) ")
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
        running: shares done of the trainings that are on their way.
        started: when the run started, in seconds of a clock that never jumps.
    """

    cores: int
    measured: dict[str, tuple[float, float]] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    running: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def read(self, log: str, trainings: list[str]) -> None:
        """Take in the whole text of Snakemake's log, and the last lines of the logs of the trainings that grow."""
        self.jobs = self.jobs or planned_jobs(log)
        self.done = Counter(rule for rule in _FINISHED.findall(log) if rule in self.jobs)
        steps = [found for line in trainings if (found := _STEP.search(line))]
        self.running = [int(found[1]) / int(found[2]) for found in steps if found[1] != found[2]]

    def _seconds(self, rule: str) -> float:
        """Return the estimated seconds on one core of one job of a rule."""
        arm = self.measured.get(rule.removeprefix(TRAIN)) if rule.startswith(TRAIN) else None
        # The measurements on a model follow its training, in jobs of several rules: they are counted with it.
        return JOB_SECONDS + (sum(arm) if arm else 0.0)

    @property
    def work(self) -> float:
        """Estimated seconds of all jobs on one core."""
        return sum(count * self._seconds(rule) for rule, count in self.jobs.items())

    @property
    def share(self) -> float:
        """Share of the work that is done, from 0 to 1."""
        finished = sum(count * self._seconds(rule) for rule, count in self.done.items())
        open_trainings = [rule for rule in self.jobs if rule.startswith(TRAIN) and self.done[rule] < self.jobs[rule]]
        each = sum(map(self._seconds, open_trainings)) / max(1, len(open_trainings))
        return min(1.0, (finished + each * sum(self.running)) / self.work) if self.jobs else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until the end; None before anything is known.

        The estimate beforehand and the speed so far count by the share that is open and done.
        """
        share, elapsed = self.share, time.monotonic() - self.started
        if not self.jobs or (not self.measured and share < 0.02):
            return None
        before = self.work / self.cores
        so_far = elapsed / share if share > 0 else before
        return (1 - share) * ((1 - share) * before + share * so_far if self.measured else so_far)

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
            parts.append(f"{len(self.running)} training ({', '.join(f'{share:.0%}' for share in self.running)})")
        left = self.seconds_left
        parts.append("" if left is None else f"about {duration(left)} left")
        return ", ".join(filter(None, parts))


def growing_lines(folder: Path, seen: dict[Path, str]) -> list[str]:
    """Return the last line of each log below ``folder`` that has changed since the last call, kept in ``seen``."""
    lines = []
    for path in sorted(folder.rglob("*.log")):
        line = last_line(path)
        if line and line != seen.get(path):
            seen[path] = line
            lines.append(line)
    return lines


def last_line(path: Path) -> str:
    """Return the last complete line of a log, or an empty string."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size - 2000))
            lines = handle.read().decode(errors="replace").rpartition("\n")[0].splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
