"""All checks by name, and one run over them."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hope.catalogue.custom import RAISED
from hope.contract import decoder_checks, hook_checks
from hope.contract.subject import Broken, Subject
from hope.model.threads import cpu_threads

Check = Callable[[Subject], str]
"""Returns its result in a few words; raises :class:`Broken` on a failure, or what the encoding itself raised."""

CHECKS: dict[str, Check] = {
    check.__name__: cpu_threads(1)(check)  # more threads only slow down models this small
    for check in (
        hook_checks.declarations,
        hook_checks.shapes,
        hook_checks.dtypes,
        hook_checks.bias,
        hook_checks.far,
        decoder_checks.causality,
        decoder_checks.gradients,
        decoder_checks.lengths,
        decoder_checks.cache,
        decoder_checks.batch,
        decoder_checks.positions,
        decoder_checks.independence,
        decoder_checks.shift,
        decoder_checks.determinism,
        decoder_checks.state,
        decoder_checks.gpu,
    )
}
"""All checks, by the name of the property that they check."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: the check, a key of :data:`CHECKS`.
        holds: whether the encoding passed it.
        detail: the result in a few words.
    """

    name: str
    holds: bool
    detail: str


def examine(subject: Subject) -> Iterator[Finding]:
    """Run every check, also after a failed one, and yield the results."""
    for name, check in CHECKS.items():
        try:
            yield Finding(name, True, check(subject))
        except Broken as error:
            yield Finding(name, False, str(error))
        except RAISED as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = (str(error).strip().splitlines() or [""])[0]
            place = f"{Path(last.filename).name}, line {last.lineno}"
            yield Finding(name, False, f"{type(error).__name__}: {reason} ({place})")
