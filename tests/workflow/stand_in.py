"""Stands in for ``python -m hope`` in a copy of the project: each step writes its files at once, tiny ones.

The command line is the real one's.

What a step was asked is appended to ``calls.txt``, so that a test sees what really ran. Switches in the
environment: STAND_IN_SECONDS is how long a training takes, STAND_IN_FAILS names a step that fails with one line.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from hope import cli
from hope.cli import _parser
from hope.commands import COMMANDS
from hope.commands.steps import ROTARY_TABLES
from hope.config import Study, Training, as_config, from_json, parse_study
from hope.paths import SNAPSHOTS, snapshot_file
from hope.reporting.figures.declaration import study_figures

TABLES = ("losses", "attention", "ushape", "comparisons", "retrieval", "cost")
OUTPUTS = {
    "judge": ["claims.json", "tables/endpoints.parquet"]
    + [f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")],
    "report": ["report/index.html"],
}


def main(arguments: list[str]) -> int:
    given = {key: str(value) for key, value in vars(_parser().parse_args(arguments)).items()}
    step = given.pop("step")
    if step == "reproduce":
        return cli.main(arguments)
    with open("calls.txt", "a", encoding="utf-8") as handle:
        handle.write(json.dumps([step, given]) + "\n")
    if step == os.environ.get("STAND_IN_FAILS"):
        print("hope: error: corpus: nothing in it; name another", file=sys.stderr)
        return 1
    if step == "train":
        train(Path(given["checkpoints"]), given["settings"])
    target = Path(given.get("output") or given["study"])
    if step == "resolve":
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(as_config(from_json(Study, given["settings"]))), encoding="utf-8")
        return 0
    declared = COMMANDS[step]
    names = [*OUTPUTS.get(step, []), *declared.outputs.values(), *filter(None, [declared.record])]
    if step == "draw":
        study = parse_study(json.loads((target / "study.json").read_text(encoding="utf-8")), "study.json")
        drawn = [target / "figures" / arm / declared.name for declared, arm in study_figures(study)]
        names += [f"{path.relative_to(target)}.{kind}" for path in drawn for kind in ("svg", "png", "csv", "rst")]
    if step == "train":
        training = Training(**{**json.loads(given["settings"])["training"], **json.loads(given["launch"])})
        names += [str(snapshot_file(Path(SNAPSHOTS), moment)) for moment in training.snapshot_steps]
    if step == "analyze-attention" and target.parent.name not in ("rope", "hope"):
        names = [name for name in names if name not in ROTARY_TABLES.values()]
    for path in [target / name for name in names] or [target]:
        if step != "sync":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{step} {path.name}\n", encoding="utf-8")
    return 0


def train(checkpoints: Path, settings: str) -> None:
    """Take a while, and leave a mark of how far it got, as a trainer does."""
    content = json.loads(settings)
    mark = checkpoints / f"{content['encoding']['name']}-L{content['training']['length']}-seed{content['seed']}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(143))
    done = int(mark.read_text()) if mark.exists() else 0
    steps = int(float(os.environ.get("STAND_IN_SECONDS", "0")) * 10)
    for step in range(done, steps):
        time.sleep(0.1)
        mark.write_text(str(step + 1))
        print(f"step {step + 1} of {steps}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
