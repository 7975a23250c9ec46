"""Claims with their verdicts and numbers, as written to ``claims.json``."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hope.reporting.claims_file import Claim, Part, Source, UnmeasuredPart
from hope.reporting.verdicts import Verdict


@dataclass
class Numbers:
    """The numbers of an endpoint; None where it was not measured or has no such number.

    Attributes:
        estimate: treatment minus baseline, in ``unit``, with its interval ``low`` to ``high`` at ``df`` degrees of
            freedom, over ``seeds`` seeds and ``units`` units.
        p: of the test behind the verdict; ``holm_p`` after correction over the primary endpoints.
        detectable: the smallest effect that the study could be expected to detect
            (:meth:`hope.statistics.Estimate.detectable`).
        percent: the estimate as a change of perplexity, ``points`` in accuracy points, with their limits.
        equivalence: the two one-sided tests reported beside a non-inferiority.
        treatment_mean: mean of the treatment on the seeds and units that both sides have.
        baseline_mean: mean of the baseline on them.
        noise: the parts of its variance, ``of_seeds``, ``of_units`` and ``of_rest`` of
            :class:`hope.statistics.Noise`.
    """

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    df: float | None = None
    seeds: int | None = None
    units: int | None = None
    unit: str | None = None
    p: float | None = None
    holm_p: float | None = None
    detectable: float | None = None
    percent: float | None = None
    percent_low: float | None = None
    percent_high: float | None = None
    percent_detectable: float | None = None
    points: float | None = None
    points_low: float | None = None
    points_high: float | None = None
    points_detectable: float | None = None
    equivalence: dict[str, Any] | None = None
    treatment_mean: float | None = None
    baseline_mean: float | None = None
    noise: dict[str, float] | None = None

    def __post_init__(self) -> None:
        """Replace NaN and infinity by None."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, float) and not math.isfinite(value):
                setattr(self, entry.name, None)


@dataclass
class JudgedPart:
    """A part of a claim with its verdict.

    Attributes:
        stated: the part.
        source: who states it.
        reason: the verdict in one sentence.
        numbers: of its endpoint.
        verdict: after Holm's correction over the primary endpoints of all claims.
        interval_verdict: before it.
        evidence: the files, relative to the study, that its endpoint was computed from.
        shown_in: the figures and summary tables that show it.
    """

    stated: Part | UnmeasuredPart
    source: Source
    reason: str
    numbers: Numbers
    verdict: Verdict = "inconclusive"
    interval_verdict: Verdict = "inconclusive"
    evidence: list[str] = field(default_factory=list)
    shown_in: list[str] = field(default_factory=list)

    def correct(self, corrected: float, endpoints: int, alpha: float) -> None:
        """Store the corrected p value; a verdict that it does not support becomes inconclusive."""
        self.numbers.holm_p = corrected
        if self.interval_verdict != "inconclusive" and corrected >= alpha:
            self.verdict = "inconclusive"
            self.reason += (
                f" By that interval alone it would be {self.interval_verdict} (p {self.numbers.p:.2g}), but not after "
                f"Holm's correction for {endpoints} primary endpoints (p {corrected:.2g})."
            )

    def as_json(self) -> dict[str, Any]:
        """Return the part as stated, with its numbers and verdict."""
        return {
            **self.stated.model_dump(mode="json"),
            **asdict(self.numbers),
            "source": self.source,
            "verdict": self.verdict,
            "interval_verdict": self.interval_verdict,
            "reason": self.reason,
            "evidence": self.evidence,
            "shown_in": self.shown_in,
        }


@dataclass
class JudgedClaim:
    """A claim with the verdict that follows from its parts.

    Attributes:
        stated: the claim.
        parts: its parts.
    """

    stated: Claim
    parts: list[JudgedPart]

    @property
    def deciding(self) -> list[JudgedPart]:
        """The deciding parts."""
        return [part for part in self.parts if part.stated.decides]

    @property
    def verdict(self) -> Verdict:
        """Supported if all deciding parts are, contradicted if one of them is."""
        return _all_of([part.verdict for part in self.deciding])

    @property
    def settling(self) -> JudgedPart:
        """The part that settles it: the contradiction with the smallest p, or the support with the largest."""
        parts = [part for part in self.deciding if part.verdict == self.verdict]
        if self.verdict == "inconclusive":
            return parts[0]
        by_p = sorted(parts, key=lambda part: part.numbers.p if part.numbers.p is not None else 0.0)
        return by_p[0] if self.verdict == "contradicted" else by_p[-1]

    def as_json(self) -> dict[str, Any]:
        """Return the claim with its verdict, the reason and numbers of the part that settles it, and all parts."""
        settling = self.settling
        # The settling part may have no endpoint; the numbers are then those of the first part that has one.
        measured = [part for part in self.deciding if part.numbers.estimate is not None]
        shown = settling if settling.numbers.estimate is not None or not measured else measured[0]
        on = "" if len(self.deciding) == 1 else f"On \u201c{settling.stated.statement}\u201d: "
        return {
            **self.stated.model_dump(mode="json", exclude={"parts"}),
            "verdict": self.verdict,
            "interval_verdict": _all_of([part.interval_verdict for part in self.deciding]),
            "reason": on + settling.reason,
            "settled_by": settling.stated.id,
            "numbers_of": shown.stated.id,
            **asdict(shown.numbers),
            "evidence": sorted({path for part in self.parts for path in part.evidence}),
            "shown_in": list(dict.fromkeys(path for part in self.parts for path in part.shown_in)),
            "parts": [part.as_json() for part in self.parts],
        }


def _all_of(verdicts: list[Verdict]) -> Verdict:
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"
