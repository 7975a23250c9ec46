"""The contract's checks find what they look for: each of them fails where it must."""

import pytest
import torch

from hope.cli import main
from hope.contract import CHECKS, Broken, Subject, examine
from hope.contract.command import parse_settings
from hope.errors import UserError
from tests.contract import broken_encodings
from tests.contract.broken_encodings import BROKEN, Biased, OnTheHost, Table, Turned

ROOM = broken_encodings.__name__
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


def test_every_check_has_an_encoding_that_fails_it():
    assert BROKEN.keys() == CHECKS.keys()


@pytest.mark.parametrize("kind", [Biased, Turned, OnTheHost])
def test_what_the_broken_ones_are_made_from_is_sound(kind):
    assert not [finding for finding in examine(Subject.of(kind)) if not finding.holds and finding.name != "gpu"]


def test_an_error_of_the_encoding_s_own_is_a_finding_with_its_place():
    findings = {finding.name: finding for finding in examine(Subject.of(Table))}
    assert not findings["lengths"].holds and not findings["far"].holds
    assert findings["lengths"].detail.startswith("IndexError: index 32 is out of bounds")
    assert "(broken_encodings.py, line " in findings["lengths"].detail
    assert findings["batch"].holds and findings["determinism"].holds


class Endless(Biased):
    """Has a million positions, and a bias that is made from all pairs of them."""

    longest = 2**20

    def prepare(self, positions):
        if int(positions[-1]) >= self.longest:
            raise UserError(f"positions end at {self.longest - 1}")


def test_a_last_position_is_checked_without_all_those_before_it():
    assert CHECKS["lengths"](Subject.of(Endless)).startswith("ends at position 1048575: positions end at")


class Growing(Turned):
    """Extends its table where it is too short: what it holds for a position never changes."""

    table = torch.zeros(0, 1)

    def prepare(self, positions):
        if len(self.table) <= int(positions.max()):
            self.table = torch.arange(2 * int(positions.max()) + 1).double()[:, None] * self.angle
        angles = self.table[positions]
        return angles.cos().float(), angles.sin().float()


@pytest.mark.parametrize("kind", [Growing, Biased, Turned])
def test_what_is_kept_but_never_changes_is_allowed(kind):
    assert CHECKS["independence"](Subject.of(kind)) == "two passes at the same time do not disturb each other"


class Windowed(Biased):
    """Sees no distance within 512 tokens, and the first token everywhere."""

    def bias(self, heads, queries, keys, layer):
        return -0.1 * (heads + 1) * (queries - keys - 512).clamp(min=0).float() + (keys == 0)


def test_few_positions_that_are_not_told_apart_at_any_place_are_no_clipped_table():
    assert CHECKS["far"](Subject.of(Windowed)) == "finite at positions from 1,048,576"


class Leaving(Biased):
    """Ends the process in a hook."""

    def bias(self, heads, queries, keys, layer):
        raise SystemExit(0)


def test_a_hook_that_ends_the_process_fails(capsys):
    assert main(["check-encoding", f"{__name__}:Leaving"]) == 1
    assert "FAILED  causality     SystemExit: 0 (test_contract.py, line " in capsys.readouterr().out


def test_settings_reach_the_class_and_shift_invariance_may_be_left_out():
    class Lazy(Biased):
        def __init__(self, shape, slope):
            super().__init__(shape)
            self.slope = slope

        def bias(self, heads, queries, keys, layer):
            return super().bias(heads, queries, keys, layer) * self.slope

    assert Subject.of(Lazy, slope=3).blank().encoding.slope == 3
    assert "but shift_invariant is not set" in CHECKS["shift"](Subject.of(Lazy, slope=3))


def test_the_command_prints_a_line_per_check(capsys):
    assert main(["check-encoding", f"{ROOM}:Peeking"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[: len(CHECKS)]] == list(CHECKS)
    failed = [line for line in lines if line.startswith("FAILED")]
    assert [line.split()[1] for line in failed] == ["causality", "cache"]
    assert "other tokens from position 32 on change the result before them by" in failed[0]
    assert lines[-1] == f"{ROOM}:Peeking: fails causality, cache"

    assert main(["check-encoding", "hope", "--settings", '{"cutoff": 2.0}']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("ok ")]) == len(CHECKS)
    assert lines[-1] == "hope: passes all checks"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("hop", {}, "'hop' is no encoding (did you mean 'hope'?)"),
        ("hope", {"cutof": 1}, "settings.cutof"),
        (f"{ROOM}:Biasd", {}, "has no attribute 'Biasd'"),
        ("nowhere:Biased", {}, "family: 'nowhere:Biased' cannot be loaded"),
        (f"{ROOM}:Biased", {"slope": 1}, f"settings: {ROOM}:Biased: got an"),
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
