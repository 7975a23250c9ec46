"""The cost of positions in attention: memory and time as texts grow, and the time of a rotation.

Three comparisons, forward and backward, in float32, at the sizes of the default study:

- one decoder layer with RoPE, HoPE, ALiBi and KERPLE as lengths double. Memory is what one pass adds to the
  resident peak of a separate process. No encoding may take much more than RoPE, which has no bias.
- attention with a bias as a model computes it (FlexAttention on a GPU, tiles on a CPU), against the plain
  alternative: PyTorch's attention with the whole bias.
- the rotation of queries and keys in four layers, tables included, against `LlamaRotaryEmbedding` and
  `apply_rotary_pos_emb` of transformers. RoPE runs twice; the difference between its two runs is the noise against
  which HoPE is judged.

The sides of a comparison must give the same results. They are timed in turn, in an order that changes from
round to round, and a ratio is the median over the rounds.

Usage, from the project's root:
    python -m benchmarks.attention [--threads N] [--rounds N] [--lengths N ...] [--keep]
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from benchmarks.evaluation import added_peak, alternate, finish, times_in_ms, windows
from hope import config
from hope.catalogue import family_settings
from hope.encodings.base import Encoding
from hope.encodings.registry import build_encoding
from hope.encodings.shape import encoding_shape
from hope.model.attention import LayerEncoding, attend, causal_bias
from hope.model.decoder import Decoder

LAYER = ("rope", "hope", "alibi", "kerple_log")
BIASED = ("alibi", "kerple_log")
LENGTHS = (1024, 2048, 4096, 8192, 16_384)
LONGEST_WHOLE = 4096  # tokens; at 16,384 the bias and what it leads to would take over 10 GB
ROTATED = ((8, 128), (1, 4096))  # rows and tokens: a training batch of the default study, a long text
TRAINING_LENGTH, VOCABULARY, LAYERS, REPEATS = 128, 2048, 4, 5
MEMORY_SHARE, SLOWEST_RATIO, TOLERANCE = 1.5, 0.95, 1e-3  # transformers' angles are float32
GOAL = (
    f"at {LENGTHS[-1]:,} tokens, forward and backward, one layer with ALiBi or KERPLE adds at most {MEMORY_SHARE} "
    f"times what RoPE adds to the memory; HoPE's rotation takes no longer than RoPE's beyond the noise, and neither "
    f"longer than transformers' (ratio, theirs / ours, at least {SLOWEST_RATIO})"
)

Contestant = Callable[[Tensor], Tensor]
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")


def main() -> None:
    """Compare, print tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1, as a training of a study)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="timed passes of each side; seven times as many of short ones"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="tokens of a text")
    parser.add_argument("--keep", action="store_true", help="write the JSON to benchmarks/results/attention.json")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        side = whole_or_not(options.peak) if ":" in options.peak else layer(options.peak)
        print(*(peak_at_length(side, length) for length in options.lengths))
        return
    print(f"device: {torch.cuda.get_device_name() if GPU else 'CPU'}, threads: {options.threads}")
    layers, biases, rotation = compare_layers(options), compare_biases(options), compare_rotation(options)
    longest = layers[-1]["added_peak_mb"]
    shares = {name: share(longest[name], longest["rope"]) for name in LAYER}
    held = all(shares[name] is not None and shares[name] <= MEMORY_SHARE for name in BIASED)
    ratio = min(row[name]["ratio"] for row in rotation for name in ("rope", "hope"))
    results = {
        "goal": GOAL,
        "ratio": ratio,
        "memory_shares": shares,
        "met": held and ratio >= SLOWEST_RATIO and all(row["within_noise"] for row in rotation),
        "rounds": options.rounds,
        "device": str(DEVICE),
        "layer": layers,
        "bias": biases,
        "bias_path": "FlexAttention" if GPU else "tiles; FlexAttention not run, for lack of a GPU",
        "rotation": rotation,
    }
    finish(results, options, "attention")


def share(one: float | None, other: float | None) -> float | None:
    """Return how many times ``other`` one number is; None where either is not known."""
    return round(one / other, 3) if one and other else None


