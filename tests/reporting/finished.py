"""A made-up study with everything that comes before the report: endpoints, verdicts and figures."""

from functools import cache
from pathlib import Path

from hope.reporting.claims import judge
from hope.reporting.endpoints import write_endpoints
from hope.reporting.figures.draw import draw
from tests.reporting.make_study import make_study

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "workflow" / "claims.yaml"


def judged(study: Path) -> Path:
    """Write endpoints, tables and verdicts of a study; return it."""
    write_endpoints(study)
    judge(study, CLAIMS)
    return study


@cache
def finished_study(folder: Path) -> Path:
    """Return a study with verdicts and figures, made once in a session; tests must not change it."""
    tasks = ["copy", "few_shot", "recall", "induction", "passkey"]
    retrieval = {"prompts": 44, "tasks": tasks, "multiples": [0.25, 0.5, 1.0, 2.0, 4.0]}
    seeds = {"rope": 3, "hope": 3, "none": 1, "alibi": 2}
    study = judged(make_study(folder / "finished", seeds=seeds, retrieval=retrieval))
    draw(study)
    return study
