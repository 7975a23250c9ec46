"""The memory that `hope plan` estimates, against the memory of real trainings, on a CPU.

Each case is trained for three steps in processes of its own, in the way a user starts it. The measurement is the
largest resident memory of any of these processes until its last step, minus that of a minimal training with the
same settings, which is Python with its libraries. The estimate is the fullest moment of `hope.plan`: what PyTorch
holds. By default the C library keeps much of the freed memory. So each case is measured twice: with freed memory
returned to the system (MALLOC_TRIM_THRESHOLD_), which the goal refers to, and with default settings.

Usage, from the project's root:
    python -m benchmarks.memory [--threads N] [--case NAME ...] [--keep]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.report import report
from hope import config
from hope.files import sha256_of_file, sha256_of_json, write_json
from hope.plan.estimate import PlanOptions, estimate_plan
from hope.training.heartbeat import last_heartbeat

ROOT = Path(__file__).resolve().parents[1]
WITHIN = 0.15
GOAL = f"every estimate within {WITHIN:.0%} of the measured peak, freed memory handed on"
HANDED_ON = {"MALLOC_TRIM_THRESHOLD_": str(2**17)}
"""Makes glibc hand freed blocks above 128 KiB back at once, its initial thresholds kept from rising."""
STEPS = 3
MIB = 2**20
NEXT_TO_NOTHING = {"layers": 1, "width": 32, "heads": 2, "mlp_width": 32, "vocabulary": 300, "length": 16}

# Weights and their state weigh most in the first, activations in the second, the vocabulary in the third.
HEAVY = {"layers": 8, "width": 640, "heads": 10, "mlp_width": 1728, "vocabulary": 8192, "length": 128}
LONG = {"layers": 8, "width": 384, "heads": 6, "mlp_width": 1024, "vocabulary": 4096, "length": 1024}
WORDY = {"layers": 4, "width": 384, "heads": 6, "mlp_width": 1024, "vocabulary": 50_261, "length": 512}
CASES: dict[str, dict[str, Any]] = {
    "heavy": HEAVY | {"windows": 2},
    "heavy, accumulated": HEAVY | {"windows": 4, "micro_batch_windows": 2},
    "heavy, stage 1, two processes": HEAVY | {"windows": 2, "zero_stage": 1, "processes": 2},
    "heavy, stage 2, two processes": HEAVY | {"windows": 2, "zero_stage": 2, "processes": 2},
    "heavy, stage 3, two processes": HEAVY | {"windows": 2, "zero_stage": 3, "processes": 2},
    "heavy, bfloat16": HEAVY | {"windows": 2, "precision": "bfloat16"},
    "heavy, bfloat16, stage 2, two processes": HEAVY
    | {"windows": 2, "precision": "bfloat16", "zero_stage": 2, "processes": 2},
    "long": LONG | {"windows": 2},
    "long, recomputed": LONG | {"windows": 4, "activation_checkpointing": True},
    "long, bfloat16": LONG | {"windows": 2, "precision": "bfloat16"},
    "wordy": WORDY | {"windows": 4},
    "wordy, recomputed": WORDY | {"windows": 4, "activation_checkpointing": True},
}


def main() -> None:
    """Measure, print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a process")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="NAME", help="some cases only")
    parser.add_argument("--keep", action="store_true", help="write the JSON to benchmarks/results/memory.json")
    options = parser.parse_args()
    rows = []
    print(f"{'case':<42} {'parameters':>10} {'reckoned, MiB':>14} {'measured':>9} {'ratio':>6} {'left alone':>11}")
    for name in options.case:
        row = compare(CASES[name], options.threads)
        row["left_alone_mib"] = round(taken(CASES[name], options.threads, {}) / MIB, 1)
        rows.append({"case": name} | row)
        print(
            f"{name:<42} {row['parameters'] / 1e6:>9.1f}M {row['reckoned_mib']:>14.0f} {row['measured_mib']:>9.0f} "
            f"{row['ratio']:>6.2f} {row['left_alone_mib']:>11.0f}",
            flush=True,
        )
    results = {
        "goal": GOAL,
        "met": all(abs(row["ratio"] - 1) <= WITHIN for row in rows),
        "results": rows,
        "threads": options.threads,
    }
    report("memory", results, ["torch", "deepspeed"], options.keep)


