"""The atlas of encodings: a page and pictures, made from the catalogue and from the encodings' own code."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from hope.analysis.logit_curves import at_start, widening
from hope.catalogue import FAMILIES, PRESETS, Family
from hope.catalogue.spectra import Spectrum
from hope.config import Arm
from hope.encodings.base import Encoding as Built
from hope.encodings.listing import described, parameters_formula, setting_rows
from hope.encodings.shape import EncodingShape, encoding_shape
from hope.files import whole_file, write_text
from hope.model.attention import flexible
from hope.reporting.atlas.identities import identity_rows
from hope.reporting.atlas.panels import FARTHEST, family_figure, overview
from hope.reporting.atlas.spectra import all_spectra, listed, longer, spectra_figure, spectrum_of
from hope.reporting.atlas.words import NOTATION, READING
from hope.reporting.figures.files import save_svg
from hope.reporting.figures.style import paper_style

PAGE = "encodings.md"
_WIDTH = 120
PICTURES = Path("figures/encodings")


def write_atlas(arm: Arm, title: str, folder: Path) -> None:
    """Write ``encodings.md`` and ``figures/encodings/*.svg`` into ``folder``, at the sizes of an arm."""
    pictures = folder / PICTURES
    shape = encoding_shape(arm.model, arm.training.length)
    with paper_style():
        figures = {name: family_figure(name, shape) for name in FAMILIES}
        figures["overview"] = overview([name for name, family in FAMILIES.items() if not family.given], shape)
        for name, (sizes, words, spectra) in all_spectra(arm, shape).items():
            figures[name] = spectra_figure(spectra, sizes.length, words)
    for name, figure in figures.items():
        with whole_file(pictures / f"{name}.svg") as temporary:
            save_svg(figure, temporary, outlines=False)
    write_text(folder / PAGE, page(arm, title))


def page(arm: Arm, title: str) -> str:
    """Return the page, as Markdown."""
    shape = encoding_shape(arm.model, arm.training.length)
    return "\n".join(_lines(arm, title, shape)) + "\n"


def _lines(arm: Arm, title: str, shape: EncodingShape) -> Iterator[str]:
    built = {name: at_start(listed(arm, name), shape) for name in FAMILIES}
    yield from ("# Positional encodings", "")
    yield from _wrapped(
        f"Every method that a study can list, at the sizes of {title}: {shape.layers} layers, width "
        f"{shape.width}, {shape.heads} query and {shape.kv_heads} key heads of {shape.head_dim} dimensions, L = "
        f"{shape.length:,}, with default settings unless stated otherwise. Do not edit this page: `python -m hope "
        "atlas docs` (`make docs`) writes it and its pictures from the catalogue and the encodings' own code."
    )
    yield from ("", *_wrapped(NOTATION), "", *_wrapped(READING), "")
    yield _picture("overview", f"A logit over distances from 1 to {FARTHEST} L, for every encoding")
    yield from ("", "## At a glance", "")
    head = ("encoding", "acts on", "logit over distance", "D alone", "past L", "learned parameters", "attention")
    yield from _table([head, *(_row(FAMILIES[name], built[name], shape) for name in FAMILIES)])
    for family in FAMILIES.values():
        yield from ("", *_section(arm, family, built[family.name], shape))
    yield from ("", *_frequencies(arm, shape), "", *_coinciding(shape), "", *_presets(arm))
    yield from ("", "## All settings", "")
    yield from _table([("encoding", "setting", "default", "meaning"), *setting_rows()])
    yield from ("", "Length extensions of trained rotary models: [extensions.md](extensions.md).")


def _row(family: Family, built: Built, shape: EncodingShape) -> tuple[str, ...]:
    return (
        f"[{family.name}](#{family.name})",
        _acts_on(built),
        family.in_short,
        "yes" if family.shift_invariant else "no",
        "no positions" if family.bounded else "any position",
        f"{family.parameter_count(shape):,}",
        _kernel(built),
    )


def _section(arm: Arm, family: Family, built: Built, shape: EncodingShape) -> Iterator[str]:
    count = family.parameter_count(shape)
    yield from (f"## {family.name}", "")
    yield _picture(family.name, f"{family.name}: {family.in_short}")
    yield ""
    yield f"- Formula: `{family.formula}`"
    yield from _item(f"Over distance: {family.over_distance}")
    spectrum = spectrum_of(listed(arm, family.name), shape)
    if spectrum is not None:
        yield f"- At these sizes: K = {spectrum.kept} of {len(spectrum.frequencies)}, 1 - 2K/d = {_floor(spectrum)}."
    yield from _item(f"Past L: {family.past_length}")
    yield f"- Depends on D alone: {'yes' if family.shift_invariant else 'no'}."
    formula = parameters_formula(family)
    yield f"- Learned parameters: {'none' if not family.parameters else f'{formula} = {count:,}'}."
    yield f"- Attention: {_kernel(built)}."
    yield f"- Source: {family.source}."


def _acts_on(built: Built) -> str:
    hooks = {"embed": "embeddings", "rotate": "queries and keys", "bias": "logits", "logits": "logits"}
    places = [place for hook, place in hooks.items() if hook in built.own_hooks()]
    return " and ".join(dict.fromkeys(places)) or "nothing"


def _kernel(built: Built) -> str:
    """Return the attention kernel that the encoding runs on."""
    if built.has_logits:
        return "logits of its own, in blocks of queries"
    if built.has_bias:
        on_gpu = "FlexAttention" if flexible(built, built.shape.head_dim) else "blocks"
        return f"a bias: blocks on a CPU, {on_gpu} on CUDA"
    wide = widening(built)
    words = "fused kernel" if wide == 1 else f"fused kernel, queries and keys {wide} d wide"
    return f"{words}; cached keys encoded again" if built.recodes else words


def _floor(spectrum: Spectrum) -> str:
    return f"{1 - spectrum.kept / len(spectrum.frequencies):.3g}"


def _frequencies(arm: Arm, shape: EncodingShape) -> Iterator[str]:
    """Yield the section of the spectra: pictures, and a table of the numbers of components that turn."""
    pictures = all_spectra(arm, shape)
    yield from ("## Which components turn", "")
    yield from _wrapped(
        "One row per encoding, one mark per component. Filled components turn; hollow ones stand still and lie at the "
        "turns they would make. Right of the dashed line a component completes no turn within L. The table lists "
        "the number K of components that turn and the floor 1 - 2K/d of g(D)."
    )
    rows = []
    for picture, (_, title, _) in pictures.items():
        yield from ("", _picture(picture, f"Turns of each component within L, {title}"))
    (_, first, small), (_, second, large) = pictures.values()
    for name in small:
        cells = [f"{one.kept} of {len(one.frequencies)}; {_floor(one)}" for one in (small[name], large[name])]
        rows.append((name, *cells))
    yield ""
    yield from _table([("encoding", f"{first}: K; floor", f"{second}: K; floor"), *rows])


def _coinciding(shape: EncodingShape) -> Iterator[str]:
    yield from ("## Settings that coincide", "")
    yield from _wrapped(
        "Settings that give the same model at these sizes (`hope/encodings/identities.py`). `python -m hope check` "
        "names those that a study lists. DaRoPE with w = 0 is HoPE at alpha = 0, and within L RoPE at alpha = 1, but "
        "training changes both numbers."
    )
    for sizes in (shape, longer(shape)):
        yield from ("", f"At d = {sizes.head_dim}, L = {sizes.length:,}, b = 10,000:", "")
        yield from _table([("the same as", "settings"), *identity_rows(sizes)])


def _presets(arm: Arm) -> Iterator[str]:
    yield from ("## Presets", "", "Settings that a study can list by name.", "")
    rows = [(one.name, f"`{described(one.family, one.settings)}`", one.purpose) for one in PRESETS.values()]
    yield from _table([("preset", "family and settings", "purpose"), *rows])


def _picture(name: str, words: str) -> str:
    return f"![{words}]({PICTURES.as_posix()}/{name}.svg)"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text.strip(), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> list[str]:
    """Return an item of a Markdown list."""
    return textwrap.wrap(f"- {text}", _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; the first row is its head."""
    for number, row in enumerate(rows):
        yield f"| {' | '.join(row)} |"
        if number == 0:
            yield "|" + "---|" * len(row)
