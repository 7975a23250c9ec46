"""The run of a whole study: its report, verdicts, figures and tables, with a description to read in the UI."""

from pathlib import Path
from typing import Any

from hope.errors import UserError
from hope.files import read_json
from hope.measures import Endpoint
from hope.paths import StudyPaths
from hope.tracking.run_content import RunContent, flatten, read_models
from hope.tracking.summaries import Point

STUDY = "study"
# Stands in a description for the address of the run's artifacts in the UI, known once the run is made.
ARTIFACTS_ADDRESS = "ARTIFACTS-ADDRESS"
NO_BREAK_SPACE = "\u00a0"
REPORT = "report/index.html"
FOLDERS = ("report", "figures", "tables")
FILES = (
    "study.json",
    "claims.json",
    "analysis/*/theory/*",
    "data/*/tokenizer/*",
    "data/*/corpus/corpus.json",
    "data/*/*/manifest.json",
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


def read_study(study: Path) -> list[RunContent]:
    """Return every run of a study, a nested one after its parent; the study's own comes last.

    Raises:
        UserError: a file is damaged.
    """
    models = read_models(study)
    return [*models, _read_whole(study, models)]


def _read_whole(study: Path, models: list[RunContent]) -> RunContent:
    paths = StudyPaths(study)
    config = read_json(paths.config) if paths.config.is_file() else {}
    name = config.get("study", study.resolve().name)
    ended = max((run.ended for run in models), default=0)
    content = RunContent(STUDY, f"study {name}: report", params=flatten(config), started=ended, ended=ended)
    content.artifacts = {path.relative_to(study).as_posix(): path for path in _files(study)}
    reported = [round(path.stat().st_mtime * 1000) for path in (paths.claims, study / REPORT) if path.is_file()]
    content.ended = max([ended, *reported])
    source = {"mlflow.source.name": "python -m hope sync", "mlflow.source.type": "LOCAL"}
    content.tags = {"stage": STUDY, **source, **_shared_tags(models)}
    corpora = {str(read_json(path).get("digest")) for path in sorted(study.glob("data/*/corpus/corpus.json"))}
    if corpora:
        content.tags["corpus_digest"] = ", ".join(sorted(corpora))
    trained = [run for run in models if run.parent is None]
    content.points = [
        Point("models", 0, float(len(trained)), ended),
        Point("stage_seconds", 0, sum(run.ended - run.started for run in models) / 1000, ended),
    ]
    claims = _claims(paths.claims)
    for claim in claims:
        content.tags[f"claim_{claim['id']}"] = claim["verdict"]
        for measure in ("estimate", "low", "high"):
            if isinstance(claim[measure], int | float):
                content.points.append(Point(f"study_claims/{claim['id']}_{measure}", 0, float(claim[measure]), ended))
    content.note = _note(config.get("report", {}).get("title") or name, claims, trained, content.artifacts)
    return content


def _files(study: Path) -> list[Path]:
    inside = [path for folder in FOLDERS for path in sorted((study / folder).rglob("*"))]
    named = [path for name in FILES for path in sorted(study.glob(name))]
    return [path for path in [*named, *inside] if path.is_file() and not path.name.startswith(".")]


def _shared_tags(models: list[RunContent]) -> dict[str, str]:
    """Return the tags on environment and commit; ``mixed`` where the results were not all made by the same.

    The digest of the code is each stage's own, and stands in the stage's run.
    """
    tags = {}
    for name in ("environment", "mlflow.source.git.commit"):
        values = {run.tags[name] for run in models if name in run.tags}
        if values:
            tags[name] = values.pop() if len(values) == 1 else "mixed"
    return tags


def _claims(path: Path) -> list[dict[str, Any]]:
    """Return the claims with ``id``, ``title``, ``verdict`` and, where there is one, the effect's interval.

    Raises:
        UserError: ``claims.json`` is not as ``python -m hope judge`` writes it.
    """
    if not path.is_file():
        return []
    try:
        return [
            {
                "id": str(claim["id"]),
                "title": str(claim["title"]),
                "verdict": str(claim["verdict"]),
                **{name: claim.get(name) for name in ("estimate", "low", "high", "unit")},
            }
            for claim in read_json(path)["claims"]
        ]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not as expected ({error!r}); run 'python -m hope judge' again") from None


def _note(title: str, claims: list[dict[str, Any]], models: list[RunContent], artifacts: dict[str, Path]) -> str:
    """Return the study's description in Markdown: the way to the report, the verdicts, the encodings."""
    pages = sorted(name for name in artifacts if name.startswith("report/") and name.endswith(".html"))
    links = [
        f"[{_page_name(page)}]({ARTIFACTS_ADDRESS}/{page})" for page in sorted(pages, key=lambda name: name != REPORT)
    ]
    lines = [f"**{title}**", "", " · ".join(links), ""]
    if claims:
        lines += _header("claim", "verdict", "estimate", "interval", "unit")
        for claim in claims:
            low, high = claim["low"], claim["high"]
            interval = f"{_number(low)} to {_number(high)}" if low is not None and high is not None else ""
            name, estimate = f"{claim['id']}. {claim['title']}", _number(claim["estimate"])
            lines.append(_row(name, f"**{claim['verdict']}**", estimate, interval, claim["unit"] or ""))
        lines.append("")
    lines += _encodings(models)
    lines += [
        "",
        "Every artifact stands with its SHA-256 in `digests.json`; the files of the study are the source of all this.",
    ]
    return "\n".join(lines)


def _page_name(page: str) -> str:
    return "Final report" if page == REPORT else Path(page).stem.replace("-", " ").replace("_", " ")


def _encodings(models: list[RunContent]) -> list[str]:
    """Return a table with one row per arm and encoding: means over its seeds."""
    by_encoding: dict[tuple[str, str], list[dict[str, float]]] = {}
    for run in models:
        values = {point.name: point.value for point in run.points if "/" in point.name}
        by_encoding.setdefault((run.tags["arm"], run.tags["encoding"]), []).append(values)
    found = {name for runs in by_encoding.values() for run in runs for name in run}
    shown = [endpoint for endpoint in HEADLINES if endpoint.metric in found]
    if not shown:
        return []
    lines = ["**Encodings**", "", *_header("arm", "encoding", "seeds", *(endpoint.words for endpoint in shown))]
    for model, runs in by_encoding.items():
        cells = []
        for name in (endpoint.metric for endpoint in shown):
            known = [run[name] for run in runs if name in run]
            cells.append(_number(sum(known) / len(known)) if known else "")
        lines.append(_row(*model, str(len(runs)), *cells))
    return [*lines, "", "Losses in nats a token, accuracy by token, means over seeds.", ""]


def _header(*names: str) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: str) -> str:
    """Return a row of a Markdown table; the UI sets columns without any space between them."""
    return f"| {' | '.join(cell + 2 * NO_BREAK_SPACE for cell in cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
