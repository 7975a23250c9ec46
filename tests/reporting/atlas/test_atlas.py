"""The page of encodings and its pictures: what is committed is what is drawn, and what it says holds."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from hope import config
from hope.analysis.logit_curves import bias_of_heads
from hope.catalogue import FAMILIES, NAMES, PRESETS
from hope.catalogue.spectra import TURN
from hope.cli import main
from hope.config import load_study, merge, parse_study
from hope.encodings.listing import described
from hope.encodings.registry import build_encoding
from hope.encodings.shape import EncodingShape, encoding_shape
from hope.model.attention import LayerEncoding, causal_logits
from hope.reporting.atlas.identities import candidates, identity_rows
from hope.reporting.atlas.panels import FARTHEST, HEADS, panels
from hope.reporting.atlas.spectra import all_spectra, spectra_figure
from hope.reporting.atlas.write import PICTURES, page
from hope.reporting.figures.files import save_svg
from hope.reporting.figures.style import encoding_styles, new_figure, paper_style

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SHAPE = EncodingShape(layers=2, width=96, heads=3, kv_heads=3, head_dim=32, length=128)
ANEW = "the page is not what the code says now: run `make docs`"
LARGEST = 80_000
"""Bytes of a picture."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["atlas", str(folder)]) == 0
    return folder


def test_the_page_is_the_one_that_is_committed(written: Path) -> None:
    assert (written / "encodings.md").read_text() == (DOCS / "encodings.md").read_text(), ANEW


def test_every_picture_is_there_is_shown_and_is_small(written: Path) -> None:
    names = {f"{name}.svg" for name in (*FAMILIES, "overview", "spectra", "spectra_long")}
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (DOCS / "encodings.md").read_text())
    assert {path.name for path in (written / PICTURES).iterdir()} == names
    assert {path.name for path in (DOCS / PICTURES).iterdir()} == names, ANEW
    assert sorted(shown) == sorted(f"{PICTURES}/{name}" for name in names)
    assert max((DOCS / PICTURES / name).stat().st_size for name in names) < LARGEST


def lines_of(svg: Path) -> list[np.ndarray]:
    """Return the long lines of a picture, ``[points, 2]`` each, in points of a typesetter."""
    paths = [element.get("d", "") for element in ElementTree.parse(svg).iter() if element.tag.endswith("path")]
    found = [np.array(re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path), dtype=float) for path in paths]
    return [line for line in found if len(line) > 20]


def words_of(svg: Path) -> list[str]:
    return [element.text or "" for element in ElementTree.parse(svg).iter() if element.tag.endswith("text")]


def test_the_pictures_that_are_committed_show_what_is_drawn_now(written: Path) -> None:
    for now in (written / PICTURES).iterdir():
        then = DOCS / PICTURES / now.name
        assert words_of(now) == words_of(then), ANEW
        lines, others = lines_of(now), lines_of(then)
        assert len(lines) == len(others) and (lines or "spectra" in now.name)
        for line, other in zip(lines, others, strict=True):
            # By the height at common x: another machine's rounding may leave out other points of a straight line.
            x = np.intersect1d(line[:, 0], other[:, 0])
            assert len(x) > 0.9 * min(len(line), len(other)), ANEW
            heights = [np.interp(x, *one[np.argsort(one[:, 0], kind="stable")].T) for one in (line, other)]
            assert np.abs(heights[0] - heights[1]).max() < 0.5, ANEW


def page_of(**changes: object) -> str:
    study = parse_study(merge({"study": "other", "encodings": ["rope"]}, changes), "other")
    return page(study.arms[config.MAIN], "the study `other`")


def shipped() -> config.Arm:
    return load_study([ROOT / "config.yaml"]).arms["text"]


def test_another_study_has_its_own_sizes() -> None:
    model = {"layers": 3, "width": 128, "heads": 8, "kv_heads": 2}
    text = page_of(model=model, training={"length": 512})
    rows = {line.split("]")[0][3:]: line.split(" | ") for line in text.splitlines() if line.startswith("| [")}
    assert set(rows) == set(FAMILIES)
    assert [rows[name][5] for name in ("learned", "t5", "pope", "kerple_log")] == ["65,536", "256", "96", "16"]
    assert "the study `other`: 3 layers, width 128, 8 query and 2 key heads of 16" in " ".join(text.split())
    narrow = page_of(model={"width": 64, "heads": 8, "mlp_width": 64})
    assert "blocks on CUDA" in narrow and "FlexAttention" not in narrow  # heads of 8 dimensions are too narrow for it


