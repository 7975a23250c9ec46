"""The run of a whole study: its report, verdicts, figures and tables, with a description to read in the UI."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from hope.files import read_json
from hope.measures import Endpoint
from hope.paths import StudyPaths
from hope.tracking.run_content import ARTIFACTS_ADDRESS, RunContent, damage_in, flatten, read_models
from hope.tracking.summaries import Point

STUDY = "study"
NO_BREAK_SPACE = "\u00a0"
REPORT = "report/index.html"
FILES = (
    "study.json",
    "claims.json",
    "analysis/*/theory/*",
    "data/*/tokenizer/*",
    "data/*/corpus/corpus.json",
    "data/*/*/manifest.json",
    "report/**/*",
    "figures/**/*",
    "tables/**/*",
)
# Columns of the table of encodings.
HEADLINES = (
    Endpoint("loss_within"),
    Endpoint("octave_loss", multiple=4.0),
    Endpoint("context_gain", multiple=4.0),
    Endpoint("accuracy", task="repeat", multiple=1.0),
    Endpoint("accuracy", task="repeat", multiple=4.0),
    Endpoint("accuracy", task="few_shot", multiple=4.0),
)
LAST_LINE = (
    "Every artifact stands with its SHA-256 in `digests.json`; the files of the study are the source of all this."
)


def read_study(study: Path) -> list[RunContent]:
    """Return every run of a study, a nested one after its parent; the study's own comes last.

    Raises:
        UserError: a file is damaged.
    """
    paths, runs = StudyPaths(study), read_models(study)
    models = [run for run in runs if run.parent is None]
    config = read_json(paths.config) if paths.config.is_file() else {}
    name = config.get("study", study.resolve().name)
    ended = max((run.ended for run in runs), default=0)
    whole = RunContent(STUDY, f"study {name}: report", params=flatten(config), started=ended)
    files = [path for pattern in FILES for path in sorted(study.glob(pattern))]
    whole.artifacts = {
        path.relative_to(study).as_posix(): path for path in files if path.is_file() and path.name[0] != "."
    }
    reported = [path.stat().st_mtime for path in (paths.claims, study / REPORT) if path.is_file()]
    whole.ended = max([ended, *(round(1000 * seconds) for seconds in reported)])
    whole.tags = {"stage": STUDY, "mlflow.source.name": "python -m hope sync", "mlflow.source.type": "LOCAL"}
    # The digest of the code differs by stage, and stands in the stage's run.
    for tag in ("environment", "mlflow.source.git.commit"):
        values = {run.tags[tag] for run in runs if tag in run.tags}
        if values:
            whole.tags[tag] = values.pop() if len(values) == 1 else "mixed"
    with damage_in(f"{study}/data or {paths.claims}"):
        corpora = {str(read_json(path).get("digest")) for path in study.glob("data/*/corpus/corpus.json")}
        if corpora:
            whole.tags["corpus_digest"] = ", ".join(sorted(corpora))
        claims = read_json(paths.claims)["claims"] if paths.claims.is_file() else []
        whole.points = [
            Point("models", 0, float(len(models)), ended),
            Point("stage_seconds", 0, sum(run.ended - run.started for run in runs) / 1000, ended),
        ]
        for claim in claims:
            whole.tags[f"claim_{claim['id']}"] = claim["verdict"]
            for measure in ("estimate", "low", "high"):
                if claim.get(measure) is not None:
                    metric = f"study_claims/{claim['id']}_{measure}"
                    whole.points.append(Point(metric, 0, float(claim[measure]), ended))
        head = [f"**{config.get('report', {}).get('title') or name}**", "", _links(whole.artifacts), ""]
        whole.note = "\n".join([*head, *_verdicts(claims), *_encodings(models), "", LAST_LINE])
    return [*runs, whole]


def _links(artifacts: dict[str, Path]) -> str:
    """Return links to the report, first, and to the notebooks' pages."""
    pages = [name for name in artifacts if name.startswith("report/") and name.endswith(".html")]
    names = {page: Path(page).stem.replace("-", " ").replace("_", " ") for page in sorted(pages)}
    if REPORT in names:
        del names[REPORT]
        names = {REPORT: "Final report", **names}
    return " · ".join(f"[{name}]({ARTIFACTS_ADDRESS}/{page})" for page, name in names.items())


def _verdicts(claims: list[dict[str, Any]]) -> list[str]:
    """Return a table with one row per claim."""
    rows = []
    for claim in claims:
        low, high = claim.get("low"), claim.get("high")
        interval = f"{low:.3g} to {high:.3g}" if low is not None and high is not None else ""
        estimate = "" if claim.get("estimate") is None else f"{claim['estimate']:.3g}"
        name = f"{claim['id']}. {claim['title']}"
        rows.append([name, f"**{claim['verdict']}**", estimate, interval, claim.get("unit") or ""])
    return [*_table(["claim", "verdict", "estimate", "interval", "unit"], rows), ""] if rows else []


def _encodings(models: list[RunContent]) -> list[str]:
    """Return a table with one row per arm and encoding: means over its seeds."""
    table = pd.DataFrame([run.tags | {point.name: point.value for point in run.points} for run in models])
    shown = [endpoint for endpoint in HEADLINES if endpoint.metric in table]
    if not shown:
        return []
    rows = []
    for (arm, encoding), seeds in table.groupby(["arm", "encoding"], sort=False):
        means = seeds[[endpoint.metric for endpoint in shown]].mean()
        cells = ["" if math.isnan(mean) else f"{mean:.3g}" for mean in means]
        rows.append([str(arm), str(encoding), str(len(seeds)), *cells])
    header = ["arm", "encoding", "seeds", *(endpoint.words for endpoint in shown)]
    last = "Losses in nats per token, accuracy by token, means over seeds."
    return ["**Encodings**", "", *_table(header, rows), "", last, ""]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table; the UI sets columns without any space between them."""
    first, *others = [f"| {' | '.join(cell + 2 * NO_BREAK_SPACE for cell in row)} |" for row in [header, *rows]]
    return [first, "|---" * len(header) + "|", *others]
