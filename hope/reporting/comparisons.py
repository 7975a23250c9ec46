"""Every encoding against RoPE and against HoPE, in every measure."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from hope.measures import KEYS, Endpoint, known
from hope.reporting.estimates import (
    SCALED,
    Cell,
    Observations,
    detectable_within,
    difference_bounds,
    in_familiar_units,
    interval_columns,
)
from hope.reporting.study_tables import ArmTables, StudyTables
from hope.reporting.summaries import baseline_of
from hope.statistics import holm

AGAINST = ("rope", "hope")
FAMILIAR = [f"{unit}{end}" for unit in ("percent", "points") for end in SCALED.values()]
COLUMNS = [
    "family", "arm", *KEYS, "encoding", "baseline", "better", "estimate", "low", "high", "df", "seeds", "units",
    "scale", *FAMILIAR, "detectable", "p", "holm_p", "tests",
]  # fmt: skip

Compared = tuple[str, frozenset[str], Endpoint]
"""An arm, two of its encodings and the endpoint in which they are compared."""


def comparisons(
    observations: Mapping[str, Observations],
    tables: StudyTables,
    primary: Mapping[Compared, tuple[float, float]],
    tests: int,
) -> pd.DataFrame:
    """Return one row per pair and endpoint: the difference, its interval, and the smallest detectable effect.

    There are two families. The ``primary`` endpoints decide a claim: ``p`` and ``holm_p`` are the claim's, of the test
    that it states. All others are ``exploratory``: ``p`` is two-sided against no difference, and ``holm_p`` corrects
    it over all rows of the family with a p. ``tests`` is the size of the family. A single seed has no interval and no
    p, because it shows nothing about encodings. An encoding that coincides with an earlier one is counted once.

    Args:
        observations: the endpoints of each arm.
        tables: the study.
        primary: p, before and after correction, of the primary endpoints that compare two encodings.
        tests: number of primary endpoints, including those that do not compare two encodings.
    """
    rows = []
    for name, own in observations.items():
        couples = list(pairs(tables.arms[name]))
        for endpoint, (encoding, baseline) in itertools.product(own.endpoints, couples):
            deciding = primary.get((name, frozenset((encoding, baseline)), endpoint))
            if deciding is None and not known(endpoint).is_compared(endpoint):
                continue
            row = _row(own, endpoint, encoding, baseline, tables.confidence)
            if row is not None and deciding is not None:
                row |= {"family": "primary", "p": deciding[0], "holm_p": deciding[1], "tests": tests}
            rows += [] if row is None else [{"arm": name, **row}]
    table = pd.DataFrame(rows, columns=COLUMNS)
    tested = table["p"].notna() & (table["family"] == "exploratory")
    table.loc[tested, "holm_p"] = holm(table.loc[tested, "p"].tolist())
    table.loc[table["family"] == "exploratory", "tests"] = int(tested.sum())
    return table.astype({"tests": "int64"})


def pairs(tables: ArmTables) -> Iterator[tuple[str, str]]:
    """Yield each encoding of an arm with RoPE, then with HoPE, trained on the same mixture; no pair twice."""
    seen: set[frozenset[str]] = set()
    for against in AGAINST:
        for encoding in tables.encodings:
            baseline = baseline_of(tables.arm, encoding, against)
            if baseline is None or encoding in tables.same or frozenset((encoding, baseline)) in seen:
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
    bounds = difference_bounds(measure)
    numbers = interval_columns(estimate, confidence, bounds)
    numbers["detectable"] = detectable_within(estimate, confidence, bounds)
    if not estimate.noise_known:
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
        "p": estimate.p_value() if estimate.noise_known else math.nan,
        "holm_p": math.nan,
        "tests": 0,
    }
