"""Faults during a study: does it complete in the end, equal to one that nothing disturbed?

A tiny study runs once undisturbed. Then a copy of the project meets a fault at a random moment, the command of
`make reproduce` is repeated, as a user does, and meets the fault again, until the study is complete. The results must
then be the undisturbed ones, byte for byte: tokens, weights, analysis, evaluation, tables and verdicts.

| fault | what happens |
|---|---|
| kill | one process of the run, at random, gets SIGKILL |
| kill-all | all of them do |
| full | every write below results/ fails with ENOSPC from a moment on, until the run has ended |
| read-only | the same with EROFS |
| io | the same with EIO, for a second |
| memory | the run's address space is limited, so that jobs fail |
| clock | the wall clock jumps by a day, ahead or back |
| twice | a second run is started beside the first; it must be refused |
| flip | a bit of one file that a step has written is flipped after the run, and a step that reads it runs again |
| cut | the same with the second half of the file cut off |

The writes and the clock are struck by a library in C (LD_PRELOAD), which needs a C compiler. A file of every kind that
a step reads is flipped and cut once per round.

Usage, from the project's root:
    python -m benchmarks.faults [--faults NAME ...] [--rounds N] [--kinds PATTERN ...] [--seed N] [--keep]
"""

import argparse
import contextlib
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.report import report
from hope.files import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "config.yaml", "hope", "notebooks", "profiles", "workflow", "envs")
STUDY = """\
study: faults
encodings: [rope, hope]
seeds: {count: 1}
arms: {retrieval: null}
corpus: {validation: {long_documents: 8, long_characters: 4000}}
tokens: {vocabulary: 512}
model: {layers: 1, width: 32, heads: 2, mlp_width: 64}
training: {length: 32, tokens: 20480, warmup_steps: 4, checkpoint_seconds: 0.0, snapshots: 1}
analysis: {documents: 4, multiples: [1.0, 2.0], queries: 2}
extrapolation: {documents: 4, windows: 1, longest: 4, contexts: [0.5, 1.0, 2.0, 4.0], targets: 8}
retrieval: {tasks: [copy], multiples: [1.0], prompts: 8}
"""
MADE = ("data/*/corpus/documents.parquet", "data/*/tokenizer/*.json", "data/*/*/*.bin", "models/**/*.safetensors") + (
    "analysis/**/*.parquet",
    "evaluation/**/*.parquet",
    "tables/*.parquet",
    "claims.json",
)
"""The results that must be equal. What else a study writes has times in it."""
UNEQUAL = ("cost.parquet",)
"""Tables of times."""
READ = {
    "data/*/corpus/corpus.json": "tokenize_corpus",
    "data/*/corpus/documents.parquet": "tokenize_corpus",
    "data/*/corpus/parts/*/texts.parquet": "tokenize_corpus",
    "data/*/train/manifest.json": "train_text",
    "data/*/train/documents.bin": "train_text",
    "data/*/train/shard-*.bin": "train_text",
    "data/*/validation/manifest.json": "check_lengths",
    "data/*/validation/documents.bin": "evaluate_extrapolation",
    "data/*/validation/shard-*.bin": "evaluate_extrapolation",
    "data/*/unknown.json": "render_notebook",
    "data/lengths/*.json": "judge_claims",
    "models/text/hope/seed0/model.safetensors": "evaluate_extrapolation",
    "models/text/hope/seed0/config.json": "evaluate_extrapolation",
    "models/text/hope/seed0/snapshots/*.safetensors": "analyze_dynamics",
    "models/text/hope/seed0/history.parquet": "judge_claims",
    "models/text/hope/seed0/run.json": "judge_claims",
    "analysis/text/hope/seed0/profile.parquet": "draw_figures",
    "analysis/text/hope/seed0/activation.parquet": "draw_figures",
    "analysis/text/hope/seed0/components.parquet": "judge_claims",
    "analysis/text/hope/seed0/dynamics.parquet": "draw_figures",
    "analysis/text/hope/seed0/intervention.parquet": "judge_claims",
    "analysis/text/hope/seed0/divergence.parquet": "draw_figures",
    "analysis/text/hope/seed0/ushape.parquet": "draw_figures",
    "analysis/text/hope/seed0/kernel_trained.parquet": "draw_figures",
    "analysis/text/theory/kernel.parquet": "judge_claims",
    "analysis/text/hope/seed0/provenance.json": "write_report",
    "evaluation/text/hope/seed0/extrapolation.parquet": "judge_claims",
    "evaluation/text/hope/seed0/context.parquet": "judge_claims",
    "evaluation/text/hope/seed0/retrieval.parquet": "judge_claims",
    "evaluation/text/hope/seed0/retrieval.json": "write_report",
    "tables/comparisons.parquet": "draw_figures",
    "claims.json": "draw_figures",
    "study.json": "write_report",
    "figures/text/retrieval.svg": "write_report",
    "mlflow/mlflow.db": "sync_tracking",
}
"""Kinds of files that steps read, each with a rule that does."""
FAULTS = ("kill", "kill-all", "full", "read-only", "io", "memory", "clock", "twice", "flip", "cut")
LASTING = ("full", "read-only", "memory", "twice")
"""Faults that strike a run once and stay; the others strike it again and again."""
MOMENTS = (0.02, 0.3)
"""When a fault strikes, and how long after it the next: between these shares of an undisturbed run."""
TRIES = 6
"""How often the command is repeated, at most, when no fault strikes any more."""


