"""The command line as a user meets it."""

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hope.catalogue import FAMILIES, PRESETS
from hope.cli import _parser, main
from tests.conftest import ROOT


def test_help_lists_the_steps(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for step in ("check", "encodings", "reproduce", "train", "ui", "sync"):
        assert step in text


def test_check_reports_the_study_or_one_line(tmp_path, capsys):
    over = tmp_path / "my.yaml"

    def check(overlay: str) -> tuple[int, str, str]:
        over.write_text(overlay)
        return main(["check", "--configfile", str(over)]), *capsys.readouterr()

    status, out, error = check("study: mine\ntraining: {lenght: 3}\n")
    assert (status, out, error.count("\n")) == (1, "", 1)
    assert "unknown key 'training.lenght' (did you mean 'length'?)" in error
    line = "hope: error: corpus.files.paths: 'nowhere' leads to no file\n"
    assert check("study: mine\ncorpus: {source: files, files: {paths: [nowhere]}}\n") == (1, "", line)
    status, out, _ = check("study: mine\nencodings: [rope, hope, clipped_rope_hard]\n")
    lines = out.splitlines()
    line = "warning: arm {}: clipped_rope_hard is the same encoding as hope at d = 32, L = {}: one of them is enough"
    assert (status, lines[:2]) == (0, [line.format("text", 128), line.format("retrieval", 64)])
    assert "mine, arm text: 3 encodings, 9 models" in lines and "mine, arm retrieval: 3 encodings, 13 models" in lines
    assert "the smallest effects that it could see, if its noise is that of the default study:" in lines
    assert any(line.startswith("  claim 5, part copy_past: 5 seeds could see 0.") for line in lines)
    assert lines[-1] == "mine: 22 models in all: the config is right"


def test_encodings_lists_every_family(capsys):
    assert main(["encodings"]) == 0
    families, settings, presets, _ = capsys.readouterr().out.split("\n\n")
    lines = families.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *FAMILIES]
    for line, family in zip(lines[1:], FAMILIES.values(), strict=True):
        assert family.formula in line and family.source in line and f" {family.kernel} " in line
    assert [line.split()[0] for line in presets.splitlines()] == ["preset", *PRESETS]
    fields = [(family.name, field) for family in FAMILIES.values() for field in family.settings.model_fields]
    assert [tuple(line.split()[:2]) for line in settings.splitlines()[1:]] == fields


def test_encodings_of_a_study_are_listed_at_its_sizes(tmp_path, capsys):
    over = tmp_path / "over.yaml"
    over.write_text(
        "study: mine\nencodings: [hope, pope, rope_fast, clipped_rope_hard, mine]\n"
        "definitions: {mine: {family: 'a:B', text_only: true}}\n"
        "model: {layers: 3, width: 256, heads: 4, kv_heads: 2}\ntraining: {length: 4096}\n"
        "arms: {retrieval: null, short: {encodings: [none], training: {length: 64}}}\n"
    )
    assert main(["encodings", "--configfile", str(over)]) == 0
    text, short = capsys.readouterr().out.split("\n\n")
    assert short.startswith("short: at head dimension d = 64 and training length L = 64:\nname ")
    first, header, *lines = text.splitlines()
    assert first == "text: at head dimension d = 64 and training length L = 4096:"
    rows = [re.split(r"  +", line) for line in lines]
    assert re.split(r"  +", header) == [
        "name",
        "family and settings",
        "turning",
        "learned parameters",
        "kernel",
        "remarks",
    ]
    assert rows == [
        ["hope", "hope base=10000 cutoff=1 freeze=slow", "23 of 32", "0", "fused"],
        ["pope", "pope base=10000 delta=zero", "-", "384", "fused"],
        ["rope_fast", "rope base=fast", "32 of 32", "0", "fused", "base 803.5"],
        ["clipped_rope_hard", "clipped_rope base=10000 kind=hard", "23 of 32", "0", "fused", "the same as hope"],
        ["mine", "a:B", "-", "its own", "its own", "trained on text alone"],
    ]


def test_a_listing_may_be_read_in_part():
    command = f"{sys.executable} -m hope encodings | head -n 1"
    answer = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert answer.stderr == ""
    assert answer.stdout.startswith("name ")


def test_the_schema_file_is_the_configs(capsys):
    assert main(["schema"]) == 0
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    assert json.loads(capsys.readouterr().out) == schema


def test_a_wrong_command_line_is_status_2(capsys):
    for arguments in ([], ["trian"], ["train"], ["ui"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage" in capsys.readouterr().err


def test_an_option_given_twice_keeps_both_values():
    options = _parser().parse_args(["check", "--configfile", "a.yaml", "b.yaml", "--configfile", "c.yaml"])
    assert options.configfile == [Path("a.yaml"), Path("b.yaml"), Path("c.yaml")]
    assert _parser().parse_args(["check"]).configfile == []
    assert _parser().parse_args(["analyze", "m", "--text", "a", "--text", "b"]).text == ["a", "b"]


def test_wrong_settings_and_a_full_disk_are_one_clear_line(monkeypatch, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["prepare-corpus", "--settings", '{"source": "flies"}', "--output", str(output)]) == 1
    assert "--settings.source" in capsys.readouterr().err
    assert not output.exists()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "documents.parquet"))

    monkeypatch.setattr("hope.data.corpus.prepare_corpus", full)
    assert main(["prepare-corpus", "--settings", "{}", "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "documents.parquet: the disk is full" in error


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (OSError(errno.EIO, "Input/output error", "x.parquet"), "x.parquet: the disk reports an error; check it and"),
        (
            OSError(errno.EROFS, "Read-only file system"),
            "the results folder: not writable, since its disk is read-only",
        ),
        (FileExistsError(errno.EEXIST, "File exists", "results"), "results: a file is in its place, or a link that"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"),
            "a/b: a part of the path is a file, not a folder",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: a folder, where a file is expected; name a file"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "a"), "a: its links lead in a circle; mend them"),
        (MemoryError(), "the memory is full; close other programs"),
    ],
)
def test_what_the_machine_lacks_is_one_line(monkeypatch, tmp_path, capsys, raised, words):
    def fail(*arguments):
        raise raised

    monkeypatch.setattr("hope.data.corpus.prepare_corpus", fail)
    assert main(["prepare-corpus", "--settings", "{}", "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
