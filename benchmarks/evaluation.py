"""The loss at every position: one pass with the logits in chunks, against transformers with all logits.

Both sides run the same weights on the same windows, forward only, in float32. This side is the default study's model
with RoPE; the other is `LlamaForCausalLM` (fused attention, no cache) with a cross-entropy over its full logits. Their
losses are compared first. Then the two are timed in turn, in an order that changes from round to round, and the ratio
is the median over the rounds. Memory is what one pass adds to the resident peak of a separate process.

With --large, the benchmark instead measures the total memory of this side alone, for one long text and a model of
GPT-2's size (124M parameters, 50,304 token ids). 65,536 tokens take tens of minutes; --tokens and --layers reduce this.

Usage, from the project's root:
    python -m benchmarks.evaluation [--threads N] [--rounds N] [--vocabulary N] [--keep]
    python -m benchmarks.evaluation --large [--tokens N] [--layers N] [--encoding NAME] [--threads N] [--keep]
"""

import argparse
import ctypes
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from benchmarks.report import report
from hope import config
from hope.catalogue import family_settings
from hope.model.decoder import Decoder
from hope.model.llama import llama_config, llama_weights
from hope.model.loss import token_losses

LENGTHS = (1024, 2048, 4096, 8192, 16_384)
COMPARED_MEMORY = 4096  # tokens; at 16,384 and a large vocabulary the full logits would take over 6 GB
TRAINING_LENGTH = 128
LARGE_VOCABULARY = 50_304  # GPT-2's, padded: where the logits weigh most beside so small a model
BASE = 10_000.0
TOLERANCE = 1e-4
SLOWEST_RATIO, LARGEST_MEMORY_SHARE = 0.95, 0.1
GOAL = (
    f"at every length as fast as transformers with full logits (ratio, theirs / ours, at least {SLOWEST_RATIO}), "
    f"with at most {LARGEST_MEMORY_SHARE} of its memory at a vocabulary of {LARGE_VOCABULARY:,}"
)
LARGE_TOKENS, LARGE_MEMORY_MB = 65_536, 4096
LARGE_GOAL = (
    f"the losses on {LARGE_TOKENS:,} tokens of a 124M model with {LARGE_VOCABULARY:,} token ids, on a CPU, "
    f"in under {LARGE_MEMORY_MB:,} MB in all"
)

Contestant = Callable[[Tensor], Tensor]


def main() -> None:
    """Compare, print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1, as a stage of a study)")
    parser.add_argument("--rounds", type=int, default=7, help="timed passes of each side and length")
    parser.add_argument("--vocabulary", type=int, default=2048, help="token ids (default: the default study's)")
    parser.add_argument("--keep", action="store_true", help="write the JSON into benchmarks/results/")
    parser.add_argument("--large", action="store_true", help="one long text with a model of 124M parameters instead")
    parser.add_argument("--tokens", type=int, default=LARGE_TOKENS, help="tokens of --large")
    parser.add_argument("--layers", type=int, default=12, help="layers of --large")
    parser.add_argument("--encoding", default="hope", help="encoding of --large")
    parser.add_argument("--peak", choices=("hope", "transformers"), help=argparse.SUPPRESS)
    parser.add_argument("--length", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.large:
        finish(large(options), options, "evaluation-large")
        return
    sides = contestants(options.vocabulary)
    if options.peak:
        print(added_peak(sides[options.peak], windows(options.vocabulary, options.length)))
        return
    finish(compare(sides, options), options, "evaluation")


def finish(results: dict[str, Any], options: argparse.Namespace, name: str) -> None:
    """Report a result of computing with torch beside transformers."""
    report(name, results | {"threads": options.threads}, ["torch", "transformers"], options.keep)


def compare(sides: dict[str, Contestant], options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of both sides as lengths double, and what a pass of each adds to the memory."""
    rows: list[dict[str, Any]] = []
    print(f"{'tokens':>7} {'hope, ms':>22} {'transformers, ms':>22} {'ratio':>6}")
    for length in LENGTHS:
        tokens = windows(options.vocabulary, length)
        apart = float((sides["hope"](tokens) - sides["transformers"](tokens)).abs().max())
        if not apart < TOLERANCE:
            sys.exit(f"the two sides differ by {apart:.1e} nats at {length} tokens: their times say nothing")
        times = alternate(sides, tokens, options.rounds)
        # By round: the two passes of a round are neighbours, so a slow moment of the machine falls on both.
        ratios = [other / own for own, other in zip(times["hope"], times["transformers"], strict=True)]
        ratio = statistics.median(ratios)
        rows.append(
            {
                "tokens": length,
                "ratio": round(ratio, 3),
                "ratio_min": round(min(ratios), 3),
                "ratio_max": round(max(ratios), 3),
                "largest_difference_nats": apart,
            }
            | times_in_ms(times)
        )
        shown = [f"{1e3 * statistics.median(t):7.1f} ({1e3 * min(t):.1f}-{1e3 * max(t):.1f})" for t in times.values()]
        print(f"{length:>7} {shown[0]:>22} {shown[1]:>22} {ratio:>6.2f}", flush=True)

    vocabularies = dict.fromkeys((options.vocabulary, LARGE_VOCABULARY))
    peaks = {
        vocabulary: {side: peak_of(side, vocabulary, COMPARED_MEMORY, options.threads) for side in sides}
        for vocabulary in vocabularies
    }
    for vocabulary, added in peaks.items():
        cells = ", ".join(f"{side} {peak} MB" for side, peak in added.items())
        print(f"memory that a pass over {COMPARED_MEMORY:,} tokens adds, vocabulary {vocabulary:,}: {cells}")
    growth = {length: peak_of("hope", LARGE_VOCABULARY, length, options.threads) for length in LENGTHS}
    print("here as lengths double: " + ", ".join(f"{length:,}: {peak} MB" for length, peak in growth.items()))
    smallest = min(row["ratio"] for row in rows)
    ours, theirs = peaks[LARGE_VOCABULARY].values()
    share = None if ours is None or not theirs else ours / theirs
    return {
        "goal": GOAL,
        "ratio": smallest,
        "memory_share": None if share is None else round(share, 3),
        "met": smallest >= SLOWEST_RATIO and share is not None and share <= LARGEST_MEMORY_SHARE,
        "rounds": options.rounds,
        "lengths": rows,
        "added_peak_mb": peaks,
        "added_peak_tokens": COMPARED_MEMORY,
        "added_peak_mb_by_length": growth,
        "vocabulary": options.vocabulary,
    }


