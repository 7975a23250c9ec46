"""The effects that a study could detect, before it runs: from its seeds and the noise of the default study."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hope
from hope import words
from hope.config import Study
from hope.files import read_json
from hope.measures import KEYS
from hope.measures import known as measure_of
from hope.reporting.claims_check import shared_seeds
from hope.reporting.claims_file import ClaimsFile, Part, Side
from hope.reporting.estimates import detectable_within, difference_bounds
from hope.statistics import Estimate, Noise

NOISE = Path(hope.__file__).resolve().parents[1] / "docs" / "noise.json"
"""Noise of the endpoints of the default study: :func:`noise_of` its verdicts."""


def noise_of(claims: Path) -> dict[str, Any]:
    """Return the noise of a study's endpoints.

    Args:
        claims: ``claims.json`` of the study.

    Returns:
        ``study``, its name, and ``endpoints``: the two sides of each and the fields of :class:`~hope.statistics.Noise`.
    """
    judged = read_json(claims)
    parts = [part for claim in judged["claims"] for part in claim["parts"] if part.get("noise")]
    endpoints = {}
    for part in parts:
        sides = [_compared(part["treatment"]), _compared(part["baseline"])]
        endpoints[str(sides)] = {"sides": sides, "seeds": part["seeds"], "units": part["units"], **part["noise"]}
    return {"study": judged["study"], "endpoints": list(endpoints.values())}


def _compared(side: dict[str, Any]) -> dict[str, Any]:
    """Return a side without its encoding: the noise of one encoding is taken for that of another."""
    return {key: side[key] for key in (*KEYS, "constant") if side.get(key) is not None}


def seen_effects(stated: ClaimsFile, study: Study, known: Path = NOISE) -> Iterator[str]:
    """Yield one line per deciding part: the smallest effect that the study's seeds can be expected to detect.

    A part has no line where the default study lacks its endpoint, or where the study has fewer than two seeds for it.
    """
    if not known.exists():
        return
    content = read_json(known)
    noise = {str(entry["sides"]): entry for entry in content["endpoints"]}
    for claim in stated.claims:
        for part in (part for part in claim.parts if isinstance(part, Part) and part.decides):
            entry, arm = noise.get(str([_stated(part.treatment), _stated(part.baseline)])), study.arms.get(part.arm)
            seeds = len(shared_seeds(part, arm)) if arm else 0
            if entry is None or seeds < 2:
                continue
            reference = Noise(entry["of_seeds"], entry["of_units"], entry["of_rest"], entry["seeds"], entry["units"])
            estimate = Estimate(0.0, reference.of(seeds, entry["units"]))
            bounds = difference_bounds(measure_of(part.treatment.endpoint))
            effect = detectable_within(estimate, study.report.confidence, bounds)
            seen = "no possible effect" if math.isnan(effect) else f"{words.number(effect)} {part.unit}"
            bar = part.margin or part.smallest_effect
            yield (
                f"claim {claim.id}, part {part.id}: {seeds} seeds could see {seen} "
                f"({'allowed are' if part.margin else 'it asks for'} {bar:g})"
            )


def _stated(side: Side) -> dict[str, Any]:
    return _compared(side.model_dump())
