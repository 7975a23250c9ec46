"""The config: strict, and each mistake one line that names the key and the remedy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.catalogue import FAMILIES, PRESETS
from hope.config import MAIN, Arm, TrainStage, from_json, load_study, merge, parse_study, to_json
from hope.config.documents import read_document
from hope.errors import UserError
from tests.conftest import ROOT

SMALLEST = {"study": "x", "encodings": ["rope", "hope"]}


def arm_of(over: dict) -> Arm:
    """Return the arm of the smallest study with these keys laid over it."""
    return parse_study(SMALLEST | over, "x").arms[MAIN]


def settings_of(family: str, **settings: object) -> dict:
    return {"encodings": ["r"], "definitions": {"r": {"family": family, "settings": settings}}}


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"trainin": {}}, "unknown key 'trainin' (did you mean 'training'?)"),
        ({"training": {"lenght": 8}}, "unknown key 'training.lenght' (did you mean 'length'?)"),
        ({"training": {"length": "128"}}, "training.length: input should be a valid integer (got '128')"),
        ({"training": {"learning_rate": "3e-3"}}, "YAML reads 3e-3 as text, write 3.0e-3 or 0.003"),
        ({"training": {"zero_stage": 4}}, "training.zero_stage: input should be 0, 1, 2 or 3 (got 4)"),
        ({"training": {"batch_windows": 6, "processes": 4}}, "batch_windows 6 is no multiple of processes 4"),
        ({"training": {"betas": [0.9, 1.0]}}, "training.betas.1: input should be less than 1"),
        ({"training": {"final_learning_rate": 1.0}}, "final_learning_rate is above learning_rate"),
        ({"model": {"width": 97}}, "model: width 97 is no multiple of heads 3"),
        ({"model": {"width": 9, "heads": 3}}, "width / heads is 3: rotary encodings need an even number"),
        ({"model": {"kv_heads": 2}}, "heads 3 is no multiple of kv_heads 2"),
        ({"encodings": ["roep"]}, "encodings: 'roep' is no encoding (did you mean 'rope'?)"),
        ({"encodings": ["rope", "rope"]}, "encodings: 'rope' is listed twice"),
        ({"encodings": ["../rope"]}, "encodings: '../rope' must be letters, digits, '.', '_' and '-'"),
        ({"encodings": []}, "encodings: "),
        ({"study": "a/b"}, "study: 'a/b' must be letters"),
        ({"definitions": {"r": {"famly": "rope"}}}, "unknown key 'definitions.r.famly' (did you mean 'family'?)"),
        (
            {"encodings": ["r"], "definitions": {"r": {"family": "roep"}}},
            "definitions.r.family: 'roep' is no encoding (did you mean 'rope'?)",
        ),
        (
            {"encodings": ["r"], "definitions": {"r": {"family": "hope", "settings": {"cutof": 1.0}}}},
            "unknown key 'definitions.r.settings.cutof' (did you mean 'cutoff'?)",
        ),
        (
            {"encodings": ["r"], "definitions": {"r": {"family": "rope", "settings": {"base": 0.0}}}},
            "definitions.r.settings.base: input should be a number above 0, or 'fast' (got 0.0)",
        ),
        ({"encodings": ["rope_fats"]}, "encodings: 'rope_fats' is no encoding (did you mean 'rope_fast'?)"),
        (
            {"definitions": {"hope": {"family": "rope"}}},
            "definitions.hope.family: a built-in encoding has this name, and its family is 'hope'; keep that, or",
        ),
        (
            {"definitions": {"alibi": {"family": "mine:Mine"}}},
            "definitions.alibi.family: a built-in encoding has this name, and its family is 'alibi'",
        ),
        (
            {"definitions": {"clipped_rope_hard": {"family": "rope"}}},
            "definitions.clipped_rope_hard.family: a built-in encoding has this name, and its family is 'clipped_rope'",
        ),
        (
            settings_of("xpos", scale_base=3.0),
            "encodings: 'r' encodes up to 96 tokens together, but its attention is analysed over training.length, 128; "
            "change its settings (base, scale_base), or lower training.length",
        ),
        (settings_of("hope", base=-1.0), "definitions.r.settings.base: input should be greater than 0 (got -1.0)"),
        (settings_of("hope", base=float("nan")), "definitions.r.settings.base: input should be a finite number"),
        (settings_of("rope", base="quick"), "definitions.r.settings.base: input should be a number above 0, or 'fast'"),
        (settings_of("hope", freeze="band"), "definitions.r.settings: freeze: band needs the key band"),
        (settings_of("hope", seed=1), "seed goes with freeze: random, not with freeze: slow"),
        (
            settings_of("hope", freeze="listed", components=[16]),
            "definitions.r.settings: components: 16 is out of range: the head has components 0 to 15",
        ),
        (settings_of("hope", freeze="random", count=17), "definitions.r.settings: count: 17 is out of range"),
        (settings_of("clipped_rope", count=17), "definitions.r.settings: count: 17 is out of range"),
        (settings_of("clipped_rope", kind="firm"), "definitions.r.settings.kind: input should be 'soft' or 'hard'"),
        (settings_of("p_rope", p=1.5), "definitions.r.settings.p: input should be less than or equal to 1 (got 1.5)"),
        (
            settings_of("partial_rope", share=0),
            "settings.share: input should be a share above 0 and up to 1, or 'hope'",
        ),
        (settings_of("rotary", frequencies=[1.0]), "frequencies: 1 numbers, but head dimension 32 has 16 components"),
        (
            settings_of("rotary", frequencies=[1.0] * 16, multipliers=[1.0] * 16),
            "definitions.r.settings: frequencies and multipliers exclude each other; leave out one",
        ),
        ({"seeds": {"per_encoding": {"hop": 2}}}, "seeds.per_encoding: 'hop' is no encoding (did you mean 'hope'?)"),
        ({"mixture": {"tasks": {"cpoy": 1.0}}}, "mixture.tasks: 'cpoy' is no task (did you mean 'copy'?)"),
        (
            {"mixture": {"share": 0.3, "tasks": {"copy": 1.0}, "multiples": [0.01]}},
            "mixture.multiples: the shortest example has 1 tokens",
        ),
        ({"mixture": {"share": 0.3}}, "mixture.share is above 0, but mixture.tasks is empty"),
        (
            {"mixture": {"share": 0.05, "tasks": {"copy": 1.0}}, "training": {"batch_windows": 8}},
            "mixture.share: 0.05 of a batch of 8 windows rounds to no synthetic window; set it above 0.0625",
        ),
        (
            {"mixture": {"lead_in": {"share": 0.4, "tasks": {"repaet": 1.0}}}},
            "mixture.lead_in.tasks: 'repaet' is no task (did you mean 'repeat'?)",
        ),
        ({"retrieval": {"multiples": [0.01]}}, "retrieval.multiples: the shortest example has 1 tokens"),
        ({"extrapolation": {"targets": 65}}, "extrapolation.targets: 65 tokens do not fit"),
        ({"extrapolation": {"longest": 4}}, "contexts ends at 16.0, past longest 4"),
        ({"analysis": {"multiples": [2.0]}}, "analysis.multiples: multiples must rise and hold 1.0"),
        ({"corpus": {"source": "files"}}, "source is 'files', but files.paths is empty"),
        ({"corpus": {"source": "hub", "hub": {"dataset": "a/b"}}}, "hub.revision must be a commit of 40"),
        ({"tokens": {"tokenizer": "pretrained", "pretrained": "a/b"}}, "there is no file or folder 'a/b'"),
    ],
)
def test_a_mistake_is_one_line_with_key_and_remedy(over, line):
    with pytest.raises(UserError) as caught:
        parse_study(merge(SMALLEST, over), "config.yaml")
    assert line in str(caught.value)
    assert str(caught.value).startswith("config.yaml: ")
    assert "\n" not in str(caught.value)


def test_an_arm_without_text_takes_an_encoding_whose_attention_is_not_analysed():
    tasks = {"trained_on": "tasks", "mixture": {"tasks": {"copy": 1.0}}, "retrieval": {"tasks": []}}
    assert arm_of(settings_of("xpos", scale_base=3.0) | tasks).encodings == ["r"]


def test_a_map_that_merges_another_gives_no_key_twice(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("a: {b: {c: &long {<<: &base {x: 1}, x: 2}}}\nd: {<<: *long}\n")
    assert read_document(path, "config file") == {"a": {"b": {"c": {"x": 2}}}, "d": {"x": 2}}


def test_overlays_merge_maps_and_replace_lists(tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text("study: over\nencodings: [none]\ntraining: {tokens: 1000}\n")
    base, merged = (load_study([ROOT / "config.yaml", *overlays]).arms["text"] for overlays in ([], [over]))
    assert merged.encodings == ["none"] and merged.training.tokens == 1000
    assert merged.training.model_copy(update={"tokens": base.training.tokens}) == base.training
    assert merged.corpus == base.corpus


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "not valid YAML"), ("- a", "expected 'key: value' lines"), (None, "there is no such config file")],
)
def test_a_file_that_is_no_config_is_one_clear_line(text, words, tmp_path):
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_study([path])
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=25)
@given(
    seeds=st.dictionaries(st.sampled_from(["rope", "hope", "none"]), st.integers(1, 5)),
    count=st.integers(1, 4),
    first=st.integers(0, 100),
)
def test_runs_are_all_encodings_with_their_seeds(seeds, count, first):
    content = {"encodings": ["rope", "none"], "seeds": {"first": first, "count": count, "per_encoding": seeds}}
    runs = arm_of(content).runs()
    assert len(set(runs)) == len(runs) == sum(seeds.get(name, count) for name in ("rope", "none"))
    assert min(seed for _, seed in runs) == first


def test_a_stage_survives_the_command_line_and_holds_only_its_part():
    arm = load_study([ROOT / "config.yaml"]).arms["text"]
    stage = arm.train_stage("hope", 3)
    assert from_json(TrainStage, to_json(stage)) == stage
    assert "\n" not in to_json(stage)
    longer = arm.model_copy(update={"extrapolation": arm.extrapolation.model_copy(update={"documents": 3})})
    assert to_json(longer.train_stage("hope", 3)) == to_json(stage)


def test_a_preset_is_listed_by_its_name_alone():
    content = {"encodings": [*PRESETS], "seeds": {"per_encoding": {"rope_fast": 3}}}
    arm = arm_of(content)
    assert len(arm.runs()) == len(PRESETS) + 2
    for name, preset in PRESETS.items():
        encoding = arm.encoding(name)
        assert (encoding.name, encoding.family) == (name, preset.family)
        assert preset.settings.items() <= encoding.settings.items()
    assert arm.is_rotary("rope_fast") and not arm.is_rotary("pope_uniform")
    stage = arm.train_stage("hope_band", 0)
    assert from_json(TrainStage, to_json(stage)) == stage
    assert not set(PRESETS) & set(FAMILIES)


def test_a_definition_comes_before_a_preset_of_its_name():
    definition = {"family": "rope", "settings": {"base": 900}}
    arm = arm_of({"encodings": ["rope_fast"], "definitions": {"rope_fast": definition}})
    assert arm.encoding("rope_fast").settings == {"base": 900.0}


@pytest.mark.parametrize("base", [500_000, 5e5, "5e5", "500000"])
def test_a_base_may_be_written_in_any_way(base):
    """YAML reads 5e5, without a point, as text."""
    assert arm_of(settings_of("rope", base=base)).encoding("r").settings == {"base": 500_000.0}


def test_the_schema_offers_every_name():
    items = Arm.model_json_schema()["properties"]["encodings"]["items"]
    assert items == {"anyOf": [{"enum": [*FAMILIES, *PRESETS]}, {"type": "string"}]}


def test_a_text_only_encoding_differs_by_its_mixture_alone():
    text_only = {"rope-text": {"family": "rope", "text_only": True}}
    arm = arm_of({"definitions": text_only, "mixture": {"share": 0.3, "tasks": {"copy": 1.0}}})
    mixed, text = arm.train_stage("rope", 0), arm.train_stage("rope-text", 0)
    assert text.mixture.share == 0.0 and mixed.mixture.share > 0
    assert text.training == mixed.training and text.model == mixed.model