def large(options: argparse.Namespace) -> dict[str, Any]:
    """Return time and resident peak, everything included, of one long text and a model of GPT-2's size."""
    shape = config.Model(layers=options.layers, width=768, heads=12, mlp_width=2048)
    encoding = config.EncodingSpec(
        name=options.encoding, family=options.encoding, settings=family_settings(options.encoding, {})
    )
    model = Decoder(shape, LARGE_VOCABULARY, 1024, encoding).initialise(0).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = windows(LARGE_VOCABULARY, options.tokens)
    print(f"{parameters / 1e6:.1f}M parameters, {options.tokens:,} tokens", flush=True)
    started = time.perf_counter()
    losses = token_losses(model, tokens)
    seconds = time.perf_counter() - started
    assert bool(losses.isfinite().all())
    peak = round(resident_kb("VmHWM") / 1024)
    print(f"{seconds:,.0f} s, {peak:,} MB at most in all, mean loss {float(losses.mean()):.2f} nats")
    whole = options.tokens >= LARGE_TOKENS and options.layers >= 12
    return {
        "goal": LARGE_GOAL,
        "ratio": None,
        "met": peak < LARGE_MEMORY_MB if whole else None,
        "peak_mb": peak,
        "seconds": round(seconds, 1),
        "tokens": options.tokens,
        "layers": options.layers,
        "parameters": parameters,
        "encoding": options.encoding,
        "vocabulary": LARGE_VOCABULARY,
    }


def contestants(vocabulary: int) -> dict[str, Contestant]:
    """Return both sides over the same weights: token ids ``[1, tokens + 1]`` to losses ``[1, tokens]``."""
    shape = config.Model()
    encoding = config.EncodingSpec(name="rope", family="rope", settings={"base": BASE})
    ours = Decoder(shape, vocabulary, TRAINING_LENGTH, encoding).initialise(0).eval()
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**llama_config(ours, BASE))).eval()
    theirs.load_state_dict(llama_weights(ours))
    assert theirs.config._attn_implementation == "sdpa", "the fused attention is transformers' default"

    @torch.inference_mode()
    def full_logits(tokens: Tensor) -> Tensor:
        logits = theirs(input_ids=tokens[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits[0].float(), tokens[0, 1:], reduction="none")[None]

    return {"hope": lambda tokens: token_losses(ours, tokens), "transformers": full_logits}


def windows(vocabulary: int, length: int) -> Tensor:
    """Return one window of random token ids, int64 ``[1, length + 1]``."""
    return torch.randint(vocabulary, (1, length + 1), generator=torch.Generator().manual_seed(length))


def alternate(sides: dict[str, Contestant], tokens: Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of ``rounds`` passes of each side, taken in turn after one that does not count."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for run in sides.values():
        run(tokens)
    for number in range(rounds):
        for side in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            started = time.perf_counter()
            sides[side](tokens)
            times[side].append(time.perf_counter() - started)
    return times


def times_in_ms(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return median, fastest and slowest pass of each side, in milliseconds."""
    return {
        side: {
            "median_ms": round(1e3 * statistics.median(seconds), 2),
            "min_ms": round(1e3 * min(seconds), 2),
            "max_ms": round(1e3 * max(seconds), 2),
        }
        for side, seconds in times.items()
    }


def added_peak(side: Contestant, tokens: Tensor) -> int | None:
    """Return what a pass adds to this process's resident peak, in MB; None where the system does not tell.

    A short pass first loads what is loaded once, and the freed memory of the start is handed back, since
    the pass would otherwise be served from it.
    """
    side(tokens[:, :17])
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return None
    before = resident_kb("VmRSS")
    side(tokens)
    return round((resident_kb("VmHWM") - before) / 1024)


def resident_kb(field: str) -> int:
    """Return a field of this process's memory status, in KiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0])


def peak_of(side: str, vocabulary: int, length: int, threads: int) -> int | None:
    """Return :func:`added_peak` of one side, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evaluation", "--peak", side, "--length", str(length)]
    command += ["--threads", str(threads), "--vocabulary", str(vocabulary)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    peak = done.stdout.split()[-1]
    return None if peak == "None" else int(peak)


if __name__ == "__main__":
    main()
