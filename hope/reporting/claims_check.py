"""Whether the claims fit a study: told before anything runs, from the config alone."""

from collections.abc import Iterator
from pathlib import Path

from hope.catalogue import NAMES
from hope.config import Study
from hope.errors import UserError, nearest
from hope.measures import known
from hope.reporting.claims_file import ClaimsFile, Part, load_claims


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
    encodings = dict.fromkeys([*study.encodings, *study.definitions, *stated.encodings, *NAMES])

    def see_to(name: str, key: str) -> None:
        if name not in encodings:
            raise UserError(
                f"{path}: {key}: '{name}' is no encoding{nearest(name, encodings)}; a name that another study defines "
                "goes into the list 'encodings' of this file"
            )

    for claim in stated.claims:
        for name in claim.covers:
            see_to(name, f"claims.{claim.id}.covers")
        for part in (part for part in claim.parts if isinstance(part, Part)):
            prefix = f"claims.{claim.id}.parts.{part.id}"
            for key, side in part.sides.items():
                see_to(side.encoding or "", f"{prefix}.{key}.encoding")
                if side.task is not None and side.task not in study.tasks.names:
                    hint = nearest(side.task, study.tasks.names)
                    raise UserError(f"{path}: {prefix}.{key}.task: '{side.task}' is no retrieval task{hint}")
            _see_to_pilot(part, study, f"{path}: {prefix}")


def _see_to_pilot(part: Part, study: Study, prefix: str) -> None:
    used = [seed for name, seed in study.runs() if name in part.encodings]
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
    absent = [name for name in part.encodings if name not in study.encodings]
    if absent:
        return "" if part.elsewhere else f"the study has no {' and no '.join(absent)}"
    for side in part.sides.values():
        lacking = known(side.endpoint).lacking(side.endpoint, study)
        if lacking:
            return lacking
    shared = set.intersection(*({seed for other, seed in study.runs() if other == name} for name in part.encodings))
    if part.kind != "exact" and len(shared) < 2:
        return f"a single seed of {' and '.join(part.encodings)} cannot tell encodings from chance (seeds)"
    return ""
