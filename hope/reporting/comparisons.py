"""Every encoding against RoPE and against HoPE, in every measure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from hope.config import Study
from hope.encodings.identities import coinciding
from hope.encodings.shape import encoding_shape
from hope.measures import KEYS, Endpoint, known
from hope.reporting.estimates import SCALED, Cell, Observations, in_familiar_units, interval_columns
from hope.reporting.summaries import baseline_of
from hope.statistics import holm

AGAINST = ("rope", "hope")
FAMILIAR = [f"{unit}{end}" for unit in ("percent", "points") for end in SCALED.values()]
COLUMNS = [
    "family", *KEYS, "encoding", "baseline", "better", "estimate", "low", "high", "df", "seeds", "units", "scale",
    *FAMILIAR, "detectable", "p", "holm_p", "tests",
]  # fmt: skip

Compared = tuple[frozenset[str], Endpoint]
"""Two encodings and the endpoint in which they are compared."""


def comparisons(
    observations: Observations, settings: Study, primary: Mapping[Compared, tuple[float, float]], tests: int
) -> pd.DataFrame:
    """Return one row a pair and endpoint: the difference, its interval, and what could have been seen.

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
    rows = []
    for endpoint in observations.endpoints:
        for encoding, baseline in pairs(settings):
            deciding = primary.get((frozenset((encoding, baseline)), endpoint))
            if deciding is None and not known(endpoint).is_compared(endpoint):
                continue
            row = _row(observations, endpoint, encoding, baseline, settings.report.confidence)
            if row is not None and deciding is not None:
                row |= {"family": "primary", "p": deciding[0], "holm_p": deciding[1], "tests": tests}
            rows += [] if row is None else [row]
    table = pd.DataFrame(rows, columns=COLUMNS)
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


def _row(
    observations: Observations, endpoint: Endpoint, encoding: str, baseline: str, confidence: float
) -> dict[str, Any] | None:
    measure = known(endpoint)
    difference = observations.difference(Cell(encoding, endpoint), Cell(baseline, endpoint))
    if difference is None:
        return None
    estimate = difference.estimate
    # Two models that answer alike throughout, at their ceiling say, need not be alike on other prompts.
    known_noise = estimate.decides and not (measure.points and estimate.variance == 0)
    numbers = interval_columns(estimate, confidence)
    numbers["detectable"] = estimate.detectable(confidence)
    if not known_noise:
        numbers |= dict.fromkeys(("low", "high", "df", "detectable"), math.nan)
    return {
        "family": "exploratory",
        **endpoint.columns,
        "encoding": encoding,
        "baseline": baseline,
        "better": measure.better,
        **numbers,
        "scale": measure.scale,
        **dict.fromkeys(FAMILIAR, math.nan),
        **in_familiar_units(measure, numbers),
        "p": estimate.p_value() if known_noise else math.nan,
        "holm_p": math.nan,
        "tests": 0,
    }
