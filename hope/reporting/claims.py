"""Verdicts on the claims under test, from the endpoints alone."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hope.files import sha256_of_file, write_json
from hope.measures import known
from hope.reporting.claims_check import absent, check_claims
from hope.reporting.claims_file import Claim, Part, Side, UnmeasuredPart, load_claims
from hope.reporting.comparisons import Compared, comparisons
from hope.reporting.estimates import (
    Cell,
    Difference,
    Observations,
    by_arm,
    detectable_within,
    difference_bounds,
    in_familiar_units,
    interval_within,
)
from hope.reporting.figures.declaration import declared_figures
from hope.reporting.judged import JudgedClaim, JudgedPart, Numbers
from hope.reporting.study_tables import ArmTables, StudyTables, read_table
from hope.reporting.summaries import write_summary
from hope.reporting.verdicts import rule
from hope.statistics import Estimate, equivalence, holm
from hope.words import listed, plural


def judge(study: Path, claims: Path) -> None:
    """Judge every claim, and write ``claims.json`` and the table of all comparisons.

    Holm's correction covers the primary endpoints of all claims, those of the deciding parts. The comparisons come
    last, because the exploratory family leaves the primary endpoints out.

    Args:
        study: folder of the study, with ``tables/endpoints.parquet``.
        claims: the claims under test.

    Raises:
        UserError: the claims file is wrong, or the study has no endpoints yet.
    """
    tables, stated = StudyTables(study), load_claims(claims)
    check_claims(stated, tables.study, claims)
    observations = by_arm(read_table(tables.paths.tables / "endpoints.parquet"), tables.arms)
    judged = [
        JudgedClaim(claim, [_judge_part(claim, part, observations, tables) for part in _parts(claim, tables)])
        for claim in stated.claims
    ]
    family = _primary([part for claim in judged for part in claim.deciding])
    p_values = [same[0].numbers.p or 0.0 for same in family]
    for same, corrected in zip(family, holm(p_values), strict=True):
        for part in same:
            part.correct(corrected, len(family), 1 - tables.confidence)
    write_json(
        tables.paths.claims,
        {
            "study": tables.study.study,
            "confidence": tables.confidence,
            "correction": {"method": "Holm", "endpoints": len(family)},
            "claims_file": claims.name,
            "claims_sha256": sha256_of_file(claims),
            "claims": [claim.as_json() for claim in judged],
        },
    )
    table = comparisons(observations, tables, _between(family), len(family))
    write_summary(tables.paths, "comparisons", table)


def _parts(claim: Claim, tables: StudyTables) -> list[Part | UnmeasuredPart]:
    """Return the parts to judge: all that decide, and the others where the study has their encodings."""
    return [
        part
        for part in claim.parts
        if part.decides or isinstance(part, UnmeasuredPart) or not absent(part, tables.study)
    ]


def _judge_part(
    claim: Claim, part: Part | UnmeasuredPart, observations: Mapping[str, Observations], tables: StudyTables
) -> JudgedPart:
    """Return a part's verdict with the numbers of its endpoint."""
    source = part.source or claim.source
    if isinstance(part, UnmeasuredPart):
        return JudgedPart(part, source, f"Not measured here: {part.not_measured}", Numbers())
    if lacking := absent(part, tables.study):
        reason = f"Not measured here: {part.elsewhere}" if part.elsewhere else f"The study has {lacking}."
        return JudgedPart(part, source, reason, Numbers(unit=part.unit))
    own = observations[part.arm]
    difference = own.difference(_cell(part.treatment), _cell_or_constant(part.baseline))
    if difference is None:
        return JudgedPart(part, source, _why_no_numbers(part, own), Numbers(unit=part.unit))
    ruling = rule(part, difference, tables.confidence)
    numbers = Numbers(**_numbers(part, difference, tables.confidence), unit=part.unit, p=ruling.p)
    sources = [path for side in part.sides.values() for path in _sources(side, tables.arms[part.arm])]
    shown = [path for side in part.sides.values() for path in _shown_in(side, part.arm)]
    return JudgedPart(
        part,
        source,
        ruling.reason,
        numbers,
        ruling.verdict,
        ruling.verdict,
        evidence=list(dict.fromkeys(["tables/endpoints.parquet", *sources])),
        shown_in=list(dict.fromkeys(["figures/claims.svg", *shown])),
    )


def _cell(side: Side) -> Cell:
    assert side.encoding is not None, "a constant has no cell"
    return Cell(side.encoding, side.endpoint)


def _cell_or_constant(side: Side) -> Cell | float:
    return _cell(side) if side.constant is None else side.constant


