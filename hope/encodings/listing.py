"""Tables of encodings as text: the whole catalogue, and the encodings of one study."""

from collections.abc import Iterator, Sequence
from typing import Any

from hope.catalogue import FAMILIES, PRESETS, Family
from hope.config import Arm, Study
from hope.encodings.identities import coinciding
from hope.encodings.shape import EncodingShape, encoding_shape

NOTHING = "-"


def catalogue_lines() -> Iterator[str]:
    """Yield the tables of families, of their settings, and of presets."""
    yield from table(
        [
            ("name", "formula", "learned parameters", "attention kernel", "source"),
            *(
                (family.name, family.formula, parameters_formula(family), family.kernel, family.source)
                for family in FAMILIES.values()
            ),
        ]
    )
    yield ""
    yield from table([("family", "setting", "default", "meaning"), *setting_rows()])
    yield ""
    yield from table(
        [
            ("preset", "family and settings", "purpose"),
            *((preset.name, described(preset.family, preset.settings), preset.purpose) for preset in PRESETS.values()),
        ]
    )
    yield ""
    yield "A study lists families and presets by name; `definitions` names further settings, or a class of your own."


def study_lines(study: Study) -> Iterator[str]:
    """Yield a table of the encodings of each arm of a study, at its sizes; a remark marks those that coincide."""
    for number, (name, arm) in enumerate(study.arms.items()):
        shape = encoding_shape(arm.model, arm.training.length)
        same = coinciding([arm.encoding(encoding) for encoding in arm.encodings], shape)
        yield from [""] if number else []
        yield f"{name}: at head dimension d = {shape.head_dim} and training length L = {shape.length}:"
        rows = [_of_arm(arm, encoding, shape, same.get(encoding)) for encoding in arm.encodings]
        yield from table([("name", "family and settings", "turning", "learned parameters", "kernel", "remarks"), *rows])


def same_lines(study: Study) -> Iterator[str]:
    """Yield one line per encoding of an arm that equals an earlier one under another name."""
    for arm_name, arm in study.arms.items():
        shape = encoding_shape(arm.model, arm.training.length)
        sizes = f"d = {shape.head_dim}, L = {shape.length}"
        for name, first in coinciding([arm.encoding(name) for name in arm.encodings], shape).items():
            yield f"arm {arm_name}: {name} is the same encoding as {first} at {sizes}: one of them is enough"


def described(family: str, settings: dict[str, Any]) -> str:
    """Return a family and settings as ``rope base=1000``."""
    return " ".join([family, *(f"{key}={_value(value)}" for key, value in settings.items())])


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines, their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def setting_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield family, setting, default and meaning of every setting."""
    for family in FAMILIES.values():
        for name, field in family.settings.model_fields.items():
            default = NOTHING if field.default is None else _value(field.default)
            yield family.name, name, default, field.description or ""


def parameters_formula(family: Family) -> str:
    """Return the number of parameters that a family learns, as a formula."""
    return " + ".join(" * ".join(map(str, product)) for product in family.parameters) or "none"


def _of_arm(arm: Arm, name: str, shape: EncodingShape, same: str | None) -> tuple[str, ...]:
    encoding, spectrum = arm.encoding(name), arm.spectrum(name)
    family = FAMILIES.get(encoding.family)
    remarks = [
        f"the same as {same}" if same else None,
        None if family is None else family.remark(family.settings(**encoding.settings), shape.head_dim, shape.length),
        "trained on text alone" if encoding.text_only else None,
    ]
    return (
        name,
        described(encoding.family, encoding.settings),
        NOTHING if spectrum is None else f"{spectrum.kept} of {len(spectrum.frequencies)}",
        "its own" if family is None else str(family.parameter_count(shape)),
        "its own" if family is None else family.kernel,
        ", ".join(filter(None, remarks)),
    )


def _value(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"[{len(value)} numbers]"
    if isinstance(value, list):
        return "[" + ",".join(map(_value, value)) + "]"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
