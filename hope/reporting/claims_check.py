"""Whether the claims fit a study: told before anything runs, from the config alone."""

from collections.abc import Iterator
from pathlib import Path

from hope.catalogue import NAMES
from hope.config import Arm, Study
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
        UserError: an arm is none of the study's and not listed under the file's own ``arms``; an encoding is neither
            known, nor defined by the study, nor listed under ``encodings``; a task is none of the arm's; or a pilot's
            seed is among the arm's.
    """
    defined = [name for arm in study.arms.values() for name in (*arm.encodings, *arm.definitions)]
    known_names = {"encoding": [*defined, *stated.encodings, *NAMES], "arm": [*study.arms, *stated.arms]}

    def see_to(kind: str, name: str, key: str) -> None:
        if name not in known_names[kind]:
            raise UserError(
                f"{path}: {key}: '{name}' is no {kind}{nearest(name, dict.fromkeys(known_names[kind]))}; a name that "
                f"another study defines goes into the list '{kind}s' of this file"
            )

    for claim in stated.claims:
        for name in claim.covers:
            see_to("encoding", name, f"claims.{claim.id}.covers")
        for part in (part for part in claim.parts if isinstance(part, Part)):
            prefix = f"claims.{claim.id}.parts.{part.id}"
            see_to("arm", part.arm, f"{prefix}.arm" if part.arm != claim.arm else f"claims.{claim.id}.arm")
            arm = study.arms.get(part.arm)
            for key, side in part.sides.items():
                see_to("encoding", side.encoding or "", f"{prefix}.{key}.encoding")
                if arm and side.task is not None and side.task not in arm.tasks.names:
                    hint = nearest(side.task, arm.tasks.names)
                    raise UserError(f"{path}: {prefix}.{key}.task: '{side.task}' is no retrieval task{hint}")
            if arm:
                _see_to_pilot(part, arm, f"{path}: {prefix}")


def _see_to_pilot(part: Part, arm: Arm, prefix: str) -> None:
    used = [seed for name, seed in arm.runs() if name in part.encodings]
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


def shared_seeds(part: Part, arm: Arm) -> set[int]:
    """Return the seeds that all encodings of a part have in an arm."""
    return set.intersection(*({seed for other, seed in arm.runs() if other == name} for name in part.encodings))


def _obstacle(part: Part, study: Study) -> str:
    """Return why a study cannot settle a part; empty if nothing stands in the way."""
    arm = study.arms.get(part.arm)
    if arm is None:
        return "" if part.elsewhere else f"the study has no arm {part.arm}"
    absent = [name for name in part.encodings if name not in arm.encodings]
    if absent:
        return "" if part.elsewhere else f"the arm {part.arm} has no {' and no '.join(absent)}"
    for side in part.sides.values():
        source = known(side.endpoint).source
        if f"{source.room}/{source.name}.parquet" not in arm.tables:
            return f"{side.endpoint.words} is not measured in the arm {part.arm}"
        lacking = known(side.endpoint).lacking(side.endpoint, arm)
        if lacking:
            return lacking
    if part.kind != "exact" and len(shared_seeds(part, arm)) < 2:
        return f"a single seed of {' and '.join(part.encodings)} cannot tell encodings from chance (seeds)"
    return ""
