"""A copy of the project in which a stand-in does the work of the steps, so that a study takes seconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
study: tiny
arms:
  text: {encodings: [rope, alibi], seeds: {count: 2, per_encoding: {rope: 1, hope: 1}}}
  retrieval: {encodings: [rope], seeds: {per_encoding: {rope: 1}}}
"""


@dataclass
class Project:
    """A folder with the project's workflow in it."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results" / "tiny"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user: the interpreter's own folder first on PATH, and nothing that was set by others."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("STAND_IN", "PYTHON", "SNAKEMAKE"))
        }
        return kept | {
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def snakemake(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake on the tiny study, on two cores."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", *options]
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def reproduce(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Start ``python -m hope reproduce`` in a process group of its own, as a shell does with a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "hope", "reproduce", "--configfile", "tiny.yaml", *options],
            cwd=self.root,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # As from a terminal: a test run in the background ignores it, and what it starts would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for_training(self) -> None:
        """Wait until two trainings, one a core, are on their way."""
        deadline = time.monotonic() + 60
        while len(list((self.results / "checkpoints").glob("*"))) < 2:
            assert time.monotonic() < deadline, "the trainings have not started"
            time.sleep(0.05)

    def planned(self, *options: str, **variables: str) -> dict[str, int]:
        """Return the jobs that a run would start, by rule, ``all`` left out."""
        done = self.snakemake("--dry-run", *options, **variables)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        table = done.stdout.split("Job stats:")[1].split("total")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule != "all"}

    def calls(self) -> list[tuple[str, dict[str, str]]]:
        """Return what the stand-in was asked, in order: the step and its options."""
        lines = (self.root / "calls.txt").read_text(encoding="utf-8").splitlines()
        return [(step, given) for step, given in map(json.loads, lines)]

    def edit(self, name: str, before: str, after: str, count: int = -1) -> None:
        """Replace text in a file; a replacement that finds nothing is an error."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, count), encoding="utf-8")


def make_project(root: Path) -> Project:
    """Copy the workflow, and of the package what the workflow's own process imports."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, root / name)
    for name in ("profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, root / name)
    modules = ["__init__", "adopt", "cli", "errors", "files", "paths", "progress", "reproduce", "section", "seeding"]
    reporting = [f"reporting/{name}" for name in ("__init__", "claims_check", "claims_file", "effects")]
    rest = ["study_files", "words", "data/__init__", "model/__init__", "model/registration"]
    rest += ["encodings/__init__", "encodings/built"]
    for name in (*modules, *reporting, *rest):
        (root / "hope" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "hope" / f"{name}.py", root / "hope" / f"{name}.py")
    # Of the figures the text alone is read.
    for name in ("catalogue", "commands", "config", "data/sources", "measures", "reporting/figures", "tasks"):
        shutil.copytree(ROOT / "hope" / name, root / "hope" / name)
    shutil.copy(Path(__file__).with_name("stand_in.py"), root / "hope" / "__main__.py")
    (root / "workflow" / "claims.yaml").touch()
    (root / "notebooks").mkdir()
    (root / "notebooks" / "first.ipynb").write_text("{}", encoding="utf-8")
    (root / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    return Project(root)
