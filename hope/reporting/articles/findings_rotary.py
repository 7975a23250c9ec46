"""Sentences about frequency components, interventions on them, and decay in theory, from a study's tables."""

import pandas as pd

from hope import words
from hope.catalogue.spectra import mean_kernel
from hope.measures import length_name
from hope.reporting.articles.sentences import by_encoding, estimate, said
from hope.reporting.study_tables import ArmTables

_ALL_LAYERS = -1


def components(tables: ArmTables) -> list[str]:
    """Return the activated components: numbers, wavelengths, agreement of the seeds, and share of the variance."""
    frame = tables.read("components")
    found = []
    for encoding, rows in by_encoding(tables, frame):
        own = rows.groupby(["seed", "component"])
        share = own["activated"].first().groupby("component").mean()
        chosen = [int(component) for component in share[share > 0.5].index]
        if not chosen:
            found.append(f"{tables.label(encoding)}: no component is activated in more than half of the seeds.")
            continue
        waves = tables.wavelengths(encoding)[chosen]
        variance = own["variance_share"].mean().groupby("component").mean()
        one = len(chosen) == 1
        number = f"{'number' if one else 'numbers'} {words.listed([str(number) for number in chosen])}"
        shortest, longest = (words.number(wave, 2) for wave in (waves.min(), waves.max()))
        found.append(
            f"{tables.label(encoding)}: of {tables.kept(encoding)} components that turn, {number} "
            f"{'is' if one else 'are'} activated in more than half of the seeds ({int((share == 1).sum())} in all of "
            f"them), of {f'wavelength {shortest}' if one else f'wavelengths {shortest} to {longest}'} L. "
            f"{_beyond(int((waves > 1).sum()), len(chosen))} longer than L. "
            f"{'It carries' if one else 'Together they carry'} {variance[chosen].sum():.0%} of the variance of the "
            "logits."
        )
    return found + _sensitivity(tables)


def _beyond(number: int, of: int) -> str:
    if number in (0, of):
        return "All are" if number else "None is"
    return f"{words.small(number).capitalize()} of them {'is' if number == 1 else 'are'}"


def _sensitivity(tables: ArmTables) -> list[str]:
    """Return the number of activated components by thresholds in logits."""
    frame = tables.read("activation")
    found = []
    for encoding, rows in by_encoding(tables, frame):
        own = rows[(rows["layer"] == _ALL_LAYERS) & (rows["rule"] == "logits")]
        counts = own.groupby(["threshold", "seed"])["activated"].sum().groupby("threshold").mean()
        parts = [f"{words.number(count)} at {threshold:g}" for threshold, count in counts.items()]
        found.append(
            f"{tables.label(encoding)}: the number of components that spread over at least so many logits, mean over "
            f"seeds, is {words.listed(parts)}."
        )
    return found


def intervention(tables: ArmTables) -> list[str]:
    """Return the effect of freezing the activated components, beside as many others and others of that variance."""
    frame = tables.read("intervention")
    found = []
    for encoding, own in by_encoding(tables, frame):
        for measure, named in (("index_without_sink", "the U-shape index"), ("loss_past", "the loss past L")):
            cells = {name: _change(tables, own, measure, "freeze", name) for name in ("activated", "random", "matched")}
            known = {name: row for name, row in cells.items() if row is not None}
            if "activated" in known and len(known) > 1:
                others = {"random": "as many others", "matched": "others that carry as much variance"}
                beside = [f"{said(known[name])} with {others[name]}" for name in others if name in known]
                found.append(
                    f"{tables.label(encoding)}: with the activated components frozen {named} changes by "
                    f"{said(known['activated'])}, and by {words.listed(beside)}."
                )
    return found


def slow_components(tables: ArmTables) -> list[str]:
    """Return the cost within L of freezing the slow components, and of removing them."""
    frame = tables.read("intervention")
    found = []
    for encoding, own in by_encoding(tables, frame):
        frozen, removed = (_change(tables, own, "loss_within", mode, "slow") for mode in ("freeze", "remove"))
        if frozen is not None and removed is not None:
            found.append(
                f"{tables.label(encoding)}: within L the loss changes by {said(frozen)} nats per token if the slow "
                f"components are frozen, and by {said(removed)} if they are removed."
            )
    return found


def _change(tables: ArmTables, own: pd.DataFrame, measure: str, mode: str, name: str) -> pd.Series | None:
    """Return the change of a measure under one intervention, paired with the unchanged model; None if not measured."""
    own = own[own["measure"] == measure]
    changed = own[(own["mode"] == mode) & (own["set"] == name)]
    return None if changed.empty else estimate(tables, changed, "value", own[own["mode"] == "none"])


def decay(tables: ArmTables) -> list[str]:
    """Return the mean kernel of each rotary encoding over octaves of distance within and past L, and its floor."""
    frame = tables.theory("kernel")
    found = []
    for encoding, _ in by_encoding(tables, frame):
        spectrum = tables.arm.spectrum(encoding)
        assert spectrum is not None, "kernels are those of rotary encodings"
        parts = []
        for low, high in ((0.5, 1.0), (2.0, 4.0), (8.0, 16.0)):
            mean = mean_kernel(spectrum.frequencies, int(low * tables.length), int(high * tables.length))
            parts.append(f"{words.number(mean)} from {length_name(low)} to {length_name(high)}")
        half = tables.arm.model.head_dim // 2
        floor = 1 - tables.kept(encoding) / half
        rest = f"its floor is {words.number(floor)}" if floor else "it has no floor"
        found.append(f"{encoding}: g(D) is {words.listed(parts)} on average; {rest}.")
    return found
