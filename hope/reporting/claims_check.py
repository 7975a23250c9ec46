"""Whether the claims fit a study: told before anything runs, from the config alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hope.catalogue import NAMES
from hope.config import Study
from hope.errors import UserError, nearest
from hope.reporting import measures
from hope.reporting.claims_file import ClaimsFile, Part, Side, load_claims
from hope.reporting.measures import measure_named, multiple_name


def checked_claims(study: Study) -> ClaimsFile:
    """Return the claims that a study's config names.

    Raises:
        UserError: as :func:`~hope.reporting.claims_file.load_claims` and :func:`check_claims`.
    """
    path = Path(study.claims)
    stated = load_claims(path)
    check_claims(stated, study, path)
    return stated


def check_claims(stated: ClaimsFile, study: Study, path: Path) -> None:
    """See that every name in the claims means something, and that no pilot seed is evidence.

    Raises:
        UserError: an encoding is neither known, nor defined by the study, nor listed under the file's own
            ``encodings``; a task is none of the study's; or a pilot's seed is among the study's.
    """
    known = dict.fromkeys([*study.encodings, *study.definitions, *stated.encodings, *NAMES])

    def see_to(name: str, key: str) -> None:
        if name not in known:
            raise UserError(
                f"{path}: {key}: '{name}' is no encoding{nearest(name, known)}; a name that another study defines "
                "goes into the list 'encodings' of this file"
            )

    for claim in stated.claims:
        for name in claim.covers:
            see_to(name, f"claims.{claim.id}.covers")
        for part in (part for part in claim.parts if isinstance(part, Part)):
            prefix = f"claims.{claim.id}.parts.{part.id}"
            for key, side in (("treatment", part.treatment), ("baseline", part.baseline)):
                if side.encoding is not None:
                    see_to(side.encoding, f"{prefix}.{key}.encoding")
                task = _task(side)
                if task is not None and task not in study.tasks.names:
                    hint = nearest(task, study.tasks.names)
                    raise UserError(f"{path}: {prefix}.{key}.measure: '{task}' is no retrieval task{hint}")
            _see_to_pilot(part, study, f"{path}: {prefix}")


def _see_to_pilot(part: Part, study: Study, prefix: str) -> None:
    used = [seed for name, seed in study.runs() if name in (part.treatment.encoding, part.baseline.encoding)]
    taken = sorted(set(part.pilot.seeds if part.pilot else []).intersection(used))
    if taken:
        raise UserError(
            f"{prefix}.pilot.seeds: the study uses seed {taken[0]} too, from which the endpoint was chosen; "
            "give it other seeds (seeds.first)"
        )


def unanswered(stated: ClaimsFile, study: Study) -> Iterator[str]:
    """Yield a line for each part that decides and that the study, as it is configured, must leave open.

    One that is measured elsewhere, as the claims say themselves, is no surprise and has none.
    """
    for claim in stated.claims:
        for part in (part for part in claim.parts if isinstance(part, Part) and part.decides):
            reason = _obstacle(part, study)
            if reason:
                yield f"claim {claim.id} ({claim.title}) stays open: part {part.id}: {reason}"


def _obstacle(part: Part, study: Study) -> str:
    """Say why a study cannot settle a part; empty if nothing stands in the way."""
    sides = [side for side in (part.treatment, part.baseline) if side.encoding is not None]
    names = list(dict.fromkeys(side.encoding for side in sides if side.encoding))
    absent = [name for name in names if name not in study.encodings]
    if absent:
        return "" if part.elsewhere else f"the study has no {' and no '.join(absent)}"
    missing = [text for text in (_not_measured(side.measure or "", study) for side in sides) if text]
    if missing:
        return missing[0]
    shared = set.intersection(*({seed for other, seed in study.runs() if other == name} for name in names))
    if part.kind != "exact" and len(shared) < 2:
        return f"a single seed of {' and '.join(names)} cannot tell encodings from chance (seeds)"
    return ""


def _not_measured(name: str, study: Study) -> str:
    """Say why a study does not measure something; empty if it does."""
    known = measure_named(name)
    assert known is not None, "the claims file was checked when it was read"
    numbers, task = known.numbers(name), _task(Side(encoding="any", measure=name))
    extension = known.extension(name)
    if extension is not None and extension not in (entry.label for entry in study.extrapolation.extensions):
        return f"{name} needs '{extension}' in extrapolation.extensions"
    if known.table == measures.STRIDED:
        return "" if study.extrapolation.strided else f"{name} needs extrapolation.strided"
    if known.table == measures.EXTRAPOLATION:
        longest = study.extrapolation.longest
        starts = [2**power for power in range(longest.bit_length())]
        octave = not numbers or (numbers[0] in starts and numbers[1] == 2 * numbers[0])
        last = numbers[-1] if numbers else measures.PAST_END if name == "loss_past" else 1
        return "" if octave and last <= longest else f"{name} is no octave up to extrapolation.longest, {longest}"
    if known.table == measures.CONTEXT:
        return _lacks(name, numbers[0], study.extrapolation.contexts, "extrapolation.contexts")
    if known.table == measures.DIVERGENCE:
        return _lacks(name, numbers[0], study.analysis.multiples, "analysis.multiples")
    if task is not None and task not in study.retrieval.tasks:
        return f"{name} needs '{task}' in retrieval.tasks"
    if task is not None:
        lacks = _lacks(name, numbers[0], study.retrieval.multiples, "retrieval.multiples")
        depths = study.tasks.task(task).settings.get("depths") or []
        return lacks or (_lacks(name, numbers[1], depths, f"the depths of {task}") if len(numbers) > 1 else "")
    return ""


def _lacks(name: str, number: float, listed: Iterable[float], key: str) -> str:
    return "" if multiple_name(number) in map(multiple_name, listed) else f"{name} needs {number:g} in {key}"


def _task(side: Side) -> str | None:
    """Return the retrieval task that a side measures, if it does."""
    known = measure_named(side.measure or "")
    match = known.pattern.fullmatch(side.measure or "") if known else None
    return match.groupdict().get("task") if match else None