def compare_layers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return times and peaks of one decoder layer by encoding, as lengths double."""
    sides = {name: layer(name) for name in LAYER}
    peaks = {name: peaks_of(name, options) for name in LAYER}
    rows = []
    print(f"\none layer, forward and backward: ms (fastest-slowest), MB added\n{'tokens':>7}" + heads_of(LAYER))
    for index, length in enumerate(options.lengths):
        times = alternate(sides, windows(VOCABULARY, length)[:, :-1], options.rounds)
        added = {name: peaks[name][index] for name in LAYER}
        rows.append({"tokens": length, "added_peak_mb": added} | times_in_ms(times))
        print(
            f"{length:>7}" + "".join(f"{times_text(times[name]) + f', {added[name]}':>34}" for name in LAYER),
            flush=True,
        )
    return rows


def compare_biases(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return times and peaks of attention with a bias, as a model computes it and with the bias whole."""
    names = {f"{name}:{way}": whole_or_not(f"{name}:{way}") for name in BIASED for way in ("ours", "whole")}
    lengths = [length for length in options.lengths if length <= LONGEST_WHOLE]
    peaks = {name: peaks_of(name, options, lengths) for name in names}
    rows = []
    print(f"\nattention with a bias: ms, MB added\n{'tokens':>7}" + heads_of(names))
    for index, length in enumerate(lengths):
        tokens = windows(VOCABULARY, length)[:, :-1]
        row: dict[str, Any] = {"tokens": length}
        cells = ""
        for name in BIASED:
            sides = {way: names[f"{name}:{way}"] for way in ("ours", "whole")}
            agree(sides["ours"](tokens), sides["whole"](tokens), f"{name} at {length} tokens")
            times = alternate(sides, tokens, options.rounds)
            added = {way: peaks[f"{name}:{way}"][index] for way in sides}
            ratios = against(times["whole"], times["ours"])
            row[name] = ratios | {"added_peak_mb": added} | times_in_ms(times)
            cells += "".join(f"{times_text(times[way]) + f', {added[way]}':>34}" for way in sides)
        rows.append(row)
        print(f"{length:>7}{cells}", flush=True)
    return rows