def test_a_definition_of_a_familys_name_does_not_change_the_page() -> None:
    assert page_of(definitions={"hope": {"family": "hope", "settings": {"cutoff": 0.0}}}) == page_of()


def test_every_family_and_setting_is_described_as_it_is() -> None:
    text = (DOCS / "encodings.md").read_text()
    rows = {line.split("]")[0][3:]: line.split(" | ") for line in text.splitlines() if line.startswith("| [")}
    for preset in PRESETS.values():
        assert f"| {preset.name} | `{described(preset.family, preset.settings)}` | {preset.purpose} |" in text
    for name, family in FAMILIES.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert family.formula in section and family.source in section
        kernel = rows[name][6]
        assert kernel.startswith({"fused": "fused kernel", "bias": "a bias:"}[family.kernel])
        assert rows[name][3] == ("yes" if family.shift_invariant else "no")
        assert rows[name][4] == ("no positions" if family.bounded else "any position")
        assert rows[name][1] == family.acts_on  # the column comes from the hooks of the class


def logits_of(family: str, settings: dict, shape: EncodingShape) -> torch.Tensor:
    built = build_encoding(config.EncodingSpec(name=family, family=family, settings=settings), shape)
    random = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(1, shape.heads, 40, shape.head_dim, generator=random) for _ in range(2))
    positions = torch.arange(0, 40 * 9, 9)
    turned = built.rotate(queries, keys, built.prepare(positions), torch.zeros(1, 40, shape.width), 0)
    return causal_logits(*turned, LayerEncoding(built, 0, positions), 1.0)


@pytest.mark.parametrize("sizes", [(64, 4096), (16, 32)])
def test_settings_that_are_said_to_coincide_do(sizes: tuple[int, int]) -> None:
    shape = EncodingShape(layers=1, width=2 * sizes[0], heads=2, kv_heads=2, head_dim=sizes[0], length=sizes[1])
    settings = {name: (name, {}) for name in FAMILIES}
    settings |= {preset.name: (preset.family, preset.settings) for preset in PRESETS.values()}
    settings |= {described(*one): one for one in candidates(shape)}
    rows = {first.strip("`"): re.findall(r"`([^`]+)`", others) for first, others in identity_rows(shape)}
    assert {"rope", "hope", "none"} <= set(rows)
    assert any(name.startswith("p_rope p=0.") for name in rows["hope"]) and "hope cutoff=0" in rows["rope"]
    for first, others in rows.items():
        expected = logits_of(*settings[first], shape)
        for other in others:
            assert torch.equal(logits_of(*settings[other], shape), expected), (first, other)
    apart = [logits_of(*settings[first], shape) for first in rows]
    assert not any(torch.equal(one, other) for at, one in enumerate(apart) for other in apart[at + 1 :])


