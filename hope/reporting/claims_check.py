"""Whether the claims fit a study, checked before anything runs, from the config alone."""

from collections.abc import Iterator
from pathlib import Path

from hope.catalogue import NAMES
from hope.config import MAIN, Arm, Study
from hope.errors import UserError, nearest
from hope.measures import known
from hope.reporting.claims_file import ClaimsFile, Part, load_claims


def checked_claims(study: Study) -> ClaimsFile:
    """Return the claims of the file that a study's config names.

    Raises:
        UserError: as :func:`~hope.reporting.claims_file.load_claims` and :func:`check_claims`.
    """
    path = Path(study.claims)
    stated = load_claims(path)
    check_claims(stated, study, path)
    return stated


def check_claims(stated: ClaimsFile, study: Study, path: Path) -> None:
    """Check that every name in the claims is known, and that no model of a pilot is used as evidence.

    Raises:
        UserError: an arm is neither in the study nor in the file's list ``arms``; an encoding is neither built in, nor
            defined by the study, nor in the file's list ``encodings``; the arm has no such task; or the arm uses a
            seed of the pilot.
    """
    defined = [name for arm in study.arms.values() for name in (*arm.encodings, *arm.definitions)]
    known_names = {"encoding": [*defined, *stated.encodings, *NAMES], "arm": [*study.arms, *stated.arms]}

    def check_name(kind: str, name: str, key: str) -> None:
        if name not in known_names[kind]:
            raise UserError(
                f"{path}: {key}: '{name}' is no {kind}{nearest(name, dict.fromkeys(known_names[kind]))}; a name that "
                f"another study defines goes into the list '{kind}s' of this file"
            )

    for claim in stated.claims:
        for name in claim.covers:
            check_name("encoding", name, f"claims.{claim.id}.covers")
        for part in (part for part in claim.parts if isinstance(part, Part)):
            prefix = f"claims.{claim.id}.parts.{part.id}"
            check_name("arm", part.arm, f"{prefix}.arm" if part.arm != claim.arm else f"claims.{claim.id}.arm")
            arm = study.arms.get(part.arm)
            for key, side in part.sides.items():
                check_name("encoding", side.encoding or "", f"{prefix}.{key}.encoding")
                if arm and side.task is not None and side.task not in arm.tasks.names:
                    hint = nearest(side.task, arm.tasks.names)
                    raise UserError(f"{path}: {prefix}.{key}.task: '{side.task}' is no retrieval task{hint}")
            if arm:
                _check_pilot(part, arm, f"{path}: {prefix}")


def _check_pilot(part: Part, arm: Arm, prefix: str) -> None:
    used = [seed for name, seed in arm.runs() if name in part.encodings]
    taken = sorted(set(part.pilot.seeds if part.pilot else []).intersection(used))
    if taken:
        raise UserError(
            f"{prefix}.pilot.seeds: the study uses seed {taken[0]} too, from which the endpoint was chosen; "
            "give it other seeds (seeds.first)"
        )


def unanswered(stated: ClaimsFile, study: Study) -> Iterator[str]:
    """Yield one line per deciding part that the study, as it is configured, cannot answer.

    A part with ``elsewhere`` has no line: the claims file names the study that measures it.
    """
    for claim in stated.claims:
        for part in (part for part in claim.parts if isinstance(part, Part) and part.decides):
            reason = _obstacle(part, study)
            if reason:
                yield f"claim {claim.id} ({claim.title}) stays open: part {part.id}: {reason}"


def shared_seeds(part: Part, arm: Arm) -> set[int]:
    """Return the seeds that every encoding of a part has in an arm."""
    return set.intersection(*({seed for other, seed in arm.runs() if other == name} for name in part.encodings))


def absent(part: Part, study: Study) -> str:
    """Return which arm or encodings of a part a study lacks, as in ``no models of hope``; empty if it has them all."""
    arm = study.arms.get(part.arm)
    if arm is None:
        return f"no arm {part.arm}"
    names = [name for name in part.encodings if name not in arm.encodings]
    return f"no models of {' and '.join(names)}{_in_arm(part)}" if names else ""


def _in_arm(part: Part) -> str:
    """Return the arm of a part as people read it; empty where the config names no arms."""
    return "" if part.arm == MAIN else f" in the arm {part.arm}"


def _obstacle(part: Part, study: Study) -> str:
    """Return why a study cannot answer a part; empty if nothing stands in the way."""
    if lacking := absent(part, study):
        return "" if part.elsewhere else f"the study has {lacking}"
    arm = study.arms[part.arm]
    for side in part.sides.values():
        source = known(side.endpoint).source
        if f"{source.room}/{source.name}.parquet" not in arm.tables:
            return f"{side.endpoint.words} is not measured{_in_arm(part)}"
        lacking = known(side.endpoint).lacking(side.endpoint, arm)
        if lacking:
            return lacking
    if part.kind != "exact" and len(shared_seeds(part, arm)) < 2:
        return f"a single seed of {' and '.join(part.encodings)} cannot tell encodings from chance (seeds)"
    return ""
