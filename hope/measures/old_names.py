"""The present form of old measure names, which held their qualifiers within the name."""

import re

from hope.measures.measure import MEASURES, Endpoint

_NUMBER = r"\d+(?:\.\d+)?"
_MULTIPLE, _DEPTH, _EXTENSION = rf"_(?P<multiple>{_NUMBER})L", rf"_depth(?P<depth>{_NUMBER})", "@(?P<extension>.+)"
_CHANGED = r"(?P<intervention>freeze|mean|remove)_(?P<components>[a-z]+)"
_PATTERNS = {
    rf"loss_(?P<start>{_NUMBER})L{_MULTIPLE}(?:{_EXTENSION})?": "octave_loss",
    rf"(?P<measure>context_loss|context_gain|divergence){_MULTIPLE}(?:{_EXTENSION})?": "",
    rf"(?P<measure>loss_within|loss_past|strided_loss){_EXTENSION}": "",
    rf"(?P<task>[^\W\d]\w*)_(?P<measure>accuracy|exact|margin){_MULTIPLE}(?:{_DEPTH})?": "",
    rf"{_CHANGED}_index": "index_change",
    rf"{_CHANGED}_loss_within": "loss_within_change",
    rf"{_CHANGED}_loss_past": "octave_loss_change",
    r"(?P<components>slow|fast)_(?P<measure>spread)": "",
}
"""Patterns of old names, and the measure of each where the name does not contain it."""


def side_now(encoding: str, name: str) -> str:
    """Return a side of a claim with an old name in its present form; empty if it is no old name."""
    for pattern, measure in _PATTERNS.items():
        if (match := re.fullmatch(pattern, name)) is None:
            continue
        found = {key: text for key, text in match.groupdict().items() if text is not None}
        start = found.pop("start", None)
        for key in ("multiple", "depth"):
            found |= {key: f"{float(found[key]):g}"} if key in found else {}
        endpoint = Endpoint(**{"measure": measure, **found})  # type: ignore[arg-type]
        octave = start is None or float(found["multiple"]) == 2 * float(start)
        if octave and not MEASURES[endpoint.measure].wrong(endpoint):
            written = {"encoding": encoding, "measure": endpoint.measure, **found}
            return "{" + ", ".join(f"{key}: {text}" for key, text in written.items()) + "}"
    return ""
