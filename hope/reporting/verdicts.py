"""The verdict on a part of a claim, and the sentence that explains it."""

import math
from dataclasses import dataclass
from typing import Literal

from hope.measures import known
from hope.reporting.claims_file import Part
from hope.reporting.estimates import (
    Difference,
    detectable_within,
    difference_bounds,
    in_familiar_units,
    interval_within,
)
from hope.statistics import Estimate
from hope.words import MINUS, plural

Verdict = Literal["supported", "contradicted", "inconclusive"]
WITHIN_ROUNDING = 1e-12


@dataclass(frozen=True)
class Ruling:
    """The verdict of an endpoint on its part.

    Attributes:
        verdict: by the interval at the study's confidence, before any correction.
        p: the largest 1 - confidence at which the interval leaves the part open; None for exact numbers, for a
            single seed, and where all observations are equal.
        reason: the verdict in one sentence.
    """

    verdict: Verdict
    p: float | None
    reason: str


def rule(part: Part, difference: Difference, confidence: float) -> Ruling:
    """Judge one part by its endpoint.

    Let effects be signed so that the claimed direction is positive. The *bar* is the smallest effect for
    superiority, and minus the margin for non-inferiority. Supported: the interval lies above 0 (superiority) or above
    the bar (non-inferiority), and the estimate reaches the bar. Contradicted: the interval lies below the bar.
    Otherwise inconclusive. An effect that is significant but surely smaller than the bar is therefore *contradicted*.

    So *supported* is possible only where the estimate reaches the bar, and *contradicted* only where it does not.
    Twice the one-sided p value of the possible verdict is below 1 - confidence exactly when the interval gives it.
    """
    if part.kind == "exact":
        return _rule_exact(part, difference)
    name, estimate = difference_name(part), difference.estimate
    shown = shown_estimate(part, estimate, confidence)
    if not estimate.decides:
        return Ruling("inconclusive", None, f"{name} is {shown}: a single seed cannot tell encodings from chance.")
    if not estimate.noise_known:
        return Ruling("inconclusive", None, f"{name} is {shown}: without any spread the noise is not known.")
    sign = 1.0 if part.direction == "higher" else -1.0
    low, high = sorted(sign * limit for limit in estimate.interval(confidence))
    mean, bar, null = sign * estimate.mean, part.smallest_effect or 0.0, 0.0
    if part.margin is not None:
        bar = null = -part.margin
    if mean >= bar:
        p = estimate.p_value(sign * null, "greater" if sign > 0 else "less")
        verdict: Verdict = "supported" if low > null else "inconclusive"
    else:
        p = estimate.p_value(sign * bar, "less" if sign > 0 else "greater")
        verdict = "contradicted" if high < bar else "inconclusive"
    p = min(1.0, 2 * p)
    uninformative = _uninformative(part, difference, high)
    if uninformative:
        return Ruling("inconclusive", p, f"{name} is {shown}, but {uninformative}.")
    why = _why(part, verdict, low, high, detectable_effect(part, estimate, confidence))
    return Ruling(verdict, p, f"{name} is {shown}: {why}.")


def _rule_exact(part: Part, difference: Difference) -> Ruling:
    """Judge numbers without noise by the difference itself, not by an interval."""
    gap = difference.estimate.mean
    shown = f"{difference_name(part)} is {_digits(gap)} {part.unit}"
    if part.margin is not None:
        reached, asked = abs(gap) <= part.margin + WITHIN_ROUNDING, f"allows {part.margin:g} either way"
    else:
        smallest = part.smallest_effect or 0.0
        reached = (gap if part.direction == "higher" else -gap) >= smallest - WITHIN_ROUNDING
        asked = f"asks for {smallest:g} or more, {part.direction}"
    verdict: Verdict = "supported" if reached else "contradicted"
    return Ruling(verdict, None, f"{shown}, where the claim {asked}; this follows from formulas, without noise.")


