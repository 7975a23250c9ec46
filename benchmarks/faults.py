"""Faults during a study: does it complete in the end, equal to one that nothing disturbed?

A tiny study runs once undisturbed. Then a copy of the project meets one fault at a random moment, and the command of
`make reproduce` is repeated until it succeeds, as a user does. The study's results must then be the undisturbed ones,
byte for byte: tokens, weights, analysis, evaluation, tables and verdicts.

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
| flip | a bit of one file that a step has written is flipped after the run, and what was made from it is made again |
| cut | the same with the second half of the file cut off |

The writes and the clock are struck by a library in C (LD_PRELOAD), which needs a C compiler. A file of every kind that
a step reads is flipped and cut once per round.

Usage, from the project's root:
    python -m benchmarks.faults [--faults NAME ...] [--rounds N] [--seed N] [--keep]
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
from collections import Counter
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
    "data/*/corpus/documents.parquet": "tokenize_corpus",
    "data/*/tokenizer/tokenizer.json": "train_text",
    "data/*/train/manifest.json": "train_text",
    "data/*/train/shard-*.bin": "train_text",
    "data/*/validation/documents.bin": "evaluate_extrapolation",
    "models/text/hope/seed0/model.safetensors": "evaluate_extrapolation",
    "models/text/hope/seed0/config.json": "evaluate_extrapolation",
    "models/text/hope/seed0/history.parquet": "judge_claims",
    "analysis/text/hope/seed0/profile.parquet": "judge_claims",
    "evaluation/text/hope/seed0/extrapolation.parquet": "judge_claims",
    "claims.json": "write_report",
    "study.json": "sync_tracking",
}
"""Kinds of files that steps read, each with a rule that does."""
FAULTS = ("kill", "kill-all", "full", "read-only", "io", "memory", "clock", "twice", "flip", "cut")
TRIES = 6
"""How often the command is repeated, at most."""


@dataclass
class Try:
    """What came of one fault.

    Attributes:
        fault: its name.
        struck: where or when.
        runs: how many runs of the command it took to complete, the disturbed one included.
        different: results that are not the undisturbed ones.
        named: whether each failed run ended with a line and without a traceback.
        said: the last lines of failed runs that had a traceback or no line.
    """

    fault: str
    struck: str
    runs: int = 0
    different: list[str] = field(default_factory=list)
    named: bool = True
    said: list[str] = field(default_factory=list)


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

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each result."""
        files = {path for pattern in MADE for path in self.results.glob(pattern) if path.name not in UNEQUAL}
        return {str(path.relative_to(self.results)): sha256_of_file(path) for path in sorted(files)}


def disturbed(copy: Copy, fault: str, moment: float, draw: random.Random) -> Try:
    """Run the study with a fault after ``moment`` seconds; let it end."""
    limit = draw.randrange(1500, 4000) * 2**20 if fault == "memory" else None
    process = copy.start(address_space=limit)
    result = Try(fault, f"after {moment:.0f} s" if limit is None else f"{limit >> 20} MiB")
    if fault in ("memory", "twice") or _waited(process, moment):
        result.struck += STRIKES[fault](copy, process, draw)
    try:
        process.wait(900)
    finally:
        copy.fault.unlink(missing_ok=True)
        copy.clock.unlink(missing_ok=True)
    _note(result, copy, process.returncode, killed=fault.startswith("kill"))
    return result


def _waited(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait, and return whether the process still runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is None


def _kill(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    parent = psutil.Process(process.pid)
    victim = draw.choice([parent, *parent.children(recursive=True)])
    with contextlib.suppress(psutil.NoSuchProcess):
        words = victim.cmdline()
        victim.kill()
        return f": {' '.join(word for word in words[2:5] if not word.startswith('-'))[:40]}"
    return ": none"


def _kill_all(copy: Copy, process: subprocess.Popen[str], draw: random.Random) -> str:
    os.killpg(process.pid, signal.SIGKILL)
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
    "memory": lambda copy, process, draw: "",
    "clock": _turn_clock,
    "twice": _start_second,
}


def damaged(copy: Copy, fault: str, pattern: str, draw: random.Random) -> Try:
    """Damage one file of a finished study, and make again what is made from it."""
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
    result = Try(fault, f"{pattern} at byte {place}" if fault == "flip" else pattern)
    process = copy.start("--", "--forcerun", READ[pattern])
    process.wait(900)
    _note(result, copy, process.returncode)
    if process.returncode:
        path.unlink()  # what a user does with a file that is named
    return result


def _note(result: Try, copy: Copy, status: int, killed: bool = False) -> None:
    """Note how a run ended."""
    result.runs += 1
    text = (copy.root / "output.txt").read_text(encoding="utf-8", errors="replace")
    if status and not killed and ("Traceback" in text or not text.strip()):
        result.named = False
        result.said.append(text.strip()[-400:])


def completed(copy: Copy, result: Try, wanted: dict[str, str]) -> None:
    """Repeat the command until it succeeds, and compare the results."""
    while result.runs <= TRIES:
        process = copy.start()
        process.wait(900)
        _note(result, copy, process.returncode)
        if process.returncode == 0:
            break
    found = copy.digests()
    result.different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> None:
    """Try the faults that the command line names, and report the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--rounds", type=int, default=1, help="moments per fault, and rounds over the kinds of files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as work:
        shim = Path(work) / "faults.so"
        compiler = ["cc", "-O1", "-shared", "-fPIC", "-o", str(shim), str(ROOT / "benchmarks" / "faults.c"), "-ldl"]
        subprocess.run(compiler, check=True)
        whole = Copy(Path(work) / "undisturbed", shim)
        started = time.monotonic()
        assert whole.start().wait() == 0, (whole.root / "output.txt").read_text(encoding="utf-8")
        duration, wanted = time.monotonic() - started, whole.digests()
        print(f"undisturbed: {duration:.0f} s, {len(wanted)} files", flush=True)
        tries: list[Try] = []
        for number in range(options.rounds):
            for fault in options.faults:
                for pattern in READ if fault in ("flip", "cut") else [""]:
                    place = Path(work) / f"{fault}-{number}-{len(tries)}"
                    if pattern:
                        copy = Copy(place, shim, whole)
                        result = damaged(copy, fault, pattern, draw)
                    else:
                        copy = Copy(place, shim)
                        result = disturbed(copy, fault, draw.uniform(0.03, 0.97) * duration, draw)
                    completed(copy, result, wanted)
                    tries.append(result)
                    verdict = f"DIFFERENT: {', '.join(result.different)}" if result.different else "equal"
                    named = "" if result.named else f"; not named: {result.said[-1]!r}"
                    print(f"{fault} {result.struck}: {result.runs} runs, {verdict}{named}", flush=True)
                    shutil.rmtree(place)
    counts = Counter(each.fault for each in tries)
    results = {
        fault: {
            "tries": count,
            "equal": sum(not each.different for each in tries if each.fault == fault),
            "named": sum(each.named for each in tries if each.fault == fault),
        }
        for fault, count in counts.items()
    }
    met = all(not each.different and each.named for each in tries)
    goal = "after every fault the study completes, equal to the undisturbed one; failures are lines"
    figures = {"goal": goal, "met": met, "results": results, "seconds_undisturbed": round(duration)}
    report("faults", figures, [], options.keep)


if __name__ == "__main__":
    main()