def compare(case: dict[str, Any], threads: int = 1) -> dict[str, Any]:
    """Return what a case takes, as reckoned and as measured with freed memory handed on."""
    arm = case_arm(case, threads)
    plan = estimate_plan("memory", arm, PlanOptions(cpu=True))
    reckoned, measured = plan.memory[arm.training.zero_stage].total, taken(case, threads, HANDED_ON)
    return {
        "parameters": plan.parameters[plan.largest].total,
        "reckoned_mib": round(reckoned / MIB, 1),
        "measured_mib": round(measured / MIB, 1),
        "ratio": round(reckoned / measured, 3),
    }


def taken(case: dict[str, Any], threads: int, environment: dict[str, str]) -> int:
    """Return the bytes that a case takes at its peak, beside Python with its libraries."""
    bare = NEXT_TO_NOTHING | {name: value for name, value in case.items() if name not in NEXT_TO_NOTHING}
    whole, without = (largest_memory(case_arm(one, threads), environment) for one in (case, bare))
    return whole - without


def case_arm(case: dict[str, Any], threads: int) -> config.Arm:
    """Return an arm of one model of the case's sizes and a few steps."""
    sizes = {name: case[name] for name in ("layers", "width", "heads", "mlp_width")}
    rest = {name: value for name, value in case.items() if name not in {*sizes, "vocabulary", "windows"}}
    training = {
        "tokens": STEPS * case["windows"] * case["length"],
        "batch_windows": case["windows"],
        "threads": threads,
    }
    content = {
        "study": "memory",
        "encodings": ["hope"],
        "tokens": {"vocabulary": case["vocabulary"]},
        "model": sizes,
        "training": training | {"warmup_steps": 1, "checkpoint_seconds": 1e9} | rest,
        "mixture": {"share": 0.0},
        "extrapolation": {"contexts": [1.0], "targets": 4, "longest": 1},
        "retrieval": {"tasks": []},
    }
    return config.parse_study(content, "benchmarks/memory.py").arms[config.MAIN]


def largest_memory(arm: config.Arm, environment: dict[str, str]) -> int:
    """Train the arm's model and return the largest resident memory of any of its processes, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_tokens(data / "train", arm.tokens.vocabulary, 4 * arm.training.length)
        command = [sys.executable, "-m", "hope", "train", "--settings", config.to_json(arm.train_stage("hope", 0))]
        for flag in ("data", "output", "checkpoints"):
            command += [f"--{flag}", str(Path(folder) / flag)]
        checkpoints = Path(folder) / "checkpoints"
        with psutil.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as run:
            largest = 0
            while run.poll() is None and not _has_trained(checkpoints):
                largest = max([largest, *map(_peak, [run, *run.children(recursive=True)])])
                time.sleep(0.01)
            errors = run.stderr.read().decode()
        if run.returncode:
            raise RuntimeError(f"the training failed:\n{errors}")
        return largest


def _has_trained(checkpoints: Path) -> bool:
    """Return whether the last step is done: what follows, writing the results, is not part of the measurement."""
    return any((beat := last_heartbeat(key)) and beat["step"] == STEPS for key in checkpoints.glob("*/"))


def _peak(process: psutil.Process) -> int:
    """Return the largest resident memory of a process so far, in bytes; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def write_tokens(folder: Path, vocabulary: int, tokens: int) -> None:
    """Write one side of a tokenized corpus: one document of random tokens."""
    folder.mkdir(parents=True)
    dtype = "<u2" if vocabulary <= 1 << 16 else "<u4"
    np.random.default_rng(0).integers(4, vocabulary, tokens).astype(dtype).tofile(folder / "shard-00000.bin")
    np.array([0, tokens], dtype="<i8").tofile(folder / "documents.bin")
    manifest = {
        "format": 1,
        "split": folder.name,
        "dtype": np.dtype(dtype).name,
        "vocabulary": vocabulary,
        "special": {"start": 0, "end": 1, "separator": 2, "query": 3},
        "tokens": tokens,
        "documents": 1,
        "characters": tokens,
        "shards": [
            {
                "file": "shard-00000.bin",
                "tokens": tokens,
                "sha256": sha256_of_file(folder / "shard-00000.bin"),
            }
        ],
        "documents_sha256": sha256_of_file(folder / "documents.bin"),
        "tokenizer_sha256": "",
        "corpus_digest": "",
    }
    write_json(folder / "manifest.json", manifest | {"digest": sha256_of_json(manifest)})


if __name__ == "__main__":
    main()
