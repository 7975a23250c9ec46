"""Verdicts on the claims under test, from the endpoints and nothing else."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from hope.config import Study
from hope.errors import UserError
from hope.files import sha256_of_file, write_json
from hope.paths import StudyPaths
from hope.reporting.claims_check import check_claims
from hope.reporting.claims_file import Claim, Part, Side, UnmeasuredPart, load_claims
from hope.reporting.comparisons import Endpoint, comparisons
from hope.reporting.endpoints import read_study
from hope.reporting.estimates import Difference, Observations, in_familiar_units
from hope.reporting.measures import measure_named
from hope.reporting.summaries import write_summary
from hope.reporting.verdicts import Verdict, rule, side_name
from hope.statistics import Estimate, equivalence, holm

NUMBERS = (
    "estimate",
    "low",
    "high",
    "df",
    "seeds",
    "units",
    "unit",
    "p",
    "holm_p",
    "detectable",
    "percent",
    "percent_low",
    "percent_high",
    "percent_detectable",
    "points",
    "points_low",
    "points_high",
    "points_detectable",
    "equivalence",
    "treatment_mean",
    "baseline_mean",
)
"""What is known of an endpoint; null where it was not measured or cannot be given."""


def judge(study: Path, claims: Path) -> None:
    """Judge every claim, and write ``claims.json`` and the table of all comparisons.

    ``claims`` in it has, for each claim, ``verdict`` (after Holm's correction over the primary endpoints of
    all claims, which are those of the parts that decide) and ``interval_verdict`` (before it), the numbers
    of the part that settles it, a reason, and all parts with the same keys. Estimates are treatment minus
    baseline, in the endpoint's own unit. A claim of several parts is supported where all parts that decide
    are, and contradicted where one of them is.

    ``detectable`` is the smallest effect that the study could have been expected to see
    (:meth:`hope.statistics.Estimate.detectable`); ``percent`` and ``points`` tell an effect as a change of
    perplexity or in accuracy points. ``evidence`` are the files that an endpoint was computed from,
    ``shown_in`` the tables and figures that show it. The comparisons come last since those that are primary
    endpoints are no part of the exploratory family.

    Args:
        study: folder of the study, with ``tables/endpoints.parquet``.
        claims: the claims under test.

    Raises:
        UserError: the claims file is wrong, or the study has no endpoints yet.
    """
    paths, settings, stated = StudyPaths(study), read_study(study), load_claims(claims)
    table = paths.tables / "endpoints.parquet"
    if not table.exists():
        raise UserError(f"{table}: there is no such file; compute the endpoints first (python -m hope judge)")
    check_claims(stated, settings, claims)
    observations, confidence = Observations(pd.read_parquet(table)), settings.report.confidence
    judged = [
        [_judge_part(claim, part, observations, paths, settings) for part in claim.parts if _asked(part, settings)]
        for claim in stated.claims
    ]
    family = _primary([part for parts in judged for part in parts])
    for same, corrected in zip(family, holm([same[0]["p"] for same in family]), strict=True):
        for part in same:
            _correct(part, corrected, len(family), 1 - confidence)
    write_json(
        paths.claims,
        {
            "study": settings.study,
            "confidence": confidence,
            "correction": {"method": "Holm", "endpoints": len(family)},
            "claims_file": claims.name,
            "claims_sha256": sha256_of_file(claims),
            "claims": [_judge_claim(claim, parts) for claim, parts in zip(stated.claims, judged, strict=True)],
        },
    )
    write_summary(paths, "comparisons", comparisons(observations, settings, _between(family), len(family)))


def _asked(part: Part | UnmeasuredPart, settings: Study) -> bool:
    """Whether this study is asked: what does not decide is left out where its encodings are."""
    return part.decides or isinstance(part, UnmeasuredPart) or not _absent(part, settings)


def _absent(part: Part, settings: Study) -> list[str]:
    """Return the encodings of a part that the study does not have."""
    sides = (part.treatment.encoding, part.baseline.encoding)
    return [name for name in dict.fromkeys(sides) if name is not None and name not in settings.encodings]


def _judge_part(
    claim: Claim, part: Part | UnmeasuredPart, observations: Observations, paths: StudyPaths, settings: Study
) -> dict[str, Any]:
    """Return a part's verdict and all that is known of its endpoint."""
    stated = part.model_dump(mode="json")
    result: dict[str, Any] = {**stated, **dict.fromkeys(NUMBERS), "unit": stated.get("unit")}
    result |= {"evidence": [], "shown_in": []}
    result |= {"source": part.source or claim.source, "interval_verdict": "inconclusive", "verdict": "inconclusive"}
    if isinstance(part, UnmeasuredPart):
        return result | {"reason": f"Not measured here: {part.not_measured}"}
    absent = _absent(part, settings)
    if absent:
        otherwise = f"The study has no models of {' and '.join(absent)}."
        return result | {"reason": f"Not measured here: {part.elsewhere}" if part.elsewhere else otherwise}
    difference = observations.difference(part.treatment, part.baseline)
    if difference is None:
        return result | {"reason": f"The study has no endpoint for it: {_what_is_missing(part, observations)}."}
    ruling = rule(part, difference, settings.report.confidence)
    numbers = _numbers(part, difference, settings.report.confidence) | {"p": ruling.p}
    verdicts = {"interval_verdict": ruling.verdict, "verdict": ruling.verdict, "reason": ruling.reason}
    files = {"evidence": _evidence(part, paths, settings), "shown_in": _shown_in(part)}
    return result | numbers | verdicts | files


def _what_is_missing(part: Part, observations: Observations) -> str:
    sides = [side for side in (part.treatment, part.baseline) if side.constant is None]
    missing = [side for side in sides if observations.matrix(side.encoding or "", side.measure or "").empty]
    if missing:
        return f"{' and '.join(map(side_name, missing))} was not measured"
    return "treatment and baseline have no seed and unit in common"