@dataclass
class Try:
    """What became of a copy of the study.

    Attributes:
        fault: its name.
        struck: where or when, for each time.
        runs: how many runs of the command it took to complete, the disturbed ones included.
        different: results that are not the undisturbed ones.
        unnamed: the last lines of failed runs that had a traceback or no line.
        failed: the last lines of the last run, if it failed.
    """

    fault: str
    struck: list[str] = field(default_factory=list)
    runs: int = 0
    different: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    failed: str = ""


class Copy:
    """A copy of the project with the tiny study."""

    def __init__(self, root: Path, shim: Path, source: "Copy | None" = None) -> None:
        """Copy the project to ``root``; from ``source``, with its results."""
        self.root, self.shim = root, shim
        if source:
            shutil.copytree(source.root, root, symlinks=True)
        else:
            root.mkdir()
            for name in COPIED:
                origin = ROOT / name
                if origin.is_dir():
                    shutil.copytree(origin, root / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(origin, root / name)
            (root / "faults.yaml").write_text(STUDY, encoding="utf-8")
        self.fault, self.clock = root.parent / f"{root.name}.fault", root.parent / f"{root.name}.clock"

    @property
    def results(self) -> Path:
        """Folder of the study."""
        return self.root / "results" / "faults"

    def start(self, *rest: str, address_space: int | None = None) -> subprocess.Popen[str]:
        """Start the study in a process group of its own."""
        environment = os.environ | {
            "LD_PRELOAD": str(self.shim),
            "FAULT_FOLDER": str(self.root / "results"),
            "FAULT_FILE": str(self.fault),
            "FAULT_CLOCK": str(self.clock),
        }

        def limit() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        with open(self.root / "output.txt", "w", encoding="utf-8") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "hope", "reproduce", "--configfile", "faults.yaml", *rest],
                cwd=self.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=limit,
            )

    def output(self) -> str:
        """Return what the last run has printed."""
        return (self.root / "output.txt").read_text(encoding="utf-8", errors="replace")

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each result."""
        files = {path for pattern in MADE for path in self.results.glob(pattern) if path.name not in UNEQUAL}
        return {str(path.relative_to(self.results)): sha256_of_file(path) for path in sorted(files)}


def disturb(copy: Copy, fault: str, wanted: dict[str, str], strikes: int, duration: float, draw: random.Random) -> Try:
    """Run the study until it is complete, while the fault strikes up to ``strikes`` times; compare the results."""
    result = Try(fault)
    while result.runs < strikes + TRIES:
        limit = None
        if result.fault == "memory" and len(result.struck) < strikes:
            limit = draw.randrange(1500, 4000) * 2**20
            result.struck.append(f"{limit >> 20} MiB")
        started = time.monotonic()
        process = copy.start(address_space=limit)
        try:
            while (
                limit is None and len(result.struck) < strikes and _waited(process, draw.uniform(*MOMENTS) * duration)
            ):
                result.struck.append(f"{time.monotonic() - started:.0f} s{STRIKES[result.fault](copy, process, draw)}")
                if result.fault in LASTING:
                    break
            process.wait(900)
        finally:
            copy.fault.unlink(missing_ok=True)
            copy.clock.unlink(missing_ok=True)
        _note(result, copy, process.returncode)
        if process.returncode == 0:
            break
    _compare(result, copy, wanted)
    return result


def _waited(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait, and return whether the process still runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is None


def _at_work(copy: Copy) -> list[psutil.Process]:
    """Return the processes that work in a copy, those whose starter was killed too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if Path(process.cwd()).is_relative_to(copy.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _kill(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, IndexError):
        victim = draw.choice(_at_work(copy))
        words = [word for word in victim.cmdline() if not word.startswith("-")]
        victim.kill()
        return f": {' '.join([Path(words[0]).name, *words[1:3]])[:40]}"
    return ": none"


def _kill_all(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    for victim in _at_work(copy):
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    return ""


def _fail_writes(number: int, seconds: float | None = None) -> Callable[..., str]:
    def strike(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
        copy.fault.write_text(str(number), encoding="utf-8")
        if seconds is not None:
            time.sleep(seconds)
            copy.fault.unlink()
        return ""

    return strike


def _turn_clock(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    jump = draw.choice([-86_400, 86_400])
    copy.clock.write_text(str(jump), encoding="utf-8")
    return f": by {jump} s"


def _start_second(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    time.sleep(3)
    command = [sys.executable, "-m", "hope", "reproduce", "--configfile", "faults.yaml"]
    second = subprocess.run(command, cwd=copy.root, capture_output=True, text=True, timeout=300)
    refused = second.returncode == 1 and "held by process" in second.stderr and second.stderr.count("\n") == 1
    return ": refused" if refused else f": NOT refused ({second.stderr[-200:]})"


STRIKES: dict[str, Callable[..., str]] = {
    "kill": _kill,
    "kill-all": _kill_all,
    "full": _fail_writes(errno.ENOSPC),
    "read-only": _fail_writes(errno.EROFS),
    "io": _fail_writes(errno.EIO, 1.0),
    "clock": _turn_clock,
    "twice": _start_second,
}


def damage(copy: Copy, fault: str, pattern: str, wanted: dict[str, str], draw: random.Random) -> Try:
    """Damage one file of a finished study, and run a step that reads it; if that fails, without the file once more."""
    path = sorted(copy.results.glob(pattern))[0]
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    if fault == "flip":
        content[place] ^= 1 << draw.randrange(8)
    else:
        del content[len(content) // 2 :]
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = Try(fault, [f"{pattern} at byte {place}" if fault == "flip" else pattern])
    command = ["--", "--forcerun", READ[pattern], "--until", READ[pattern]]
    process = copy.start(*command)
    process.wait(900)
    _note(result, copy, process.returncode)
    if process.returncode:
        logs = [copy.root / "output.txt", *(copy.results / "logs").rglob("*.log")]
        lines = [line for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        error = next((line for line in lines if line.startswith("hope: error: ") and path.name in line), "")
        result.struck[0] += f" ({error.removeprefix('hope: error: ') or 'NOT named'})"
        _follow(copy, path, error)
        process = copy.start(*command)
        process.wait(900)
        _note(result, copy, process.returncode)
    _compare(result, copy, wanted)
    return result


def _follow(copy: Copy, path: Path, error: str) -> None:
    """Do what the line of an error asks for: delete what it names, or the damaged file."""
    remedy = error.partition("delete ")[2].partition(";")[0]
    named = [copy.root / word.strip(",;:") for word in (error if remedy.startswith("both") else remedy).split()]
    for found in [each for each in named if each.is_relative_to(copy.results) and each.exists()] or [path]:
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def _compare(result: Try, copy: Copy, wanted: dict[str, str]) -> None:
    """Note which results are not the undisturbed ones."""
    found = copy.digests()
    result.different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _note(result: Try, copy: Copy, status: int) -> None:
    """Note how a run ended."""
    result.runs += 1
    text = copy.output()
    result.failed = text.strip()[-400:] if status else ""
    if status and not result.fault.startswith("kill") and ("Traceback" in text or not text.strip()):
        result.unnamed.append(text.strip()[-400:])


def main() -> None:
    """Try the faults that the command line names, and report the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--rounds", type=int, default=1, help="strikes of a fault, and rounds over the kinds of files")
    parser.add_argument(
        "--kinds", nargs="+", choices=READ, default=list(READ), metavar="PATTERN", help="kinds of files"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/faults-<name>.json")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as work:
        shim = Path(work) / "faults.so"
        compiler = ["cc", "-O1", "-shared", "-fPIC", "-o", str(shim), str(ROOT / "benchmarks" / "faults.c"), "-ldl"]
        subprocess.run(compiler, check=True)
        whole = Copy(Path(work) / "undisturbed", shim)
        started = time.monotonic()
        assert whole.start().wait() == 0, whole.output()
        duration, wanted = time.monotonic() - started, whole.digests()
        print(f"undisturbed: {duration:.0f} s, {len(wanted)} files", flush=True)
        for fault in options.faults:
            tries: list[Try] = []
            left = (options.kinds if fault in ("flip", "cut") else [""]) * options.rounds
            while left:
                place = Path(work) / f"{fault}-{len(tries)}"
                copy = Copy(place, shim, whole if left[0] else None)
                if left[0]:
                    result = damage(copy, fault, left[0], wanted, draw)
                else:
                    result = disturb(copy, fault, wanted, len(left), duration, draw)
                del left[: len(result.struck)]
                tries.append(result)
                verdict = f"DIFFERENT: {', '.join(result.different)}" if result.different else "equal"
                print(f"{fault} {'; '.join(result.struck)}: {result.runs} runs, {verdict}", flush=True)
                for text in result.unnamed:
                    print(f"not named: {text!r}", flush=True)
                if result.failed:
                    print(f"NOT complete: {result.failed!r}", flush=True)
                shutil.rmtree(place)
            counts = {
                "strikes": sum(len(each.struck) for each in tries),
                "studies": len(tries),
                "complete": sum(not each.failed for each in tries),
                "equal": sum(not each.different for each in tries),
                "runs": sum(each.runs for each in tries),
                "unnamed": sum(len(each.unnamed) for each in tries),
            }
            met = counts["complete"] == counts["equal"] == counts["studies"] and not counts["unnamed"]
            goal = "after every strike the study completes, equal to the undisturbed one; failures are lines"
            figures = {"fault": fault, "goal": goal, "met": met, **counts, "seconds_undisturbed": round(duration)}
            report("faults", figures, [], options.keep, f"faults-{fault}")


if __name__ == "__main__":
    main()