def _why_no_numbers(part: Part, observations: Observations) -> str:
    matrices = {side.words: observations.matrix(_cell(side)) for side in part.sides.values()}
    unreached = {words: int(np.isinf(matrix.to_numpy(float)).any(axis=1).sum()) for words, matrix in matrices.items()}
    if any(unreached.values()):
        never = [f"{words} in {plural(count, 'seed')}" for words, count in unreached.items() if count]
        return f"Never reached in training: {listed(never)}, so that there is no number to compare."
    missing = [words for words, matrix in matrices.items() if matrix.empty]
    why = f"{' and '.join(missing)} was not measured"
    return f"The study has no endpoint for it: {why if missing else 'its sides share no seed and unit'}."


def _numbers(part: Part, difference: Difference, confidence: float) -> dict[str, Any]:
    """Return the numbers of an endpoint, p values aside."""
    estimate = difference.estimate
    numbers: dict[str, Any] = {
        "estimate": estimate.mean,
        "treatment_mean": difference.treatment,
        "baseline_mean": difference.baseline,
    }
    if part.kind == "exact":
        return numbers
    numbers |= {"seeds": estimate.seeds, "units": estimate.units}
    measure = known(part.treatment.endpoint)
    if estimate.noise_known:
        bounds = difference_bounds(measure)
        low, high = interval_within(estimate, confidence, bounds)
        detectable = detectable_within(estimate, confidence, bounds)
        numbers |= {"low": low, "high": high, "df": estimate.df(confidence), "detectable": detectable}
        numbers["noise"] = {key: float(getattr(estimate.noise, key)) for key in ("of_seeds", "of_units", "of_rest")}
        if part.kind == "non_inferiority":
            numbers["equivalence"] = _equivalence(estimate, part.margin or 0.0, confidence)
    return numbers | in_familiar_units(measure, numbers)


def _equivalence(estimate: Estimate, margin: float, confidence: float) -> dict[str, Any]:
    """Return the two one-sided tests reported beside a non-inferiority; no verdict depends on them."""
    p = equivalence(estimate, margin)
    return {"margin": margin, "p": p, "equivalent": p < 1 - confidence}


def _sources(side: Side, tables: ArmTables) -> list[str]:
    """Return the files that a side was computed from, relative to the study."""
    source = known(side.endpoint).source
    if source.room == "theory":
        paths = [tables.paths.theory(tables.name) / f"{source.name}.parquet"]
    else:
        encoding = side.encoding or ""
        paths = [tables.path(source.name, encoding, seed) for seed in tables.seeds(encoding)]
    return [str(path.relative_to(tables.paths.root)) for path in paths]


def _shown_in(side: Side, arm: str) -> list[str]:
    """Return the figures and summary tables that show a side, relative to the study."""
    source, extended = known(side.endpoint).source, side.extension is not None
    table = f"{source.room}/{source.name}.parquet"
    # Length extensions have their own figure, which shows nothing else.
    figures = [f.name for f in declared_figures() if table in f.needs and (f.name == "extensions") == extended]
    return [*(f"figures/{arm}/{name}.svg" for name in figures), *(f"tables/{name}.csv" for name in source.summaries)]


def _primary(parts: list[JudgedPart]) -> list[list[JudgedPart]]:
    """Return the primary endpoints with a p value, each as the list of parts that share it."""
    family: dict[Hashable, list[JudgedPart]] = {}
    for judged in parts:
        part = judged.stated
        if isinstance(part, Part) and judged.numbers.p is not None:
            sides = _cell(part.treatment), _cell_or_constant(part.baseline)
            test = part.arm, part.direction, part.kind, part.smallest_effect, part.margin
            family.setdefault((sides, test), []).append(judged)
    return list(family.values())


def _between(family: list[list[JudgedPart]]) -> dict[Compared, tuple[float, float]]:
    """Return p, before and after correction, of the endpoints that compare two encodings in one measure."""
    p_values: dict[Compared, tuple[float, float]] = {}
    for judged in (same[0] for same in family):
        assert isinstance(judged.stated, Part)
        assert judged.numbers.p is not None and judged.numbers.holm_p is not None
        sides = [_cell(side) for side in judged.stated.sides.values()]
        encodings, endpoints = frozenset(side.encoding for side in sides), {side.endpoint for side in sides}
        if len(encodings) == 2 and len(endpoints) == 1:
            key = judged.stated.arm, encodings, sides[0].endpoint
            p_values.setdefault(key, (judged.numbers.p, judged.numbers.holm_p))
    return p_values