def _numbers(part: Part, difference: Difference, confidence: float) -> dict[str, Any]:
    """Return the numbers of an endpoint, without those of tests."""
    estimate = difference.estimate
    numbers: dict[str, Any] = {
        "estimate": estimate.mean,
        "treatment_mean": difference.treatment,
        "baseline_mean": difference.baseline,
    }
    if part.kind == "exact":
        return numbers
    numbers |= {"seeds": estimate.seeds, "units": estimate.units}
    if estimate.decides:
        low, high = estimate.interval(confidence)
        detectable = estimate.detectable(confidence)
        numbers |= {"low": low, "high": high, "df": estimate.df(confidence), "detectable": detectable}
        if part.kind == "non_inferiority":
            numbers["equivalence"] = _equivalence(estimate, part.margin or 0.0, confidence)
    measure = measure_named(part.treatment.measure or "")
    if measure is not None:
        numbers |= in_familiar_units(measure, numbers)
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in numbers.items()
    }


def _equivalence(estimate: Estimate, margin: float, confidence: float) -> dict[str, Any]:
    """Return the two one-sided tests that stand beside a non-inferiority; no verdict rests on them."""
    p = equivalence(estimate, margin)
    return {"margin": margin, "p": p, "equivalent": p < 1 - confidence}


def _evidence(part: Part, paths: StudyPaths, settings: Study) -> list[str]:
    """Return the files, relative to the study, that an endpoint was computed from."""
    found = ["tables/endpoints.parquet"]
    for side in (part.treatment, part.baseline):
        found += [path for path in _sources(side, paths, settings) if path not in found]
    return found


def _shown_in(part: Part) -> list[str]:
    """Return the figures and summary tables, relative to the study, that show an endpoint."""
    known = [measure_named(side.measure or "") for side in (part.treatment, part.baseline)]
    shown = [path for measure in known if measure is not None for path in measure.shown]
    return list(dict.fromkeys(["figures/claims.svg", *shown]))


def _sources(side: Side, paths: StudyPaths, settings: Study) -> list[str]:
    measure = measure_named(side.measure or "")
    if measure is None:
        return []
    room, name = measure.table.split("/")
    if room == "theory":
        return [str((paths.theory / name).relative_to(paths.root))]
    runs = [paths.run(encoding, seed) for encoding, seed in settings.runs() if encoding == side.encoding]
    return [str((getattr(run, room) / name).relative_to(paths.root)) for run in runs]


def _primary(parts: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the primary endpoints with a p value, each as the parts that share it."""
    family: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        if part["decides"] and part["p"] is not None:
            endpoint = [
                part[key] for key in ("treatment", "baseline", "direction", "kind", "smallest_effect", "margin")
            ]
            family.setdefault(repr(endpoint), []).append(part)
    return list(family.values())


def _between(family: list[list[dict[str, Any]]]) -> dict[Endpoint, tuple[float, float]]:
    """Return p, before and after correction, of the endpoints that compare two encodings in one measure."""
    found: dict[Endpoint, tuple[float, float]] = {}
    for part in (same[0] for same in family):
        treatment, baseline = part["treatment"], part["baseline"]
        if treatment["measure"] == baseline["measure"] and treatment["encoding"] != baseline["encoding"]:
            pair = frozenset((treatment["encoding"], baseline["encoding"]))
            found.setdefault((pair, treatment["measure"]), (part["p"], part["holm_p"]))
    return found


def _correct(part: dict[str, Any], corrected: float, endpoints: int, alpha: float) -> None:
    """Put the corrected p value into a part; a verdict that does not survive becomes inconclusive."""
    part["holm_p"] = corrected
    if part["interval_verdict"] != "inconclusive" and corrected >= alpha:
        part["verdict"] = "inconclusive"
        part["reason"] += (
            f" By that interval alone it would be {part['interval_verdict']} (p {part['p']:.2g}), but not after "
            f"Holm's correction for {endpoints} primary endpoints (p {corrected:.2g})."
        )


def _judge_claim(claim: Claim, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a claim's verdict from those of its parts."""
    deciding = [part for part in parts if part["decides"]]
    verdict = _all_of([part["verdict"] for part in deciding])
    settling = _settling([part for part in deciding if part["verdict"] == verdict], verdict)
    # A part without an endpoint may be what holds a claim back; the numbers are then of one that has one.
    measured = [part for part in deciding if part["estimate"] is not None]
    shown = settling if settling["estimate"] is not None or not measured else measured[0]
    reason = (
        settling["reason"] if len(deciding) == 1 else f"On \u201c{settling['statement']}\u201d: {settling['reason']}"
    )
    return {
        "id": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "note": claim.note,
        "covers": claim.covers,
        "verdict": verdict,
        "interval_verdict": _all_of([part["interval_verdict"] for part in deciding]),
        "reason": reason,
        "settled_by": settling["id"],
        "numbers_of": shown["id"],
        **{key: shown[key] for key in NUMBERS},
        "evidence": sorted({path for part in parts for path in part["evidence"]}),
        "shown_in": list(dict.fromkeys(path for part in parts for path in part["shown_in"])),
        "parts": parts,
    }


def _all_of(verdicts: list[Verdict]) -> Verdict:
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"


def _settling(parts: list[dict[str, Any]], verdict: Verdict) -> dict[str, Any]:
    """Return the part that settles a claim: the surest contradiction, or the least sure support."""
    if verdict == "inconclusive":
        return parts[0]
    by_p = sorted(parts, key=lambda part: part["p"] if part["p"] is not None else 0.0)
    return by_p[0] if verdict == "contradicted" else by_p[-1]