def _uninformative(part: Part, difference: Difference, high: float) -> str:
    """Return why a bounded measure cannot decide a part; empty if it can.

    Args:
        part: the part.
        difference: treatment minus baseline.
        high: upper limit of the interval, signed towards the claim: below 0 the effect goes the other way, for which
            there is room.
    """
    if part.informative is None:
        return ""
    sides = difference.treatment, difference.baseline
    if min(sides) > part.informative.highest:
        return f"both are at the ceiling (above {part.informative.highest:g}), where the task cannot tell them apart"
    if max(sides) < part.informative.lowest:
        return f"both are at the floor (below {part.informative.lowest:g}), where the task cannot tell them apart"
    if high >= 0 and not part.has_room(difference.baseline):
        return f"from {difference.baseline:.3g} an effect of the {part.smallest_effect:g} that counts is not possible"
    return ""


def _why(part: Part, verdict: Verdict, low: float, high: float, detectable: str) -> str:
    """Return what the interval, signed towards the claim, shows; if nothing, the smallest detectable effect too."""
    if part.margin is not None:
        return {
            "supported": f"not worse by more than the margin of {part.margin:g}",
            "contradicted": f"worse by more than the margin of {part.margin:g}",
            "inconclusive": f"the interval does not settle on which side of the margin of {part.margin:g} it lies; "
            f"{detectable}",
        }[verdict]
    smallest = part.smallest_effect or 0.0
    if verdict == "supported":
        return f"on the claimed side of 0, and the estimate reaches the {smallest:g} that counts"
    if verdict == "contradicted":
        if high < 0:
            return "the effect goes the other way"
        if low > 0:
            return f"there is such an effect, but below the {smallest:g} that counts"
        return f"an effect of the {smallest:g} that counts is ruled out"
    if low > 0:
        return f"on the claimed side of 0, but it may or may not reach the {smallest:g} that counts"
    return f"the interval rules out neither no effect nor one that counts ({smallest:g}); {detectable}"


def detectable_effect(part: Part, estimate: Estimate, confidence: float) -> str:
    """Return in words the smallest effect that the study could be expected to detect."""
    detectable = detectable_within(estimate, confidence, difference_bounds(known(part.treatment.endpoint)))
    if math.isnan(detectable):
        return "it could have seen no effect that is possible"
    return f"the smallest effect that it could have seen is {detectable:.2g} {part.unit}" + _familiar(
        part, {"detectable": detectable}
    )


def _familiar(part: Part, numbers: dict[str, float]) -> str:
    """Return an effect in percent of perplexity or in accuracy points, after a comma; empty if it has neither."""
    sign = "" if "detectable" in numbers else "+"
    texts = [
        f"{_digits(value, sign)}% in perplexity" if name.startswith("percent") else f"{_digits(value, sign)} points"
        for name, value in in_familiar_units(known(part.treatment.endpoint), numbers).items()
        if math.isfinite(value)
    ]
    return "".join(f", {text}" for text in texts)


def difference_name(part: Part) -> str:
    """Return the difference in words: treatment minus baseline."""
    treatment, baseline = part.treatment, part.baseline
    if baseline.constant is not None:
        against = f" minus {baseline.words}" if baseline.constant else ""
        return f"{treatment.words}{against}"
    if treatment.endpoint == baseline.endpoint:
        return f"{treatment.encoding} minus {baseline.encoding} in {treatment.endpoint.words}"
    if treatment.encoding == baseline.encoding:
        return f"{treatment.endpoint.words} minus {baseline.words}"
    return f"{treatment.words} minus {baseline.words}"


def shown_estimate(part: Part, estimate: Estimate, confidence: float) -> str:
    """Return an estimate in words: number, unit, interval, and over how many seeds and units."""
    measure = known(part.treatment.endpoint)
    interval = ""
    if estimate.noise_known:
        low, high = interval_within(estimate, confidence, difference_bounds(measure))
        interval = f" ({confidence:.0%} interval {_digits(low)} to {_digits(high)})"
    counts = [plural(estimate.seeds, "seed")]
    if measure.unit in ("document", "prompt"):
        counts.append(plural(estimate.units, measure.unit))
    familiar = _familiar(part, {"estimate": estimate.mean})
    return f"{_digits(estimate.mean)} {part.unit}{familiar}{interval} over {' and '.join(counts)}"


def _digits(value: float, sign: str = "") -> str:
    """Return a number with three digits, and with its sign if ``sign`` is +."""
    return f"{value:{sign}.3g}".replace("-", MINUS)