def compare_rotation(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return times of the rotation of both encodings, of RoPE once more, and of transformers'."""
    rows = []
    for batch, tokens in ROTATED:
        sides = rotations(batch, tokens)
        index = torch.arange(tokens, device=DEVICE)
        for name in ("rope", "hope"):
            agree(sides[name](index), sides[f"transformers {name}"](index), f"the rotation of {name}")
        times = alternate(sides, index, 7 * options.rounds)
        noise = against(times["rope again"], times["rope"])
        to_rope = against(times["hope"], times["rope"])
        row = {
            "rows": batch,
            "tokens": tokens,
            **{name: against(times[f"transformers {name}"], times[name]) for name in ("rope", "hope")},
            "hope_to_rope": to_rope,
            "rope_to_itself": noise,
            "within_noise": to_rope["ratio"] <= noise["quartiles"][1],
        }
        rows.append(row | {"times": times_in_ms(times)})
        print(f"\nrotation of {batch} x {tokens} tokens in {LAYERS} layers, {REPEATS} times, ms:")
        for name in sides:
            print(f"  {name:20} {times_text(times[name])}")
        print(f"  theirs / ours: rope {row['rope']['ratio']}, hope {row['hope']['ratio']}")
        print(f"  hope / rope: {to_rope['ratio']}; rope / itself: quartiles {noise['quartiles']}", flush=True)
    return rows


def drawn_encoding(name: str) -> tuple[config.EncodingSpec, Encoding]:
    """Return an encoding's config and its module, drawn, at the sizes of the default study."""
    entry = config.EncodingSpec(name=name, family=name, settings=family_settings(name, {}))
    built = build_encoding(entry, encoding_shape(config.Model(), TRAINING_LENGTH))
    built.initialise(lambda parameter: torch.Generator().manual_seed(len(parameter)))
    return entry, built.to(DEVICE)


def layer(name: str) -> Contestant:
    """Return a forward and backward pass through a decoder of one layer, from token ids ``[1, tokens]``."""
    shape = config.Model(layers=1)
    model = Decoder(shape, VOCABULARY, TRAINING_LENGTH, drawn_encoding(name)[0]).initialise(0).to(DEVICE)

    def side(tokens: Tensor) -> Tensor:
        model.zero_grad()
        hidden = model(tokens.to(DEVICE))
        hidden.sum().backward()
        return settled(hidden.detach())

    return side


def whole_or_not(name: str) -> Contestant:
    """Return attention with a bias, forward and backward: ``name:ours``, or ``name:whole`` with the bias whole."""
    name, way = name.split(":")
    shape, (_, encoding) = config.Model(), drawn_encoding(name)
    parameters = list(encoding.parameters())

    def side(tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        random = torch.Generator().manual_seed(length)
        size = (3, 1, shape.heads, length, shape.head_dim)
        inputs = [one.to(DEVICE).requires_grad_() for one in torch.randn(size, generator=random)]
        layer_encoding, scale = LayerEncoding(encoding, 0, torch.arange(length, device=DEVICE)), shape.head_dim**-0.5
        if way == "ours":
            attended = attend(*inputs, layer_encoding, scale)
        else:
            mask = causal_bias(layer_encoding.bias(shape.heads), layer_encoding.positions, 0, length)
            attended = F.scaled_dot_product_attention(*inputs, mask, scale=scale)
        gradients = torch.autograd.grad(attended.sum(), [*inputs, *parameters])
        return settled(torch.cat([one.detach().flatten() for one in (attended, *gradients)]))

    return side


def rotations(batch: int, tokens: int) -> dict[str, Contestant]:
    """Return the rotation of all layers, forward and backward, by each side, from positions ``[tokens]``."""
    shape = config.Model()
    random = torch.Generator().manual_seed(tokens)
    size = (2, batch, tokens, shape.heads, shape.head_dim)
    queries, keys = (one.transpose(1, 2).to(DEVICE).requires_grad_() for one in torch.randn(size, generator=random))

    def repeated(rotated: Callable[[Tensor], list[Tensor]]) -> Contestant:
        def side(positions: Tensor) -> Tensor:
            for _ in range(REPEATS):
                outputs = rotated(positions)
                gradients = torch.autograd.grad(sum(one.sum() for one in outputs), (queries, keys))
            return settled(torch.stack([*(one.detach() for one in outputs[:2]), *gradients]))

        return side

    def ours(name: str) -> Contestant:
        encoding = drawn_encoding(name)[1]

        def rotated(positions: Tensor) -> list[Tensor]:
            prepared = encoding.prepare(positions)
            return [one for index in range(LAYERS) for one in encoding.rotate(queries, keys, prepared, queries, index)]

        return repeated(rotated)

    def theirs(**parameters: Any) -> Contestant:
        stock = LlamaConfig(
            hidden_size=shape.width,
            num_attention_heads=shape.heads,
            head_dim=shape.head_dim,
            rope_parameters={"rope_theta": 10_000.0} | parameters,
        )
        tables = LlamaRotaryEmbedding(stock).to(DEVICE)

        def rotated(positions: Tensor) -> list[Tensor]:
            cosine, sine = tables(queries, positions[None])
            return [one for _ in range(LAYERS) for one in apply_rotary_pos_emb(queries, keys, cosine, sine)]

        return repeated(rotated)

    kept = int((drawn_encoding("hope")[1].frequencies > 0).sum())
    return {
        "rope": ours("rope"),
        "hope": ours("hope"),
        "rope again": ours("rope"),
        "transformers rope": theirs(rope_type="default"),
        "transformers hope": theirs(rope_type="proportional", partial_rotary_factor=2 * kept / shape.head_dim),
    }


def settled(result: Tensor) -> Tensor:
    """Return ``result`` once a GPU is done with it."""
    if GPU:
        torch.cuda.synchronize()
    return result


def agree(one: Tensor, other: Tensor, what: str) -> None:
    """End the program if two results differ: their times would say nothing."""
    apart = float((one - other).abs().max() / other.abs().max())
    if not apart < TOLERANCE:
        sys.exit(f"{what}: the two sides differ by {apart:.1e}: their times say nothing")


def against(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """Return the median and the quartiles of the rounds' ratios of two sides' times."""
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {"ratio": round(statistics.median(ratios), 3), "quartiles": [round(low, 3), round(high, 3)]}


def times_text(times: Sequence[float]) -> str:
    """Return median, fastest and slowest of some times, in milliseconds."""
    return f"{1e3 * statistics.median(times):.1f} ({1e3 * min(times):.1f}-{1e3 * max(times):.1f})"


def heads_of(names: Sequence[str] | dict[str, Contestant]) -> str:
    """Return the heads of a table's columns."""
    return "".join(f"{name:>34}" for name in names)


def peak_at_length(side: Contestant, length: int) -> float | None:
    """Return what a pass adds to the memory of this process, or of its GPU, in MB; None where nobody tells."""
    tokens = windows(VOCABULARY, length)[:, :-1]
    if not GPU:
        return added_peak(side, tokens)
    side(tokens[:, :17])
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    side(tokens)
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)


def peaks_of(name: str, options: argparse.Namespace, lengths: Sequence[int] | None = None) -> list[float | None]:
    """Return :func:`peak` of one side at all lengths, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.attention", "--peak", name, "--threads", str(options.threads)]
    command += ["--lengths", *map(str, lengths or options.lengths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return [None if one == "None" else float(one) for one in done.stdout.split()]


if __name__ == "__main__":
    main()
