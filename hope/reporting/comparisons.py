"""Every encoding against RoPE and against HoPE, in every measure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from hope.config import Study
from hope.encodings.identities import coinciding
from hope.encodings.shape import encoding_shape
from hope.reporting.claims_file import Side
from hope.reporting.estimates import SCALED, Observations, in_familiar_units
from hope.reporting.measures import Measure, measure_named
from hope.reporting.summaries import baseline_of, interval_columns
from hope.statistics import holm

AGAINST = ("rope", "hope")
FAMILIAR = [f"{unit}{end}" for unit in ("percent", "points") for end in SCALED.values()]
COLUMNS = [
    "family", "measure", "encoding", "baseline", "better", "estimate", "low", "high", "df", "seeds", "units", "scale",
    *FAMILIAR, "detectable", "p", "holm_p", "tests",
]  # fmt: skip

Endpoint = tuple[frozenset[str], str]
"""Two encodings and the measure in which they are compared."""


def comparisons(
    observations: Observations, settings: Study, primary: Mapping[Endpoint, tuple[float, float]], tests: int
) -> pd.DataFrame:
    """Return one row a pair and measure: the difference, its interval, and what could have been seen.

    Two families. ``primary`` are the endpoints that decide a claim: ``p`` and ``holm_p`` are those of the
    claim, against what it asks for. Everything else is ``exploratory``: ``p`` is two-sided against no
    difference and ``holm_p`` corrected over all rows of the family that have one. ``tests`` is the size of
    the family. A single seed has no interval and no p: it says nothing about encodings. An encoding that
    coincides with an earlier one under another name is counted once.

    Args:
        observations: the study's endpoints.
        settings: its config.
        primary: p, before and after correction, of the primary endpoints that compare two encodings.
        tests: number of primary endpoints, those that compare no encodings included.
    """
    rows = [
        row
        for name in observations.measures
        for encoding, baseline in pairs(settings)
        if _known(name).compared or (frozenset((encoding, baseline)), name) in primary
        if (row := _row(observations, name, encoding, baseline, settings.report.confidence)) is not None
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for number, row in enumerate(rows):
        if (found := primary.get((frozenset((row["encoding"], row["baseline"])), row["measure"]))) is not None:
            table.loc[number, ["p", "holm_p"]] = found
            table.loc[number, ["family", "tests"]] = "primary", tests
    tested = table["p"].notna() & (table["family"] == "exploratory")
    table.loc[tested, "holm_p"] = holm(table.loc[tested, "p"].tolist())
    table.loc[table["family"] == "exploratory", "tests"] = int(tested.sum())
    return table.astype({"tests": "int64"})


def pairs(settings: Study) -> Iterator[tuple[str, str]]:
    """Yield each encoding with RoPE, then with HoPE, of its own kind of training; no pair twice."""
    shape = encoding_shape(settings.model, settings.training.length)
    same = coinciding([settings.encoding(name) for name in settings.encodings], shape)
    seen: set[frozenset[str]] = set()
    for against in AGAINST:
        for encoding in settings.encodings:
            baseline = baseline_of(settings, encoding, against)
            if baseline is None or encoding in same or frozenset((encoding, baseline)) in seen:
                continue
            seen.add(frozenset((encoding, baseline)))
            yield encoding, baseline


def _known(name: str) -> Measure:
    found = measure_named(name)
    assert found is not None, f"{name} is missing from hope.reporting.measures"
    return found


def _row(
    observations: Observations, name: str, encoding: str, baseline: str, confidence: float
) -> dict[str, Any] | None:
    known = _known(name)
    sides = Side(encoding=encoding, measure=name), Side(encoding=baseline, measure=name)
    difference = observations.difference(*sides)
    if difference is None:
        return None
    estimate = difference.estimate
    # Two models that answer alike throughout, at their ceiling say, need not be alike on other prompts.
    known_noise = estimate.decides and not (known.points and estimate.variance == 0)
    numbers = interval_columns(estimate, confidence)
    numbers["detectable"] = estimate.detectable(confidence)
    if not known_noise:
        numbers |= dict.fromkeys(("low", "high", "df", "detectable"), math.nan)
    return {
        "family": "exploratory",
        "measure": name,
        "encoding": encoding,
        "baseline": baseline,
        "better": known.better,
        **numbers,
        "scale": known.scale,
        **dict.fromkeys(FAMILIAR, math.nan),
        **in_familiar_units(known, numbers),
        "p": estimate.p_value() if known_noise else math.nan,
        "holm_p": math.nan,
        "tests": 0,
    }
