"""How often a 95% interval contains the true value: that of hope.statistics (crossed random effects), and simpler ones.

Differences between two encodings are drawn, seeds x documents, with a true mean of 0:
x_sd = a_s + b_d + e_sd, normal and independent. A kind of noise sets which shares of the variance of the mean come
from seeds, documents and the rest. A second simulation draws prompts as answers that are right or wrong. Five
intervals are computed from the same numbers:

- crossed: the interval of hope.statistics; seeds and documents are random, each with its own degrees of freedom
- Satterthwaite: the same variance, but one t quantile at Satterthwaite's degrees of freedom, at least S - 1
- t over seeds: one mean per seed
- t over documents: one mean per document, as if there were no other models
- bootstrap over seeds: percentiles of the mean over seeds drawn with replacement

The benchmark then computes the lowest and highest coverage of the first two over all mixtures of the three sources of
noise, how often a family of endpoints without any effect gives a discovery, and how often an effect of the size that a
study calls detectable is found. --keep writes the JSON, and the tables into docs/statistics.md.

Usage, from the project's root:
    python -m benchmarks.intervals [--replicates N] [--keep]
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.report import report
from hope.statistics import Estimate, Noise, crossed_moments, holm

Array = NDArray[np.float64]
Limits = tuple[Array, Array]

CONFIDENCE, LEAST, MOST = 0.95, 0.92, 0.98
ALPHA = 1 - CONFIDENCE
SEEDS, DOCUMENTS, PROMPTS = (3, 5, 8), (24, 48), 400
# Shares of the variance of the mean: seeds, documents, the rest.
NOISE = {
    "seeds rule": (0.90, 0.05, 0.05),
    "balanced": (0.45, 0.45, 0.10),
    "documents rule": (0.05, 0.90, 0.05),
    "the rest rules": (0.10, 0.10, 0.80),
}
NAMED = ("seeds rule", "balanced", "documents rule")
# Standard deviations, in logits, of the effects of seed and of prompt on each of the two encodings.
ANSWERS = {"right or wrong, seeds rule": (1.0, 1.0), "right or wrong, prompts rule": (0.05, 1.0)}
ENDPOINTS, RESAMPLES = 12, 1000
DOCS = Path(__file__).parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- python -m benchmarks.intervals --keep: begin -->", "<!-- end -->"
GOAL = (
    f"95% intervals hold the truth in {LEAST:.0%} to {MOST:.0%} of cases at {', '.join(map(str, SEEDS))} seeds, "
    "whether seeds, documents or both rule the noise"
)


def main() -> None:
    """Simulate, print the tables and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=20_000, help="studies drawn for each cell")
    parser.add_argument("--keep", action="store_true", help="write the JSON, and the tables into docs/statistics.md")
    options = parser.parse_args()
    cells = list(coverages(options.replicates))
    results = {
        "goal": GOAL,
        "ratio": None,
        "met": all(LEAST <= cell["crossed"] <= MOST for cell in cells if cell["noise"] in NAMED),
        "replicates": options.replicates,
        "cells": cells,
        "mixtures": list(mixtures(options.replicates // 2)),
        "families": list(families(options.replicates // 5)),
    }
    text = tables(results)
    print(text)
    if options.keep:
        before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END, 1)[1]
        DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    report("intervals", results, ["numpy", "scipy"], options.keep)


def differences(shares: tuple[float, float, float], seeds: int, units: int, replicates: int) -> Array:
    """Return differences ``[replicates, seeds, units]`` of true mean 0 whose mean has variance 1 in these shares."""
    random = np.random.default_rng([seeds, units])
    sizes = ((replicates, seeds, 1), (replicates, 1, units), (replicates, seeds, units))
    counts = (seeds, units, seeds * units)
    # The same draws for all shares: what differs between kinds of noise is then the noise alone.
    return sum(
        math.sqrt(share * count) * random.standard_normal(size)
        for share, count, size in zip(shares, counts, sizes, strict=True)
    )


def answers(of_seed: float, of_prompt: float, seeds: int, prompts: int, replicates: int) -> Array:
    """Return differences of right answers, -1, 0 or 1, between two encodings that are equally good."""
    random = np.random.default_rng([seeds, prompts])
    shared = random.standard_normal((replicates, 1, prompts))
    sides = []
    for _ in range(2):
        logits = shared + of_seed * random.standard_normal((replicates, seeds, 1))
        logits = logits + of_prompt * random.standard_normal((replicates, 1, prompts))
        sides.append(random.random((replicates, seeds, prompts)) < 1 / (1 + np.exp(-logits)))
    return sides[0].astype(float) - sides[1]


def crossed(values: Array) -> Limits:
    """Return the limits of the interval of hope.statistics."""
    mean, noise = crossed_moments(values)
    half = noise.half_width((1 - CONFIDENCE) / 2)
    return mean - half, mean + half


def satterthwaite(values: Array) -> Limits:
    """Return the limits of a t interval with the same variance at Satterthwaite's degrees of freedom."""
    mean, noise = crossed_moments(values)
    return _around(mean, np.sqrt(noise.variance), satterthwaite_df(noise))


def satterthwaite_df(noise: Noise) -> Array:
    """Return Satterthwaite's degrees of freedom of a crossed variance, at least those of the smaller factor."""
    by_seed, by_unit = noise.seeds - 1, noise.units - 1
    parts = noise.of_seeds**2 / by_seed + noise.of_units**2 / by_unit + noise.of_rest**2 / (by_seed * by_unit)
    return np.maximum(noise.variance**2 / parts, min(by_seed, by_unit))


def over_seeds(values: Array) -> Limits:
    """Return the limits of a t interval over the means of the seeds."""
    return _t_interval(values.mean(axis=-1))


def over_documents(values: Array) -> Limits:
    """Return the limits of a t interval over the means of the documents."""
    return _t_interval(values.mean(axis=-2))


def bootstrap(values: Array) -> Limits:
    """Return the percentiles of the mean over seeds that are drawn with replacement."""
    of_seed = values.mean(axis=-1)
    seeds = of_seed.shape[-1]
    drawn = np.random.default_rng(seeds).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    blocks = [np.quantile(block @ drawn.T, tails, axis=-1) for block in np.array_split(of_seed, 20)]
    low, high = np.concatenate(blocks, axis=1)
    return low, high


METHODS: dict[str, Callable[[Array], Limits]] = {
    "crossed": crossed,
    "Satterthwaite": satterthwaite,
    "t over seeds": over_seeds,
    "t over documents": over_documents,
    "bootstrap over seeds": bootstrap,
}


def _t_interval(means: Array) -> Limits:
    count = means.shape[-1]
    return _around(means.mean(axis=-1), means.std(axis=-1, ddof=1) / math.sqrt(count), np.array(count - 1.0))


def _around(mean: Array, error: Array, df: Array) -> Limits:
    half = stats.t.ppf((1 + CONFIDENCE) / 2, df) * error
    return mean - half, mean + half


def coverage(limits: Limits) -> float:
    """Return how often the true mean, 0, lies within the limits."""
    low, high = limits
    return float(((low <= 0) & (high >= 0)).mean())


def coverages(replicates: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of every method, by noise and by numbers of seeds and documents or prompts."""
    for noise, units, seeds in itertools.product(NOISE, DOCUMENTS, SEEDS):
        values = differences(NOISE[noise], seeds, units, replicates)
        yield _cell(noise, values) | found_effects(NOISE[noise], values)
    for noise, seeds in itertools.product(ANSWERS, SEEDS):
        # Fewer studies: each holds 400 prompts, drawn one by one.
        yield _cell(noise, answers(*ANSWERS[noise], seeds, PROMPTS, replicates // 5))


def _cell(noise: str, values: Array) -> dict[str, Any]:
    cell = {"noise": noise, "seeds": values.shape[1], "units": values.shape[2]}
    return cell | {name: coverage(method(values)) for name, method in METHODS.items()}


def found_effects(shares: tuple[float, float, float], values: Array) -> dict[str, float]:
    """Return how often an effect of the size is found that the noise allows, and what sizes studies name.

    The first size is named from the noise as it is, with a standard error of 1; the others by 500 studies
    from the noise that they found.
    """
    mean, noise = crossed_moments(values)
    half = noise.half_width((1 - CONFIDENCE) / 2)
    of_seeds, of_units, of_rest = (np.array(share) for share in shares)
    known = Noise(of_seeds + of_rest, of_units + of_rest, of_rest, noise.seeds, noise.units)
    detectable = Estimate(0.0, known).detectable(CONFIDENCE)
    parts = zip(noise.of_seeds[:500], noise.of_units[:500], noise.of_rest[:500], strict=True)
    named = [Estimate(0.0, Noise(*part, noise.seeds, noise.units)).detectable(CONFIDENCE) for part in parts]
    low, median, high = np.quantile(named, [0.1, 0.5, 0.9])
    return {
        "half_width": float(np.median(half)),
        "half_width_satterthwaite": float(np.median(np.diff(satterthwaite(values), axis=0)) / 2),
        "detectable": detectable,
        "power": float((mean + detectable > half).mean()),
        "named_low": float(low),
        "named": float(median),
        "named_high": float(high),
    }


def mixtures(replicates: int) -> Iterator[dict[str, Any]]:
    """Yield the least and the most that two intervals cover over all shares in steps of a tenth."""
    tenths = [(a, b, 10 - a - b) for a in range(11) for b in range(11 - a)]
    for seeds, units, name in itertools.product((2, *SEEDS), DOCUMENTS, ("crossed", "Satterthwaite")):
        covered = {}
        for parts in tenths:
            shares = (parts[0] / 10, parts[1] / 10, parts[2] / 10)
            covered[shares] = coverage(METHODS[name](differences(shares, seeds, units, replicates)))
        least, most = min(covered, key=lambda key: covered[key]), max(covered, key=lambda key: covered[key])
        yield {
            "interval": name,
            "seeds": seeds,
            "units": units,
            "least": covered[least],
            "least_at": least,
            "most": covered[most],
            "most_at": most,
            "below": sum(share < LEAST for share in covered.values()),
            "above": sum(share > MOST for share in covered.values()),
            "mixtures": len(tenths),
        }


def families(replicates: int) -> Iterator[dict[str, Any]]:
    """Yield how often endpoints without an effect give a discovery: one alone, any of several, after Holm."""
    for noise_name, seeds in itertools.product(NAMED, (2, *SEEDS)):
        values = differences(NOISE[noise_name], seeds, DOCUMENTS[0], replicates * ENDPOINTS)
        mean, noise = crossed_moments(values)
        with_df = 2 * stats.t.sf(np.abs(mean) / np.sqrt(noise.variance), satterthwaite_df(noise))
        ours, theirs = (p.reshape(replicates, ENDPOINTS) for p in (2 * noise.tail(np.abs(mean)), with_df))
        yield {
            "noise": noise_name,
            "seeds": seeds,
            "units": DOCUMENTS[0],
            "one": float((ours < ALPHA).mean()),
            "any": float((ours < ALPHA).any(axis=1).mean()),
            "any_after_holm": _any_after_holm(ours),
            "any_after_holm_satterthwaite": _any_after_holm(theirs),
        }


def _any_after_holm(p: Array) -> float:
    return float(np.mean([min(holm(row)) < ALPHA for row in p.tolist()]))


def tables(results: dict[str, Any]) -> str:
    """Return the tables in Markdown, a coverage outside the band in bold."""
    cells, studies = results["cells"], results["replicates"]
    error = math.sqrt(0.05 * 0.95 / studies)
    lines = [
        "",
        f"Coverage of 95% intervals, in percent, over {studies:,} simulated studies per row (standard error "
        f"{100 * error:.1f} points; {studies // 5:,} studies and {100 * math.sqrt(5) * error:.1f} points "
        "where answers are right or wrong). The rest to 100 are false alarms. Values outside "
        f"{LEAST:.0%} to {MOST:.0%} are bold.",
        "",
        "| noise | seeds | documents or prompts | **crossed (used here)** | Satterthwaite | t over seeds | "
        "t over documents | bootstrap over seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        shown = [_percent(cell[name]) for name in METHODS]
        lines.append(f"| {cell['noise']} | {cell['seeds']} | {cell['units']} | {' | '.join(shown)} |")
    lines += [
        "",
        "Lowest and highest coverage over all mixtures of seeds, documents and rest in steps of a tenth (standard "
        f"error {100 * math.sqrt(2) * error:.1f} points), with the shares (seeds / documents / rest) at which they "
        f"occur, and the number of the {results['mixtures'][0]['mixtures']} mixtures whose coverage lies below or "
        "above the band.",
        "",
        "| interval | seeds | documents | lowest | at | highest | at | below | above |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(results["mixtures"], key=lambda row: row["interval"] != "crossed"):
        where = [" / ".join(f"{share:.1f}" for share in row[key]) for key in ("least_at", "most_at")]
        lines.append(
            f"| {row['interval']} | {row['seeds']} | {row['units']} | {_percent(row['least'])} | {where[0]} | "
            f"{_percent(row['most'])} | {where[1]} | {row['below']} | {row['above']} |"
        )
    lines += [
        "",
        f"False alarms in percent when there is no effect at all: for a single endpoint, for any of {ENDPOINTS} in a "
        "study, and for any of them after Holm's correction, which must keep them at 5 or below.",
        "",
        f"| noise | seeds | documents | one endpoint | any of {ENDPOINTS} | **any, after Holm** | "
        "any, after Holm, with Satterthwaite |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["families"]:
        keys = ("one", "any", "any_after_holm", "any_after_holm_satterthwaite")
        shown = [f"{100 * row[key]:.1f}" for key in keys]
        lines.append(f"| {row['noise']} | {row['seeds']} | {row['units']} | {' | '.join(shown)} |")
    lines += [
        "",
        "The cost of this, in units of the true standard error: half the interval (median; Satterthwaite's in "
        "brackets), the smallest effect detectable at 80% power if the noise were known, how often an effect of that "
        "size was found (percent), and the smallest detectable effect that studies report from the noise that they "
        "measured (median, and the range from 10% to 90% of the studies).",
        "",
        "| noise | seeds | documents | half interval | smallest effect | found | reported by a study |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in (cell for cell in cells if "power" in cell):
        lines.append(
            f"| {cell['noise']} | {cell['seeds']} | {cell['units']} | {cell['half_width']:.1f} "
            f"({cell['half_width_satterthwaite']:.1f}) | {cell['detectable']:.1f} | {100 * cell['power']:.0f} | "
            f"{cell['named']:.1f} ({cell['named_low']:.1f} to {cell['named_high']:.1f}) |"
        )
    return "\n".join([*lines, ""])


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}"
    return text if LEAST <= share <= MOST else f"**{text}**"


if __name__ == "__main__":
    main()
