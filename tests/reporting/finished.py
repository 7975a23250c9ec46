"""A made-up study with endpoints, tables and verdicts."""

from pathlib import Path

from hope.reporting.claims import judge
from hope.reporting.endpoints import write_endpoints

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "workflow" / "claims.yaml"


def judged(study: Path) -> Path:
    """Write endpoints, tables and verdicts of a study; return it."""
    write_endpoints(study)
    judge(study, CLAIMS)
    return study