def test_spectra_are_at_the_sizes_of_the_title() -> None:
    arm = shipped()
    shape = encoding_shape(arm.model, arm.training.length)
    rotary = {name for name in NAMES if FAMILIES[PRESETS[name].family if name in PRESETS else name].rotary}
    for picture, base in (("spectra", 1e4), ("spectra_long", 5e5)):
        sizes, title, spectra = all_spectra(arm, shape)[picture]
        assert f"d = {sizes.head_dim}, L = {sizes.length:,}" in title
        assert set(spectra) == rotary - {"rotary"}
        assert {len(spectrum.frequencies) for spectrum in spectra.values()} == {sizes.head_dim // 2}
        bases = dict.fromkeys(("rope", "hope", "p_rope", "clipped_rope", "hope_random"), base) | {"rope_base_1k": 1e3}
        for name, own in bases.items():
            assert spectra[name].whole[1] == pytest.approx(own ** (-2 / sizes.head_dim))
    assert spectra["hope"].kept == 16  # K of the design: 16 of 32 at d = 64, L = 4096, b = 500,000


def test_a_spectrum_is_drawn_component_by_component() -> None:
    arm = shipped()
    shape = encoding_shape(arm.model, arm.training.length)
    (_, _, found) = all_spectra(arm, shape)["spectra"]
    with paper_style():
        figure = spectra_figure({name: found[name] for name in ("hope", "clipped_rope")}, shape.length, "a title")
    marks: dict[tuple[int, str], list[float]] = {}
    for line in figure.axes[0].get_lines():
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        for place, row in zip(x, y, strict=True):
            if line.get_marker() != "None":
                kind = "still" if line.get_markerfacecolor() == "white" else str(line.get_marker())
                marks.setdefault((int(row), kind), []).append(place)
    turns = np.array([10_000 ** (-2 * j / 32) for j in range(16)]) * 128 / TURN
    assert sorted(marks[0, "o"]) == pytest.approx(sorted(turns[turns >= 1]))
    assert sorted(marks[0, "still"]) == pytest.approx(sorted(turns[turns < 1]))
    # The soft clip slows 10 components: the first of them by nothing, the last to a halt.
    factors = (1 + np.cos(np.pi * np.arange(1, 9) / 9)) / 2
    assert sorted(marks[1, "|"]) == pytest.approx(sorted(turns[7:15] * factors))
    assert marks[1, "still"] == pytest.approx([turns[15]])


def test_panels_show_as_many_heads_as_can_be_told_apart() -> None:
    many = EncodingShape(layers=1, width=256, heads=16, kv_heads=4, head_dim=16, length=64)
    (panel,) = panels("alibi", many)
    labels = [curve.label for curve in panel.curves]
    assert len(labels) == HEADS and labels[0] == "head 1" and labels[-1] == "head 16"
    assert panel.curves[-1].values == pytest.approx(-(2.0**-8) * panel.curves[-1].tokens)


# The words of the notes, held against the encodings.


def test_what_stays_bounded_and_what_falls() -> None:
    def farthest(name: str, tokens: int) -> np.ndarray:
        settings = FAMILIES[name].settings().model_dump(exclude_none=True)
        built = build_encoding(config.EncodingSpec(name=name, family=name, settings=settings), SHAPE)
        built.initialise(lambda parameter: torch.Generator().manual_seed(len(parameter)))
        return bias_of_heads(built, tokens, np.array([1, 128, 129, tokens]))

    assert (farthest("alibi", 10**6)[:, -1] < -1000).all()
    assert (farthest("kerple_power", 10**6)[:, -1] < farthest("kerple_power", 10**4)[:, -1]).all()
    logarithms = [farthest("kerple_log", 10**power)[:, -1] for power in (3, 6, 9)]
    np.testing.assert_allclose(logarithms[2] - logarithms[1], logarithms[1] - logarithms[0], rtol=0.2)
    t5 = farthest("t5", 10**6)
    assert (t5[:, 1] == t5[:, 3]).all() and (t5[:, 0] != t5[:, 3]).all()  # max_distance is 128
    within = [np.abs(farthest("fire", tokens)).max() for tokens in (10**3, 10**7)]
    assert max(within) < 10


def test_g_of_each_rotation_has_the_mean_that_is_said() -> None:
    arm = shipped()
    (_, _, found) = all_spectra(arm, encoding_shape(arm.model, 128))["spectra"]
    text = (DOCS / "encodings.md").read_text()
    far = np.random.default_rng(0).integers(10**9, 10**12, 20_000)
    for name in ("rope", "hope", "p_rope", "partial_rope", "clipped_rope"):
        said = re.search(rf"\n## {name}\n.*?1 - 2K/d = ([\d.]+)\.\n", text, re.DOTALL)
        assert said is not None
        measured = np.cos(far[:, None] * np.array(found[name].frequencies)).mean()
        assert measured == pytest.approx(float(said[1]), abs=0.01)


def test_the_picture_of_each_family_reaches_as_far_as_it_can() -> None:
    for name in FAMILIES:
        for panel in panels(name, SHAPE):
            last = max(int(curve.tokens[-1]) for curve in panel.curves)
            assert last in ((127,) if name == "learned" else (FARTHEST * 128, FARTHEST * 128 - 1))
            assert all(np.isfinite(curve.values).all() for curve in panel.curves)
            assert all((np.diff(curve.tokens) > 0).all() for curve in panel.curves)


def test_text_in_a_picture_is_text_with_fonts_that_others_have(tmp_path: Path) -> None:
    with paper_style():
        figure, ((axes,),) = new_figure(3, 2)
        axes.plot([1, 2], [1, 2], **encoding_styles(["hope"])["hope"].line())
        axes.set_title("a title")
        save_svg(figure, tmp_path / "text.svg", outlines=False)
        save_svg(figure, tmp_path / "outlines.svg")
    text, outlines = ((tmp_path / name).read_text() for name in ("text.svg", "outlines.svg"))
    assert "a title</text>" in text and "<text" not in outlines
    assert text.count("sans-serif") == 1 and "sans-serif" not in outlines
    assert len(text) < len(outlines)
