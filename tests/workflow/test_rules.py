"""How the rules are written."""

import re
import textwrap
from pathlib import Path

import pytest

from hope.cli import _parser
from hope.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def rules() -> dict[str, str]:
    """Return the text of each rule of its own, by name."""
    found = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        # A rule per arm stands in a loop, and takes its name from there.
        looped = re.search(r"^    rule:\n(?:    .*\n|\n)*", text, re.M)
        if looped:
            of_arm = re.sub(r'\n    name:\n        f"(\w+)_\{ARM\}"', "", textwrap.dedent(looped[0]))
            found["train_arm"] = of_arm.replace("rule:", "rule train_arm:", 1)
        for part in re.split(r"^(?=rule |use rule )", text, flags=re.M):
            name = re.match(r"rule (\w+):", part)
            if name:
                found[name[1]] = part
    return found


RULES = rules()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_thin_and_whole(name: str) -> None:
    text = RULES[name]
    directives = re.findall(r"^    (\w+):", text, re.M)
    wanted = {"output", "log", "conda", "params", "resources", "message", "shell"}
    assert wanted <= set(directives)
    assert not {"run", "script", "notebook", "wrapper"} & set(directives)
    assert re.match(r'rule \w+:\n    """[^\n]+\."""\n', text), "a docstring of one line"
    for resource in ("mem_mb", "disk_mb", "runtime"):
        assert f"{resource}=" in text
    environment = re.search(r'conda:\n        "\.\./\.\./(envs/\w+\.yaml)"', text)
    assert environment and (ROOT / environment[1]).exists()


@pytest.mark.parametrize("name", RULES)
def test_a_shell_line_is_one_step_with_every_value_quoted(name: str) -> None:
    shell = RULES[name].split("shell:")[1]
    command = "".join(re.findall(r'"([^"]*)"', shell))
    assert re.fullmatch(r"python -m hope [a-z-]+ .* > \{log:q\} 2>&1", command)
    values = re.findall(r"\{([^}]*)\}", command)
    assert [value for value in values if not value.endswith(":q")] == []
    # Snakemake quotes an empty value to nothing at all.
    assert not re.search(r"--(uri|tracking) ", command)


@pytest.mark.parametrize("name", RULES)
def test_a_shell_line_gives_a_step_the_arguments_that_it_declares(name: str) -> None:
    command = "".join(re.findall(r'"([^"]*)"', RULES[name].split("shell:")[1]))
    arguments = re.sub(r"\{[^}]*\}", "1", command.partition(" > ")[0]).split()[3:]
    options = vars(_parser().parse_args(arguments))  # an unknown or a missing one exits
    assert COMMANDS[options["step"]].summary.endswith(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_rules_is_small_and_only_one_has_functions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 5000
    assert path.stem == "common" or not re.search(r"^def ", text, re.M)
    assert not re.search(r"\bancient\(|^checkpoint ", text, re.M)


def test_the_names_of_rules_are_verbs_and_nouns() -> None:
    assert all(re.fullmatch(r"[a-z]+_[a-z]+", name) for name in RULES)


def test_every_caption_is_there_in_one_sentence_or_two() -> None:
    captions = ROOT / "workflow" / "report"
    named = set(re.findall(r"\.\./report/(\w+)\.rst", (ROOT / "workflow/rules/report.smk").read_text(encoding="utf-8")))
    assert {path.stem for path in captions.iterdir()} == {*named, "workflow"}
    assert all(path.read_text(encoding="utf-8").strip() for path in captions.iterdir())


def test_the_workflow_process_loads_no_numerical_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, hope.config, hope.paths, hope.commands, hope.reproduce, hope.study_files;"
        "import hope.reporting.figures.declaration;"
        "print(sorted({'numpy', 'pandas', 'pyarrow', 'torch', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
