"""The contract's checks find what they look for: each of them fails where it must."""

import pytest
import torch

from hope.contract import CHECKS, Broken, Subject, examine
from hope.contract.command import check_encoding, parse_settings
from hope.errors import UserError
from tests.contract.broken_encodings import BROKEN, Biased, OnTheHost, Table, Turned

CASES = [(check, kind, words) for check, kinds in BROKEN.items() for kind, words in kinds.items() if check != "gpu"]


@pytest.mark.parametrize(("check", "kind", "words"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_a_check_finds_what_is_broken(check, kind, words):
    with pytest.raises(Broken) as caught:
        CHECKS[check](Subject.of(kind))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_table_left_on_the_host_is_found_on_a_gpu():
    with pytest.raises(RuntimeError, match=BROKEN["gpu"][OnTheHost]):
        CHECKS["gpu"](Subject.of(OnTheHost))


def test_every_check_has_an_encoding_that_breaks_it():
    assert BROKEN.keys() == CHECKS.keys()


@pytest.mark.parametrize("kind", [Biased, Turned, OnTheHost])
def test_what_the_broken_ones_are_made_from_is_sound(kind):
    assert not [found for found in examine(Subject.of(kind)) if not found.holds and found.name != "gpu"]


def test_an_error_of_the_encoding_s_own_is_a_finding_with_its_place():
    found = {finding.name: finding for finding in examine(Subject.of(Table))}
    assert not found["lengths"].holds and not found["far"].holds
    assert found["lengths"].said.startswith("IndexError: index 32 is out of bounds")
    assert "(broken_encodings.py, line " in found["lengths"].said
    assert found["batch"].holds and found["determinism"].holds


def test_settings_reach_the_class_and_shift_invariance_may_be_asked_for():
    class Lazy(Biased):
        def __init__(self, shape, slope):
            super().__init__(shape)
            self.slope = slope

        def bias(self, heads, queries, keys, layer):
            return super().bias(heads, queries, keys, layer) * self.slope

    assert Subject.of(Lazy, slope=3).blank().encoding.slope == 3
    assert "which it does not declare" in CHECKS["shift"](Subject.of(Lazy, slope=3))


def test_the_command_prints_a_line_a_property(hope_command):
    done = hope_command("check-encoding", "tests.contract.broken_encodings:Peeking")
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert [line.split()[1] for line in lines[: len(CHECKS)]] == list(CHECKS)
    failed = [line for line in lines if line.startswith("FAILED")]
    assert [line.split()[1] for line in failed] == ["causality", "cache"]
    assert "other tokens from position 32 on change the result before them by" in failed[0]
    assert lines[-1] == "tests.contract.broken_encodings:Peeking: breaks causality, cache"


def test_of_a_sound_encoding_it_says_that_it_holds(capsys):
    assert check_encoding("hope", '{"cutoff": 2.0}')
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("ok ")]) == len(CHECKS)
    assert lines[-1] == "hope: holds to the contract"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("hop", {}, "'hop' is no encoding (did you mean 'hope'?)"),
        ("hope", {"cutof": 1}, "settings.cutof"),
        ("tests.contract.broken_encodings:Biasd", {}, "has no attribute 'Biasd'"),
        ("tests.model.nothing:Biased", {}, "family: 'tests.model.nothing:Biased' cannot be loaded"),
        (
            "tests.contract.broken_encodings:Biased",
            {"slope": 1},
            "settings: tests.contract.broken_encodings:Biased: got an",
        ),
        ("tests.contract.broken_encodings:CASES", {}, "has no attribute"),
        ("pathlib:Path", {}, "is no subclass of hope.encodings.base.Encoding"),
    ],
)
def test_an_encoding_that_is_not_there_is_one_clear_line(name, settings, words):
    with pytest.raises(UserError) as caught:
        Subject.named(name, settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "words"), [("{", "not valid JSON"), ("[1]", "expected an object")])
def test_settings_that_are_no_json_object_are_one_clear_line(text, words):
    with pytest.raises(UserError, match=f"--settings: {words}"):
        parse_settings(text)
