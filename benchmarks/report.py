"""The last step of every benchmark: one line of JSON with its results and their origin."""

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hope import __version__
from hope.tracking.provenance import git_state, machine

RESULTS = Path(__file__).parent / "results"


def report(name: str, results: dict[str, Any], packages: list[str], keep: bool, file: str | None = None) -> None:
    """Print a result with its provenance as one line of JSON, and keep it if asked.

    Args:
        name: of the benchmark.
        results: its figures.
        packages: whose versions it depends on.
        keep: write it into ``benchmarks/results/`` as well.
        file: name of that file without its ending; the benchmark's if None.
    """
    line = json.dumps(
        {"benchmark": name}
        | results
        | {
            "processor": machine()["processor"],
            "cores": os.cpu_count(),
            "load_at_end": round(os.getloadavg()[0], 2),
            "versions": {"hope": __version__, "python": platform.python_version()}
            | {package: version(package) for package in packages},
            "code": git_state(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }
    )
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{file or name}.json").write_text(line + "\n", encoding="utf-8")
    print(line)
