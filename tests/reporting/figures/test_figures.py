import re
import shutil
from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from hope.catalogue import FAMILIES, PRESETS
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.measures import length_name
from hope.reporting.figures.attention import densities
from hope.reporting.figures.declaration import declared_figures, study_figures
from hope.reporting.figures.draw import draw, draw_one
from hope.reporting.figures.files import save
from hope.reporting.figures.retrieval import accuracy_by_length
from hope.reporting.figures.style import encoding_styles
from hope.reporting.study_tables import ArmTables, StudyTables
from hope.statistics import crossed_mean
from hope.words import MINUS
from tests.reporting.make_study import TEXT, make_study

RENDERED = ("components", "claims")
ACROSS = [declared.name for declared in declared_figures() if declared.across]


@pytest.fixture(scope="module")
def finished(judged_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its figures: all are laid out, two of them rendered too, which takes most of the time."""

    def render(figure: Figure, path: Path) -> None:
        if path.name in RENDERED:
            save(figure, path)
        else:
            figure.draw_without_rendering()
            path.parent.mkdir(parents=True, exist_ok=True)
            for suffix in (".svg", ".png"):
                path.with_suffix(suffix).touch()

    study = shutil.copytree(judged_study, tmp_path_factory.mktemp("finished") / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hope.reporting.figures.draw.save", render)
        draw(study)
    return study


@pytest.fixture(scope="module")
def every_encoding(tmp_path_factory: pytest.TempPathFactory) -> ArmTables:
    """One model of every family that needs no settings, and of some presets."""
    names = [name for name, family in FAMILIES.items() if not family.given]
    names += ["rope_fast", "partial_rope_hope", "hope_slow_only", "hope_random"]
    folder = make_study(tmp_path_factory.mktemp("every") / "study", seeds=dict.fromkeys(names, 1))
    return StudyTables(folder).arms[TEXT]


def place(study: Path, name: str) -> Path:
    """Return where a figure lies, without its suffix: in the folder of its arm, or beside it if it is across arms."""
    return study / "figures" / ("" if name in ACROSS else TEXT) / name


def tables_of(study: Path, name: str = "") -> StudyTables | ArmTables:
    """Return what a figure is drawn from: the tables of the arm that reads text, or of the study if it is across."""
    whole = StudyTables(study)
    return whole if name in ACROSS else whole.arms[TEXT]


def drawn(study: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(place(study, name).with_suffix(".csv"))


def test_every_figure_is_drawn_with_its_data_and_nothing_else(finished: Path) -> None:
    expected = {
        finished / "figures" / arm / f"{declared.name}.{suffix}"
        for declared, arm in study_figures(StudyTables(finished).study)
        for suffix in ("svg", "png", "csv", "rst")
    }
    assert {path for path in (finished / "figures").rglob("*") if path.is_file()} == expected
    for declared in declared_figures():
        assert len(drawn(finished, declared.name)) > 0


def test_every_docstring_lists_the_columns_of_the_data(finished: Path) -> None:
    ends = "_(low|high|detectable)$"
    for declared in declared_figures():
        module = import_module(f"hope.reporting.figures.{declared.module}")
        listed = set(re.findall(r"``(\w+)``", str(getdoc(getattr(module, declared.name))).split("Data")[1]))
        if declared.name != "comparisons_hope":  # its docstring refers to that of comparisons
            columns = set(drawn(finished, declared.name))
            assert not {name for name in columns - listed if re.sub(ends, "", name) not in listed}, declared.name
            assert listed <= columns | {"_low", "_high", "_detectable", "x_unit", "baseline"}, declared.name


def test_a_picture_is_a_function_of_the_data_alone(finished: Path, tmp_path: Path) -> None:
    for name in RENDERED:
        save(draw_one(tables_of(finished, name), name).figure, tmp_path / name)
        for suffix in (".svg", ".png"):
            again = (tmp_path / name).with_suffix(suffix).read_bytes()
            assert again == place(finished, name).with_suffix(suffix).read_bytes(), name + suffix
        fetches_nothing(tmp_path / f"{name}.svg")


@pytest.mark.slow
def test_every_picture_is_rendered(judged_study: Path, tmp_path: Path) -> None:
    study = shutil.copytree(judged_study, tmp_path / "study")
    draw(study)
    for declared in declared_figures():
        picture = place(study, declared.name)
        assert picture.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        fetches_nothing(picture.with_suffix(".svg"))


def fetches_nothing(svg: Path) -> None:
    assert not re.search(r"<dc:|20\d\d-\d\d-\d\d", svg.read_text().lower())
    addresses = [value for element in ElementTree.parse(svg).iter() for value in element.attrib.values()]
    assert not [address for address in addresses if address.startswith(("http:", "https:"))]


def test_loss_by_position_holds_the_paired_difference(finished: Path) -> None:
    tables = tables_of(finished)

    def losses(encoding: str, start: int, end: int) -> pd.DataFrame:
        rows = []
        for seed in range(3):
            table = pd.read_parquet(finished / "evaluation" / TEXT / encoding / f"seed{seed}" / "extrapolation.parquet")
            inside = (table["extension"] == "none") & (table["start"] >= start) & (table["end"] <= end)
            for document, part in table[inside].groupby("document"):
                rows.append((seed, document, part["nll"].sum() / part["tokens"].sum()))
        return pd.DataFrame(rows).pivot(index=0, columns=1, values=2)

    data = drawn(finished, "loss_by_position")
    start = 2 * tables.length
    of_hope = data[(data["encoding"] == "hope") & (data["start"] == start)].set_index("measure")
    end = of_hope["end"].iloc[0]
    assert end - start > tables.length / 4  # bins past L grow with the position
    hope, rope = losses("hope", start, end), losses("rope", start, end)
    for measure, matrix in (("loss", hope), ("difference", hope - rope)):
        row = of_hope.loc[str(measure)]
        low, high = crossed_mean(matrix.to_numpy()).interval(0.95)
        assert row[["estimate", "low", "high"]].tolist() == pytest.approx(
            [matrix.to_numpy().mean(), low, high], abs=1e-6
        )
        assert row["position"] == pytest.approx((start + end) / 2 / tables.length)


def test_a_single_seed_gets_no_interval_and_says_so(finished: Path) -> None:
    for name in ("loss_by_position", "context_gain", "retrieval", "divergence"):
        data = drawn(finished, name).dropna(subset="estimate")  # single models stand beside the estimates
        single = data["encoding"] == "none"
        assert data.loc[single, ["low", "high"]].isna().all(axis=None) and single.any()
        assert data.loc[~single, ["low", "high"]].notna().all(axis=None)
    assert tables_of(finished).label("none") == "none (1 seed)"
    assert tables_of(finished).label("rope") == "rope"


def test_context_gain_is_zero_at_the_training_length_and_negative_for_a_loss_that_rises(finished: Path) -> None:
    data = drawn(finished, "context_gain").set_index(["encoding", "context_in_lengths"])["estimate"]
    assert (data.xs(1.0, level=1) == 0).all()
    assert data["rope", 4.0] == pytest.approx(-1.2, abs=0.05)  # the made-up study adds 0.6 a doubling


def test_retrieval_stands_beside_its_chance(finished: Path) -> None:
    data = drawn(finished, "retrieval")
    assert set(data.loc[data["task"] == "copy", "chance"].round(6)) == {round(1 / 64, 6)}
    assert data.groupby("task")["trained"].first().to_dict() == {"copy": True, "few_shot": False, "passkey": False}


def test_retrieval_figures_show_the_intervals_of_the_table(finished: Path) -> None:
    table = pd.read_csv(finished / "tables" / "retrieval.csv")
    table = table[table["arm"] == TEXT]
    for name, own in (("retrieval", table["depth"].isna()), ("retrieval_depth", table["depth"].notna())):
        keys = ["task", "encoding", "length", *(["depth"] if name == "retrieval_depth" else [])]
        both = [rows.set_index(keys).sort_index()[["low", "high"]] for rows in (drawn(finished, name), table[own])]
        pd.testing.assert_frame_equal(*both, rtol=1e-4)


def test_at_the_ceiling_there_is_no_interval_and_elsewhere_it_ends_at_1() -> None:
    rows = [
        {"task": "copy", "trained": True, "encoding": name, "length": 16, "seed": seed, "example": example}
        | {"accuracy": 1.0 - (name == "rope" and (seed, example) == (1, 0)), "chance": 0.1}
        for name in ("rope", "hope")
        for seed in range(3)
        for example in range(4)
    ]
    tables: Any = SimpleNamespace(read=lambda name: pd.DataFrame(rows), confidence=0.95, length=16)
    found = accuracy_by_length(tables).set_index("encoding")
    assert found.loc["hope", ["low", "high"]].isna().all()
    assert found.loc["rope", "low"] < found.loc["rope", "estimate"] == 11 / 12 < found.loc["rope", "high"] == 1.0


def test_relative_effects_are_signed_towards_the_claim(finished: Path) -> None:
    data = drawn(finished, "claims").dropna(subset="relative")
    superiority = data[data["kind"] == "superiority"]
    assert {"lower", "higher"} <= set(superiority["direction"])
    assert (superiority.loc[superiority["verdict"] == "supported", "relative"] >= 1).all()
    inside = (data["relative_low"] <= data["relative"]) & (data["relative"] <= data["relative_high"])
    assert inside[data["relative_low"].notna()].all()
    below = data.loc[(data["claim"] == 6) & (data["part"] == "below_rope")].iloc[0]
    assert below["relative"] == pytest.approx(-below["estimate"] / below["smallest_effect"])


def test_uniform_attention_has_density_one_on_both_axes() -> None:
    for keys, queries in ((64, 8), (700, 8), (4, 8)):
        seen = range(max(1, keys - queries + 1), keys + 1)  # keys of each of the neighbouring queries
        mass = sum((np.arange(keys) < count) / count for count in seen) / len(seen)
        edges = np.unique(np.concatenate([np.arange(min(8, keys)), np.linspace(min(8, keys), keys, 30).astype(int)]))
        rows = [
            {"axis": axis, "start": start, "end": end, "mass": mass[start:end].sum(), "layer": layer, "head": 0}
            for axis in ("key", "distance")
            for start, end in zip(edges[:-1], edges[1:], strict=True)
            for layer in range(2)
        ]
        frame = pd.DataFrame(rows).assign(subject="trained", query=keys - 1, encoding="rope", seed=0)
        bins = densities(frame, 64, queries)
        assert bins["density"].to_numpy() == pytest.approx(1.0)
        for _, axis in bins.groupby("axis"):
            assert axis["start"].min() == 0 and axis["end"].max() == keys
            assert (axis["end"] - axis["start"]).sum() == keys  # each key is in one bin


def test_the_cutoff_that_is_drawn_is_hopes(new_study: Callable[..., Path]) -> None:
    study = new_study(seeds={"mine": 1}, definitions={"mine": {"family": "hope"}})
    content = read_json(study / "study.json")
    arm = content["arms"][TEXT]
    # Counted in the paper's terms: components whose wavelength is at most the training length.
    for base, head_dim, length, kept in ((1e4, 64, 512, 16), (1e4, 128, 4096, 46), (5e5, 64, 4096, 16)):
        arm["definitions"]["mine"]["settings"] = {"base": base}
        arm["model"]["width"], arm["training"]["length"] = 2 * head_dim, length
        write_json(study / "study.json", content)
        tables = tables_of(study)
        assert tables.kept("mine") == kept
        assert np.sum(tables.wavelengths("mine") <= 1) == kept


def test_every_rotary_encoding_is_drawn_with_its_own_frequencies(every_encoding: ArmTables) -> None:
    tables = every_encoding
    # d = 16 and L = 64, b = 10,000: wavelengths of 2 pi 10^(j/2); that of j = 3 is 199 tokens.
    assert [tables.kept(name) for name in ("rope", "hope", "p_rope", "partial_rope")] == [8, 3, 6, 2]
    assert [tables.kept(name) for name in ("hope_slow_only", "hope_random", "partial_rope_hope")] == [5, 3, 3]
    for name in ("hope", "hope_slow_only", "p_rope"):
        np.testing.assert_allclose(tables.wavelengths(name), 2 * np.pi * 10.0 ** (np.arange(8) / 2) / 64)
    partial = tables.wavelengths("partial_rope")
    np.testing.assert_allclose(partial[:2], 2 * np.pi * np.array([1.0, 100.0]) / 64)
    assert np.isinf(partial[2:]).all()
    assert tables.wavelengths("rope_fast").max() == pytest.approx(1.0)
    assert set(draw_one(tables, "kernel").data["encoding"]) == set(tables.rotary())
    drawing = draw_one(tables, "components")
    assert set(drawing.data["encoding"]) == set(tables.rotary())
    drawing.figure.draw_without_rendering()
    labels = {}
    for place, name in enumerate(tables.rotary()):
        axes = drawing.figure.axes[place // 3 * 6 + 3 + place % 3]  # three to a row, each under its ranges
        labels[name] = [tick.get_text().split("\n")[1] for tick in axes.get_xticklabels()]
    assert labels["rope"] == labels["hope"] == ["0.098", "0.98", "9.8", "98"]
    assert labels["partial_rope"] == ["0.098", "∞", "∞", "∞"]
    assert labels["rope_fast"][-1] == f"{tables.wavelengths('rope_fast')[6]:.2g}"


def test_a_study_without_extensions_has_no_such_figure(new_study: Callable[..., Path]) -> None:
    study = new_study(seeds={"rope": 1}, extrapolation={"documents": 8, "extensions": []})
    assert draw_one(tables_of(study), "extensions").data.empty
    assert draw_one(tables_of(study), "retrieval_depth").data.empty
    assert draw_one(tables_of(study), "comparisons").data.empty


def test_extensions_are_held_against_the_model_as_trained_and_against_rope(finished: Path) -> None:
    data = drawn(finished, "extensions").set_index(["extension", "encoding", "from_multiple"])
    assert set(data.index.get_level_values("encoding")) == {"rope", "hope"}  # no angle of the others can be changed
    assert list(data.loc[("none", "rope")].index) == [0.0, 1.0, 2.0, 4.0, 8.0]

    def losses(encoding: str, extension: str) -> np.ndarray:
        """Return the losses from 2L to 4L, [seeds, documents]."""
        found = []
        for seed in range(3):
            table = pd.read_parquet(finished / "evaluation" / TEXT / encoding / f"seed{seed}" / "extrapolation.parquet")
            table = table[(table["extension"] == extension) & (table["start"] >= 128) & (table["end"] <= 256)]
            sums = table.groupby("document")[["nll", "tokens"]].sum()
            found.append(sums["nll"] / sums["tokens"])
        return np.array(found)

    row = data.loc[("yarn-4", "hope", 2.0)]
    assert (row["kind"], row["factor"], row["to_multiple"], row["baseline"]) == ("yarn", 4.0, 4.0, "rope")
    for name, minus in (("change", losses("hope", "none")), ("difference", losses("rope", "none"))):
        paired = crossed_mean(losses("hope", "yarn-4") - minus)
        low, high = paired.interval(0.95)
        assert tuple(row[[name, f"{name}_low", f"{name}_high"]]) == pytest.approx((paired.mean, low, high), rel=1e-5)
    assert data.loc[("none", "hope", 2.0), "change"] == 0


def test_the_heatmaps_cells_are_means_of_their_prompts(finished: Path) -> None:
    data = drawn(finished, "retrieval_depth")
    assert set(data["task"]) == {"passkey"} and set(data["depth"]) == {0.0, 0.3, 1.0}
    cell = data.query("encoding == 'hope' and length == 128 and depth == 0.3").iloc[0]
    found = [
        pd.read_parquet(finished / "evaluation" / TEXT / "hope" / f"seed{seed}" / "retrieval.parquet").query(
            "task == 'passkey' and length == 128 and depth == 0.3"
        )["accuracy"]
        for seed in range(3)
    ]
    assert cell["accuracy"] == pytest.approx(np.mean(found)) and cell["prompts"] == len(found[0]) == 4
    assert cell["length_in_lengths"] == 2.0 and not cell["trained"]


def test_the_forests_hold_every_comparison_of_several_seeds(finished: Path) -> None:
    table = pd.read_csv(finished / "tables" / "comparisons.csv")
    table = table[table["low"].notna() & (table["arm"] == TEXT)]
    shown = [drawn(finished, name) for name in ("comparisons", "comparisons_hope")]
    assert [set(data["baseline"]) for data in shown] == [{"rope"}, {"hope"}]
    assert [set(data["encoding"]) for data in shown] == [{"hope", "alibi"}, {"alibi"}]  # a pair is compared once
    columns = ["measure", "encoding", "baseline", "family", "estimate", "low", "high", "holm_p"]
    both = pd.concat(shown)[columns].sort_values(columns[:3], ignore_index=True)
    pd.testing.assert_frame_equal(both, table[columns].sort_values(columns[:3], ignore_index=True), rtol=1e-4)
    assert {"primary", "exploratory"} == set(both["family"])


def test_names_above_the_columns_of_a_forest_do_not_meet(judged_study: Path, new_study: Callable[..., Path]) -> None:
    long = ["rope-activated-frozen", "rope-others-frozen", "partial_rope_hope"]
    definitions = {name: {"family": "rope", "settings": {"base": 500.0 + len(name)}} for name in long[:2]}
    study = new_study(seeds=dict.fromkeys(["rope", "hope", *long], 1), definitions=definitions)
    table = pd.read_parquet(judged_study / "tables" / "comparisons.parquet").query("encoding == 'hope'")
    (study / "tables").mkdir()
    table = pd.concat([table.assign(encoding=name) for name in ["hope", *long]])
    table.to_parquet(study / "tables" / "comparisons.parquet")
    figure = draw_one(tables_of(study), "comparisons").figure
    figure.draw_without_rendering()
    titles = [text for text in figure.findobj(Text) if MINUS + " rope" in text.get_text()]
    assert [text.get_text().replace("\n", "").split(MINUS)[0] for text in titles] == ["hope", *long]
    extents = [text.get_window_extent() for text in titles]
    assert all(one.x1 < other.x0 for one, other in zip(extents, extents[1:], strict=False))
    assert extents[-1].x1 <= figure.bbox.x1


def test_what_is_missing_leaves_a_gap_and_no_error(new_study: Callable[..., Path]) -> None:
    study = new_study(seeds={"rope": 2, "learned": 1})
    shutil.rmtree(study / "analysis")
    drawings = {name: draw_one(tables_of(study, name), name) for name in (one.name for one in declared_figures())}
    data = drawings["loss_by_position"].data
    assert data.loc[data["encoding"] == "learned", "position"].max() < 1 < data["position"].max()
    assert drawings["attention_profile"].data.empty


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="study.json: there is no such file") as caught:
        draw(tmp_path)
    assert "\n" not in str(caught.value)


NAMES = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True), unique=True, max_size=14)


@settings(max_examples=30)
@given(NAMES, st.randoms())
def test_styles_differ_within_a_study_and_do_not_depend_on_order(names: list[str], random: object) -> None:
    names = ["rope", "hope", *(name for name in names if name not in ("rope", "hope"))]
    styles = encoding_styles(names)
    assert len(set(styles.values())) == len(names)
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert encoding_styles(shuffled) == styles
    assert encoding_styles(["rope", "hope"]) == {name: styles[name] for name in ("rope", "hope")}


def linear(color: str) -> np.ndarray:
    """Return linear RGB of a hexadecimal sRGB colour (IEC 61966-2-1)."""
    values = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    scaled = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    root = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


# Machado, Oliveira and Fernandes 2009, at full severity.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def test_the_colours_of_the_families_can_be_told_apart() -> None:
    styles = encoding_styles(FAMILIES)
    for matrix in VISION.values():
        seen = {name: lab(np.array(matrix) @ linear(style.color)) for name, style in styles.items()}
        gaps = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a in seen for b in seen if a < b}
        # Where two come close for some readers, the marker must still differ; the two compared never do.
        assert gaps["hope", "rope"] > 40
        assert min(gaps.values()) > 12
    assert len({style.marker for style in styles.values()}) == len(styles)
    assert all(lab(linear(style.color))[0] < 75 for style in styles.values())  # on a white ground


def test_families_and_presets_look_the_same_in_every_study() -> None:
    every = encoding_styles([*FAMILIES, *PRESETS, "mine", "yours"])
    assert len(set(every.values())) == len(every)
    for name in (*FAMILIES, *PRESETS):
        assert encoding_styles([name, "mine"]) == {name: every[name], "mine": every["mine"]}
    # The line tells how position comes in.
    for name, family in FAMILIES.items():
        dash = every[name].dash
        assert (dash == every["alibi"].dash) == (family.kernel == "bias")
        assert (dash == every["learned"].dash) == (family.acts_on == "embeddings")
        assert (dash == "-") == (family.acts_on == "queries and keys")


def test_many_encodings_are_named_where_their_lines_end(every_encoding: ArmTables) -> None:
    names = every_encoding.encodings
    figure = draw_one(every_encoding, "loss_by_position").figure
    for axes in figure.axes[:2]:
        named = {text.get_text() for text in axes.texts}
        assert named >= {every_encoding.label(name) for name in names if name != "rope"}
    for name in ("retrieval", "divergence"):
        figure = draw_one(every_encoding, name).figure
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert len(legend.get_texts()) >= len(names) - 1  # learned has no positions past L to diverge at
        box = legend.get_window_extent()
        assert box.x0 > max(axes.get_window_extent().x1 for axes in figure.axes)
        assert box.x1 <= figure.bbox.width and box.y0 >= 0


def test_lengths_have_names() -> None:
    assert [length_name(value) for value in (1, 2, 0.25, 16, 1.5)] == ["L", "2L", "L/4", "16L", "1.5L"]


def test_changed_components_are_paired_with_the_model_as_it_is(finished: Path) -> None:
    tables = tables_of(finished)
    rows = tables.read("intervention").query("encoding == 'rope' and measure == 'loss_past'")
    cells = rows.pivot(index=["mode", "set", "seed"], columns="document", values="value")
    data = drawn(finished, "intervention").query("encoding == 'rope' and measure == 'loss_past'")
    assert len(data) == 3 * 5
    for row in data.to_dict("records"):
        difference = cells.loc[row["mode"], row["set"]] - cells.loc["none", "none"]
        low, high = crossed_mean(difference.to_numpy()).interval(0.95)
        expected = [difference.to_numpy().mean(), low, high]
        assert [row["estimate"], row["low"], row["high"]] == pytest.approx(expected, abs=1e-6)


def test_activation_tells_which_seeds_activate_what(finished: Path, new_study: Callable[..., Path]) -> None:
    data = drawn(finished, "activation")
    chosen = data[data["own"] & (data["layer"] == -1) & (data["encoding"] == "rope")].set_index("component")
    marked = (
        tables_of(finished).read("components").query("encoding == 'rope'").groupby("component")["activated"].first()
    )
    assert chosen["activated"].astype(bool).to_dict() == marked.to_dict()
    folder = new_study(seeds={"rope": 4})
    path = folder / "analysis/text/rope/seed2/activation.parquet"
    pd.read_parquet(path).assign(activated=lambda table: table["component"] == 7).to_parquet(path)
    shares = draw_one(tables_of(folder), "activation").data
    shares = shares[shares["own"] & (shares["layer"] == 0)].set_index("component")["activated"]
    assert shares[[0, 7]].tolist() == [0.75, 0.25]


def test_decay_by_base_has_every_base_and_the_floor_that_follows_from_it(finished: Path) -> None:
    data = drawn(finished, "kernel_sweep")
    assert sorted(data.loc[data["encoding"] == "hope", "base"].unique()) == [1e3, 1e4, 5e5]
    first = data.sort_values("distance").groupby(["encoding", "base"]).first()
    assert first["bound"].tolist() == pytest.approx([1.0] * len(first))
    tables = tables_of(finished)
    for base in (1e3, 1e4, 5e5):
        turning = sum(base ** (-j / 8) * tables.length >= 2 * np.pi for j in range(8))
        far = data[(data["encoding"] == "hope") & (data["base"] == base) & (data["distance"] > 8 * tables.length)]
        assert far["value_smoothed"].mean() == pytest.approx(1 - turning / 8, abs=0.02)


def test_decay_of_trained_heads_is_their_mean_and_middle_half(finished: Path) -> None:
    tables = tables_of(finished)
    data = drawn(finished, "kernel_trained").query("encoding == 'hope'").set_index("distance")
    assert data["heads"].unique() == [3 * 2 * 2]
    rows = tables.read("kernel_trained").query(
        "encoding == 'hope' and distance >= 100 / 2**0.5 and distance <= 100 * 2**0.5"
    )
    for column in ("value", "bound"):
        heads = rows.groupby(["seed", "layer", "head"])[column].mean()
        found = data.loc[100, [column, f"{column}_low", f"{column}_high"]]
        assert found.tolist() == pytest.approx([heads.mean(), heads.quantile(0.25), heads.quantile(0.75)], rel=1e-5)


def test_departure_stands_against_the_loss_of_the_octave_up_to_the_query(finished: Path) -> None:
    tables = tables_of(finished)
    data = drawn(finished, "divergence")
    row = data[(data["encoding"] == "rope") & (data["seed"] == 1) & (data["query"] == 4 * tables.length - 1)].iloc[0]
    losses = pd.read_parquet(finished / "evaluation/text/rope/seed1/extrapolation.parquet").query("extension == 'none'")
    octave = losses[(losses["start"] >= 2 * tables.length) & (losses["end"] <= 4 * tables.length)]
    within = losses[losses["end"] <= tables.length]
    rise = octave["nll"].sum() / octave["tokens"].sum() - within["nll"].sum() / within["tokens"].sum()
    assert row["loss_rise"] == pytest.approx(rise, rel=1e-6)
    moved = pd.read_parquet(finished / "analysis/text/rope/seed1/divergence.parquet").query("query == @row['query']")
    assert row["divergence"] == pytest.approx(moved["divergence"].mean(), rel=1e-6)


def test_a_model_of_which_nothing_is_activated_is_drawn_too(new_study: Callable[..., Path]) -> None:
    folder = new_study(seeds={"hope": 1})
    changed = folder / "analysis/text/hope/seed0/intervention.parquet"
    rows = pd.read_parquet(changed)
    rows[rows["set"].isin(["none", "slow"])].to_parquet(changed)
    path = folder / "analysis/text/hope/seed0/activation.parquet"
    pd.read_parquet(path).assign(activated=False).to_parquet(path)
    tables = tables_of(folder)
    assert set(draw_one(tables, "intervention").data["set"]) == {"slow"}
    assert not draw_one(tables, "activation").data["activated"].any()
