"""A training step: this trainer against a plain loop around transformers' `LlamaForCausalLM`.

All sides train the same model from the same weights on the same batches with the same optimiser, clipping,
schedule and precision. If the losses of a side differ, the benchmark stops. Each side is a process of its own. They
take their steps in turn, in an order that changes from round to round, and a ratio is the median over the
rounds. Measured besides the peers: this trainer a second time (how much two equal sides differ), with HoPE,
compiled, and the same decoder without DeepSpeed. On a CPU, one more process measures the memory of the loss at a
large vocabulary, forward and backward.

Usage, from the project's root:
    python -m benchmarks.training [--size PRESET] [--threads N] [--rounds N] [--steps N] [--windows N]
        [--vocabulary N] [--without SIDE ...] [--keep]
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import report
from benchmarks.training_sides import OURS, PEERS, Setting, loss_memory
from hope import config
from hope.errors import UserError
from hope.plan.compute import forward

LARGE_VOCABULARY = 50_304  # GPT-2's, padded
LOSS_TOKENS, LOSS_MEMORY_MB = 32_768, 1024
GOALS = {"cpu": (1.3, None), "cuda": (1.1, 0.5)}  # times the best peer, share of the measured ceiling
AGREE = {"float32": 1e-3, "bfloat16": 3e-2}  # largest relative difference of the first losses
FIRST_STEPS = 3


class ContestantProcess:
    """A contestant's process."""

    def __init__(self, name: str, setting: Setting) -> None:
        """Start it; it builds its model at its first steps."""
        self.name = name
        self.rates: list[float] = []  # tokens a second, by round
        self.work: list[float] = []  # CPU seconds per token, by round
        self.first: dict[str, Any] = {}
        command = [sys.executable, "-m", "benchmarks.training_sides", name, str(time.time()), setting.to_json()]
        root = Path(__file__).parents[1]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def steps(self, count: int) -> dict[str, Any]:
        """Have it do ``count`` steps, and return what it says of them."""
        assert self.process.stdin and self.process.stdout
        print(count, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"the side '{self.name}' ended; its message is above")
        return json.loads(answer)

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Compare, print a table and, last, one line of JSON."""
    options = arguments()
    if options.loss_memory:
        torch.set_num_threads(options.threads)
        print(loss_memory(LOSS_TOKENS, LARGE_VOCABULARY, options.loss_memory))
        return
    setting = make_setting(options)
    names = [name for name in sides_at_hand(setting) if name not in options.without]
    products = ContestantProcess("products", setting)
    ceilings = [products.steps(1)["flops"]]
    sides: dict[str, ContestantProcess] = {}
    for name in names:
        sides[name] = ContestantProcess(name, setting)
        first = sides[name].steps(1)
        more = sides[name].steps(FIRST_STEPS - 1)
        sides[name].first = first | {"losses": first["losses"] + more["losses"]}
        print(
            f"{name}: first step after {first['since_start']:.1f} s, losses {losses_text(sides[name].first)}",
            flush=True,
        )
    check_losses(sides, names, setting)

    training = setting.stage.training
    tokens = options.steps * training.batch_windows * training.length
    for number in range(options.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            answer = sides[name].steps(options.steps)
            sides[name].rates.append(tokens / answer["seconds"])
            sides[name].work.append(answer["cpu_seconds"] / tokens)
            sides[name].first["peak_mb"] = answer["peak_mb"]
        ceilings.append(products.steps(1)["flops"])
    for side in (products, *sides.values()):
        side.end()
    conclude(options, setting, list(sides.values()), max(ceilings))


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="default", help="a preset of workflow/presets (default: the default study)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side, of its compiler too")
    parser.add_argument("--rounds", type=int, default=21, help="turns of each side")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn")
    parser.add_argument("--windows", type=int, help="windows of a batch, and of a pass, in place of the preset's")
    parser.add_argument("--vocabulary", type=int, help="token ids, in place of the preset's")
    parser.add_argument("--precision", choices=tuple(AGREE), help="in place of the preset's")
    parser.add_argument("--without", nargs="*", default=[], choices=[*OURS, *PEERS], help="sides to leave out")
    parser.add_argument("--keep", action="store_true", help="write the JSON into benchmarks/results/")
    parser.add_argument("--loss-memory", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_setting(options: argparse.Namespace) -> Setting:
    """Return RoPE and HoPE as the default study trains them on text, or as a preset does."""
    overlays = [] if options.size == "default" else [Path("workflow/presets") / f"{options.size}.yaml"]
    try:
        study = config.load_study(config.with_base(overlays))
    except UserError as error:
        sys.exit(str(error))
    arm = next(arm for arm in study.arms.values() if arm.reads_text)
    stages = {}
    for name in arm.encodings:
        stage = arm.train_stage(name, 0)
        stages.setdefault(stage.encoding.family, stage)
    over: dict[str, Any] = {"threads": options.threads, "zero_stage": 0, "processes": 1, "nodes": 1, "compile": False}
    if options.windows:
        over |= {"batch_windows": options.windows, "micro_batch_windows": None}
    if options.precision:
        over["precision"] = options.precision
    stage = stages["rope"].model_copy(update={"training": stages["rope"].training.model_copy(update=over)})
    vocabulary = options.vocabulary or (arm.tokens.vocabulary if arm.tokens.tokenizer == "bpe" else LARGE_VOCABULARY)
    return Setting(stage, stages["hope"].encoding, vocabulary, options.threads)


def sides_at_hand(setting: Setting) -> list[str]:
    """Return the sides that can run here, and say why the others cannot."""
    missing: dict[str, str] = {}
    if setting.device.type == "cpu":
        missing["transformers, Liger"] = "its kernels need a GPU"
        if not compiler_found():
            missing |= dict.fromkeys(("hope, compiled", "transformers, compiled"), "there is no C++ compiler")
    elif importlib.util.find_spec("liger_kernel") is None:
        missing["transformers, Liger"] = "liger-kernel is not installed"
    if setting.stage.training.precision != "float32":
        missing["hope, bare loop"] = "it keeps no float32 weights beside those of bfloat16"
    for name, reason in missing.items():
        print(f"left out: {name} ({reason})")
    return [name for name in (OURS | PEERS) if name not in missing]


def compiler_found() -> bool:
    """Return whether a model can be compiled for this CPU."""
    from hope.training.engine import check_compiler

    try:
        check_compiler()
    except UserError:
        return False
    return True


def losses_text(first: dict[str, Any]) -> str:
    """Return the first losses in words."""
    return ", ".join(f"{loss:.4f}" for loss in first["losses"])


def check_losses(sides: dict[str, ContestantProcess], names: list[str], setting: Setting) -> None:
    """See that all sides with RoPE train alike: their first losses agree."""
    largest = AGREE[setting.stage.training.precision]
    for name in names:
        if name in ("hope, HoPE", "transformers, Liger"):  # another model; another mean over the targets
            continue
        pairs = zip(sides[name].first["losses"], sides[names[0]].first["losses"], strict=True)
        if not all(abs(one - other) <= largest * abs(other) for one, other in pairs):
            sys.exit(f"'{name}' and '{names[0]}' train differently: their times say nothing")


def conclude(options: argparse.Namespace, setting: Setting, sides: list[ContestantProcess], ceiling: float) -> None:
    """Print the table and the line of JSON, and keep the line if asked to."""
    stage, kind = setting.stage, setting.device.type
    training = stage.training
    per_token = 3 * forward(stage.model, setting.vocabulary, training.length).total / training.length
    by_name = {side.name: side for side in sides}
    ours = by_name["hope"]
    rows: dict[str, Any] = {}
    print(
        f"{'':24} {'tokens/s (quartiles)':>28} {'of ceiling':>10} {'peak MB':>8} {'first step':>10} {'ours / it':>20}"
    )
    for side in sides:
        low, middle, high = statistics.quantiles(side.rates, n=4)
        ratio = quartiles([own / other for own, other in zip(ours.rates, side.rates, strict=True)])
        rows[side.name] = {
            "tokens_per_second": round(middle),
            "quartiles": [round(low), round(high)],
            "share_of_ceiling": round(middle * per_token / ceiling, 4),
            "peak_mb": side.first["peak_mb"],
            "first_step_s": round(side.first["since_start"], 1),
            "hope_times_it": ratio,
            "cpu_us_per_token": round(1e6 * statistics.median(side.work), 2),
            "its_cpu_time_by_hopes": quartiles([it / own for own, it in zip(ours.work, side.work, strict=True)]),
        }
        print(
            f"{side.name:24} {f'{middle:,.0f} ({low:,.0f}-{high:,.0f})':>28} {middle * per_token / ceiling:>10.1%} "
            f"{side.first['peak_mb']:>8,} {side.first['since_start']:>8.1f} s "
            f"{f'{ratio[1]:.3f} ({ratio[0]:.3f}-{ratio[2]:.3f})':>20}"
        )
    peer = fastest([side for side in sides if side.name in PEERS])
    faster = fastest([side for side in sides if side.name in ("hope", "hope, compiled")])
    ratio = quartiles([own / other for own, other in zip(faster.rates, peer.rates, strict=True)])
    print(f"{faster.name} against {peer.name}: {ratio[1]:.3f} ({ratio[0]:.3f}-{ratio[2]:.3f})")
    print(f"ceiling: {ceiling / 1e9:,.0f} GFLOP/s; {per_token / 1e6:,.2f} MFLOP a token, all targets counted")
    memory = None if kind != "cpu" else measured_loss_memory(stage.model.width, options.threads)
    print(f"memory of the loss, {LOSS_TOKENS:,} tokens and {LARGE_VOCABULARY:,} token ids: {memory} MB")

    goal, share = GOALS[kind]
    words = f"this trainer, compiled or not, at least {goal} times the best peer's tokens/s"
    words += f", at least {share:.0%} of the ceiling" if share else ""
    words += "; HoPE's step no slower than RoPE's beyond what two equal sides differ by"
    words += f"; the loss on {LOSS_TOKENS:,} tokens and {LARGE_VOCABULARY:,} ids adds under {LOSS_MEMORY_MB} MB"
    parts = {
        "speed": ratio[1] >= goal,
        "ceiling": share is None or rows["hope"]["share_of_ceiling"] >= share,
        "hope_as_rope": as_fast(rows),
        "loss_memory": memory is None or memory < LOSS_MEMORY_MB,
    }
    device = {"device": torch.cuda.get_device_name()} if kind == "cuda" else {}
    results = device | {
        "goal": words,
        "ratio": ratio[1],
        "ratio_quartiles": [ratio[0], ratio[2]],
        "faster_mode": faster.name,
        "best_peer": peer.name,
        "ratio_as_configured": rows[peer.name]["hope_times_it"][1],
        "met": all(parts.values()),
        "parts_met": parts,
        "sides": rows,
        "ceiling_gflops": round(ceiling / 1e9, 1),
        "mflop_per_token": round(per_token / 1e6, 3),
        "loss_memory_mb": memory,
        "size": options.size,
        "model": stage.model.model_dump(),
        "vocabulary": setting.vocabulary,
        "length": training.length,
        "batch_windows": training.batch_windows,
        "micro_batch_windows": training.micro_windows,
        "precision": training.precision,
        "rounds": options.rounds,
        "steps": options.steps,
        "threads": options.threads,
    }
    other = [option for option in (options.size, options.precision) if option not in ("default", None)]
    packages = ["torch", "deepspeed", "transformers"]
    report("training", results, packages, options.keep, "-".join(["training", *other]))


def fastest(sides: list[ContestantProcess]) -> ContestantProcess:
    """Return the side with the highest median rate."""
    return max(sides, key=lambda side: statistics.median(side.rates))


def quartiles(values: list[float]) -> list[float]:
    """Return lower quartile, median and upper quartile."""
    return [round(value, 3) for value in statistics.quantiles(values, n=4)]


def as_fast(rows: dict[str, Any]) -> bool | None:
    """Return whether HoPE's step takes no longer than RoPE's, but for what RoPE's and RoPE's differ by."""
    if not {"hope, HoPE", "hope again"} <= rows.keys():
        return None
    low, _, high = rows["hope again"]["hope_times_it"]
    return rows["hope, HoPE"]["hope_times_it"][1] <= 1 + (high - low) / 2


def measured_loss_memory(width: int, threads: int) -> int:
    """Return the memory of the loss, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--loss-memory", str(width), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
