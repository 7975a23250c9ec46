"""The final report: one page with the verdicts first, then the evidence.

The page is one file with figures and style inside; nothing runs and nothing is fetched. Links lead to files of the
study.
"""

import base64
import html
import re
from pathlib import Path
from typing import Any

from hope import __version__, words
from hope.catalogue import FAMILIES
from hope.config import Study
from hope.config.default import default_study
from hope.files import sha256_of_file, write_text
from hope.reporting.figures.declaration import study_figures
from hope.reporting.page.claims import SOURCES, answer, by_verdict, claim_views
from hope.reporting.page.records import Records, read_if_there, reference_corpus
from hope.reporting.page.tables import report_tables
from hope.reporting.page.templating import environment
from hope.reporting.story import not_learned, story
from hope.reporting.study_tables import ArmTables, StudyTables


def write_report(study: Path) -> None:
    """Write ``report/index.html`` of the study at ``study``, whole or not at all.

    What the study lacks (figures not drawn, claims not judged) is left out or named.

    Raises:
        UserError: ``study`` contains no study, or one of its JSON files cannot be read.
    """
    tables = StudyTables(study)
    write_text(tables.paths.report / "index.html", page(tables))


def page(tables: StudyTables) -> str:
    """Return the report as HTML."""
    records = Records(tables)
    judged = tables.judged
    claims = claim_views(tables, records)
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            study=tables.study,
            is_default=_is_default(tables.study),
            version=__version__,
            judged=judged,
            claims=claims,
            answer=answer(claims),
            by_verdict=by_verdict(claims),
            story=story(tables),
            not_learned=not_learned(tables),
            sources=SOURCES,
            figures=figure_views(tables, ""),
            arms=[_arm(arm) for arm in tables.arms.values()],
            models=words.plural(len(tables.study.runs()), "model"),
            notebooks=_notebooks(tables),
            records=records,
            confidence=f"{tables.confidence:.0%}",
        )
    )


def _is_default(study: Study) -> bool:
    """Return whether ``make reproduce`` alone makes the study again; where its runs are tracked does not matter."""
    default = default_study()
    return study.model_copy(update={"tracking": default.tracking}) == default


def _arm(tables: ArmTables) -> dict[str, Any]:
    """Return the content of the page about one arm."""
    return {
        "name": tables.name,
        "settings": tables.arm,
        "encodings": _encodings(tables),
        "models": _models(tables),
        "figures": figure_views(tables.whole, tables.name),
        "tables": report_tables(tables),
        "data": _data(tables),
        "cost": _cost(tables),
    }


def figure_views(tables: StudyTables, arm: str) -> list[dict[str, Any]]:
    """Return the drawn figures of an arm, or across arms (''), that have data, with their pictures as data URIs."""
    views = []
    for declared, where in study_figures(tables.study):
        if where != arm:
            continue
        path = tables.paths.figures / where / f"{declared.name}.svg"
        if path.exists() and path.with_suffix(".csv").read_text(encoding="utf-8").strip():
            views.append({"declared": declared, "picture": data_uri(path.read_bytes()), "arm": where})
    return views


def data_uri(svg: bytes) -> str:
    """Return an SVG picture as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def _encodings(tables: ArmTables) -> list[dict[str, Any]]:
    """Return the facts about each encoding of an arm."""
    facts = []
    for name in tables.encodings:
        encoding = tables.arm.encoding(name)
        family = FAMILIES.get(encoding.family)
        turning = f"{tables.kept(name)} of {tables.arm.model.head_dim // 2}" if tables.arm.is_rotary(name) else ""
        facts.append(
            {
                "name": name,
                "family": encoding.family,
                "formula": family.formula if family else "a class of the user",
                "source": family.source if family else "",
                "settings": ", ".join(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
                                      for key, value in encoding.settings.items()),
                "seeds": tables.seeds(name),
                "turning": turning,
                "text_only": encoding.text_only,
                "same": tables.same.get(name, ""),
                "color": tables.styles[name].color,
            }
        )  # fmt: skip
    return facts


def _models(tables: ArmTables) -> dict[str, Any]:
    """Return number, parameters (if known) and training tokens of the models of an arm."""
    cost = tables.summary("cost")
    parameters = sorted(set(cost["parameters"])) if len(cost) else []
    return {
        "count": len(tables.arm.runs()),
        "parameters": " to ".join(words.count(value) for value in dict.fromkeys([*parameters[:1], *parameters[-1:]])),
        "tokens": tables.arm.training.steps * tables.length * tables.arm.training.batch_windows,
    }


def _notebooks(tables: StudyTables) -> list[tuple[str, str]]:
    """Return file name and title of the notebooks beside the report."""
    titles = []
    for path in sorted(tables.paths.report.glob("*.html")):
        if path.name != "index.html":
            match = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8")[:4_000], re.DOTALL)
            titles.append((path.name, html.unescape(match.group(1)).strip() if match else path.stem))
    return titles


def _data(tables: ArmTables) -> dict[str, Any]:
    """Return facts about the training and validation data of an arm."""
    folder = tables.paths.data(tables.arm.data_key)
    corpus = read_if_there(tables.paths.corpus(tables.arm.data_key) / "corpus.json")
    splits = {name: read_if_there(folder / name / "manifest.json") for name in ("train", "validation")}
    tokenizer = folder / "tokenizer" / "tokenizer.json"
    digest = splits["train"].get("tokenizer_sha256") or (sha256_of_file(tokenizer) if tokenizer.exists() else "")
    return {
        "corpus": corpus,
        "train": splits["train"],
        "validation": splits["validation"],
        "tokenizer": digest,
        "reference": reference_corpus(corpus, tables.arm.corpus.source),
    }


def _cost(tables: ArmTables) -> list[dict[str, Any]]:
    """Return the cost of training, one row per encoding."""
    cost = tables.summary("cost")
    rows = []
    for name in tables.encodings:
        own = cost[cost["encoding"] == name] if len(cost) else cost
        if len(own):
            rows.append(
                {
                    "encoding": name,
                    "models": len(own),
                    "parameters": int(own["parameters"].iloc[0]),
                    "tokens": int(own["tokens"].mean()),
                    "seconds": float(own["seconds"].mean()),
                    "speed": float(own["tokens_per_second"].mean()),
                }
            )
    return rows
