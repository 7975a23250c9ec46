"""Attention analysis of a model: streamed, against the full maps of `output_attentions=True`.

The input is one text and a model of GPT-2's size (12 layers, 12 heads, width 768) with RoPE, forward only, in float32.
Here the model runs once, and every head's attention at three groups of queries goes into four measures (profile,
U-shape, divergence, frequency components). `LlamaModel` of transformers returns the full maps, and the same rows are
taken from them. The mean attention by distance and by key is compared first. The plain forward pass of this project is
timed too; the cost of the analysis is given relative to it. Memory is the total resident peak of a separate process.

The peer's maps grow with the square of the length (at 4,096 tokens they took 64 s and 11.7 GB on two cores), so
it runs only up to --peer-longest.

Usage, from the project's root:
    python -m benchmarks.analysis [--threads N] [--rounds N] [--lengths N ...] [--peer-longest N] [--longest N] [--keep]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.evaluation import finish, resident_kb, times_in_ms, windows
from hope import config
from hope.analysis.components import Components
from hope.analysis.divergence import Divergence
from hope.analysis.profile import Profile
from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.model.decoder import Decoder
from hope.model.llama import llama_config, llama_weights

LAYERS, HEADS, WIDTH, MLP_WIDTH, VOCABULARY, BASE = 12, 12, 768, 2048, 50_304, 10_000.0
QUERIES = 8
LENGTHS, PEER_LONGEST, JUDGED, LONGEST = (512, 1024, 2048, 4096), 2048, 4096, 16_384
TOLERANCE = 1e-5
SLOWEST, LARGEST_MB, LONGEST_MB = 1.5, 2048, 4096
GOAL = (
    f"at {JUDGED:,} tokens under {LARGEST_MB:,} MB in all and under {SLOWEST} times a plain forward pass; "
    f"at {LONGEST:,} tokens it runs, in under {LONGEST_MB:,} MB"
)
SIDES = ("hope", "plain", "transformers")

Contestant = Callable[[Tensor], Any]
Masses = dict[tuple[int, str], NDArray[np.float64]]


def main() -> None:
    """Compare, print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1, as a stage of a study)")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each side and length")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="tokens of the texts that are timed")
    parser.add_argument("--peer-longest", type=int, default=PEER_LONGEST, help="longest text of the peer")
    parser.add_argument("--longest", type=int, default=LONGEST, help="tokens of the long text; 0: none")
    parser.add_argument("--keep", action="store_true", help="write the JSON into benchmarks/results/")
    parser.add_argument("--once", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.once:
        print(*once(options.once, options.lengths[0]))
        return
    finish(compare(options), options, "analysis")


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of the sides as lengths double, and the memory of each."""
    rows: list[dict[str, Any]] = []
    print("seconds: median (fastest-slowest); memory in all")
    for length in options.lengths:
        sides = [side for side in SIDES if side != "transformers" or length <= options.peer_longest]
        row: dict[str, Any] = {"tokens": length} | timed(length, sides, options.rounds)
        row["peak_mb"] = {side: measured(side, length, options.threads)[1] for side in sides}
        rows.append(row)
        cells = [
            f"{side} {row[side]['median_ms'] / 1e3:.2f} ({row[side]['min_ms'] / 1e3:.2f}-"
            f"{row[side]['max_ms'] / 1e3:.2f}), {row['peak_mb'][side]:,} MB"
            for side in sides
        ]
        print(
            f"{length:>6} tokens: " + "; ".join(cells) + f"; here / plain {row['of_plain']:.2f}, of "
            f"processor time {row['processor_of_plain']:.2f}",
            flush=True,
        )
    far = None
    if options.longest:
        seconds, peak = measured("hope", options.longest, options.threads)
        far = {"tokens": options.longest, "seconds": seconds, "peak_mb": peak}
        print(f"{options.longest:>6} tokens: hope {seconds:.0f} s, {peak:,} MB", flush=True)
    judged = next((row for row in rows if row["tokens"] == JUDGED), None)
    met = None
    if judged and far and far["tokens"] >= LONGEST:
        within = judged["peak_mb"]["hope"] < LARGEST_MB and judged["of_plain"] < SLOWEST
        met = within and far["peak_mb"] < LONGEST_MB
    return {
        "goal": GOAL,
        "ratio": next((row["ratio"] for row in reversed(rows) if "ratio" in row), None),
        "met": met,
        "rounds": options.rounds,
        "lengths": rows,
        "long": far,
        "shape": {"layers": LAYERS, "heads": HEADS, "width": WIDTH, "queries": QUERIES, "groups": 3},
    }


def timed(length: int, sides: list[str], rounds: int) -> dict[str, Any]:
    """Return the times of the sides, taken in turn, and the ratios of the rounds, after comparing what they find."""
    run = contestants(sides, length)
    tokens = text(length)
    results = {side: run[side](tokens) for side in sides}  # the pass that does not count
    result: dict[str, Any] = {}
    if "transformers" in results:
        ours, theirs = results["hope"], results["transformers"]
        apart = max(float(np.abs(ours[key] - theirs[key]).max()) for key in theirs)
        if not apart < TOLERANCE:
            sys.exit(f"the two sides differ by {apart:.1e} at {length} tokens: their times say nothing")
        result["largest_difference"] = apart
    del results
    times: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            started, used = time.perf_counter(), time.process_time()
            run[side](tokens)
            times[side].append(time.perf_counter() - started)
            processor[side].append(time.process_time() - used)
    result["of_plain"] = median_ratio(times["hope"], times["plain"])
    # Processor time says the same on an idle machine; a busy one disturbs it less.
    result["processor_of_plain"] = median_ratio(processor["hope"], processor["plain"])
    if "transformers" in times:
        result["ratio"] = median_ratio(times["transformers"], times["hope"])
    return result | times_in_ms(times)


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median over the rounds of the ratio of two sides."""
    return round(statistics.median(one / other for one, other in zip(above, below, strict=True)), 3)


def contestants(sides: list[str], length: int) -> dict[str, Contestant]:
    """Return the sides over the same weights: token ids ``[1, length]`` to masses, or to nothing that is read."""
    shape = config.Model(layers=LAYERS, heads=HEADS, width=WIDTH, mlp_width=MLP_WIDTH)
    encoding = config.EncodingSpec(name="rope", family="rope", settings={"base": BASE})
    ours = Decoder(shape, VOCABULARY, length // 4, encoding).initialise(0).eval()
    scope = Scope(LAYERS, HEADS, [length // 4, length // 2, length], QUERIES, 1)
    run: dict[str, Contestant] = {
        "hope": lambda tokens: streamed(ours, tokens, scope),
        "plain": torch.inference_mode()(ours.forward),
    }
    if "transformers" in sides:
        stock = transformers.LlamaConfig(**llama_config(ours, BASE), attn_implementation="eager")
        theirs = transformers.LlamaForCausalLM(stock).eval()
        theirs.load_state_dict(llama_weights(ours))
        run["transformers"] = lambda tokens: whole_maps(theirs.model, tokens, scope)
    return {side: run[side] for side in sides}


def streamed(model: Decoder, tokens: Tensor, scope: Scope) -> Masses:
    """Return the mean attention by distance and by key, having made the other measures too."""
    length, frequencies = scope.ends[0], model.encoding.frequencies.numpy()
    profile, components = Profile(scope), Components(scope, frequencies, length, 1)
    observe_attention(model, tokens, scope, [profile, UShape(scope), Divergence(scope, length), components])
    return {(end, axis): profile.mass(end, axis) for end in scope.ends for axis in ("distance", "key")}


@torch.inference_mode()
def whole_maps(model: torch.nn.Module, tokens: Tensor, scope: Scope) -> Masses:
    """Return the same from the maps of all layers."""
    maps = model(input_ids=tokens, output_attentions=True, use_cache=False).attentions
    masses: Masses = {}
    for end in scope.ends:
        rows = torch.stack([full[0, :, end - QUERIES : end, :end] for full in maps]).double()
        masses[end, "key"] = rows.mean(dim=2).numpy()
        # Row i is the query at end - Q + i: turned around and shifted, its keys stand at their distances.
        shifted = [torch.nn.functional.pad(row.flip(-1), (0, QUERIES)) for row in rows.unbind(2)]
        away = [row.roll(number + 1 - QUERIES, -1)[..., :end] for number, row in enumerate(shifted)]
        masses[end, "distance"] = torch.stack(away).mean(dim=0).numpy()
    return masses


def text(length: int) -> Tensor:
    """Return one text of random token ids, int64 ``[1, length]``."""
    return windows(VOCABULARY, length)[:, :length]


def once(side: str, length: int) -> tuple[float, int]:
    """Return seconds and resident peak in MB of this process, everything included, for one pass of a side."""
    run, tokens = contestants([side], length)[side], text(length)
    started = time.perf_counter()
    run(tokens)
    return round(time.perf_counter() - started, 2), round(resident_kb("VmHWM") / 1024)


def measured(side: str, length: int, threads: int) -> tuple[float, int]:
    """Return :func:`once`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.analysis", "--once", side, "--lengths", str(length)]
    command += ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), int(peak)


if __name__ == "__main__":
    main()
