"""The verdicts as shown on the page and in the notebooks."""

import re
from typing import Any

from hope import words
from hope.reporting.page.records import Records
from hope.reporting.study_tables import StudyTables

VERDICTS = ("supported", "contradicted", "inconclusive")
SOURCES = {
    "abstract": "the paper's abstract",
    "secondary": "secondary sources on the paper",
    "ours": "this project",
}


def claim_views(tables: StudyTables, records: Records | None) -> list[dict[str, Any]]:
    """Return the claims with the further content of the page: effect in words, evidence, staleness."""
    views = []
    for claim in tables.judged["claims"]:
        shown = next(part for part in claim["parts"] if part["id"] == claim["numbers_of"])
        views.append(
            claim
            | {
                "shown": shown,
                "effect_of": shown["statement"] if claim["numbers_of"] != claim["settled_by"] else "",
                "source_words": SOURCES.get(claim["source"], claim["source"]),
                "measures": _measures(claim["parts"]),
                "files": grouped(claim["evidence"]),
                "stale": bool(records and records.is_stale(claim["evidence"])),
            }
        )
    return views


def _measures(parts: list[dict[str, Any]]) -> list[str]:
    """Return the measures that a claim's parts compare."""
    sides = [part[side] for part in parts for side in ("treatment", "baseline") if side in part]
    return list(dict.fromkeys(side["measure"] for side in sides if side["measure"]))


def grouped(paths: list[str]) -> list[str]:
    """Return sorted paths with the seeds of one encoding combined: ``evaluation/hope/seed*/...``."""
    return list(dict.fromkeys(re.sub(r"/seed\d+/", "/seed*/", path) for path in sorted(paths)))


def counts(claims: list[dict[str, Any]]) -> dict[str, int]:
    """Return the number of claims by verdict."""
    return {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}


def answer(claims: list[dict[str, Any]]) -> str:
    """Return the numbers of verdicts in one sentence."""
    if not claims:
        return "No claim has been judged yet."
    number = counts(claims)
    parts = [
        f"{words.small(number['supported'])} {'is' if number['supported'] == 1 else 'are'} supported",
        f"{words.small(number['contradicted'])} contradicted",
        f"{words.small(number['inconclusive'])} inconclusive",
    ]
    total = len(claims)
    beginning = "The one claim under test:" if total == 1 else f"Of the {words.small(total)} claims under test,"
    return f"{beginning} {parts[0]}, {parts[1]} and {parts[2]}."


def by_verdict(claims: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the verdicts that occur, each with its claims."""
    groups = [(verdict, [claim for claim in claims if claim["verdict"] == verdict]) for verdict in VERDICTS]
    return [(verdict, named) for verdict, named in groups if named]
