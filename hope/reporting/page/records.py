"""The records beside the results: cost, provenance, and which results are older than the code."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hope
from hope.files import read_json
from hope.reporting.page.templating import render_piece
from hope.reporting.study_tables import StudyTables
from hope.tracking.provenance import code_digest

STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "read-part": ("parts of the corpus", ("read_part",)),
    "prepare-corpus": ("corpus", ("prepare_corpus",)),
    "fit-tokenizer": ("tokenizer", ("fit_tokenizer",)),
    "tokenize-part": ("tokens of the parts", ("tokenize_part",)),
    "join-tokens": ("joined tokens", ("join_tokens",)),
    "tokenize": ("tokens", ("tokenize_corpus",)),
    "train": ("training", ("train_",)),
    "analyze-attention": ("attention analysis", ("analyze_attention", "analyze_components")),
    "analyze-dynamics": ("training dynamics", ("analyze_dynamics",)),
    "extrapolate": ("extrapolation", ("evaluate_extrapolation",)),
    "retrieve": ("retrieval", ("evaluate_retrieval",)),
    "theory": ("theory", ("compute_theory",)),
    "judge": ("tables and verdicts", ("judge_claims",)),
    "draw": ("figures", ("draw_figures",)),
    "notebook": ("notebooks", ("render_notebook",)),
}
"""The stages in their order: name on the page and rules of the workflow; ``train_`` is one rule per arm."""
_RECORDS = (
    ("model", "run.json", ("model.safetensors", "history.parquet", "config.json")),
    ("analysis", "provenance.json", None),
    ("analysis", "dynamics.json", ("dynamics.parquet",)),
    ("evaluation", "extrapolation.json", ("extrapolation.parquet", "context.parquet", "strided.parquet")),
    ("evaluation", "retrieval.json", ("retrieval.parquet",)),
)
"""Room, record, and the files that the record covers; None for all files beside it."""
REFERENCE_CORPUS = Path(hope.__file__).resolve().parents[1] / "docs" / "reference-corpus.json"
"""File with digest and Python version of the corpus of the documented results, or a list of such pairs."""


@dataclass(frozen=True)
class Record:
    """The provenance of one result.

    Attributes:
        path: the record, relative to the study.
        results: names of the files beside it that it covers; None for all of them.
        content: content of the record.
        stale: True if the code has changed since it made the result.
    """

    path: Path
    results: tuple[str, ...] | None
    content: dict[str, Any]
    stale: bool

    def covers(self, path: str) -> bool:
        """Return whether the record covers the result at ``path``, relative to the study."""
        result = Path(path)
        return result.parent == self.path.parent and (self.results is None or result.name in self.results)


class Records:
    """All records of a study."""

    def __init__(self, tables: StudyTables) -> None:
        """Read the records of every model and of the theory."""
        self.tables = tables
        self.all: list[Record] = []
        for one in tables.study.runs():
            run = tables.paths.run(*one)
            for room, name, results in _RECORDS:
                self._add(getattr(run, room) / name, results)
        for arm in tables.arms:
            self._add(tables.paths.theory(arm) / "provenance.json", None)

    def _add(self, path: Path, results: tuple[str, ...] | None) -> None:
        if path.exists():
            content = read_json(path)
            inside = path.relative_to(self.tables.paths.root)
            self.all.append(
                Record(inside, results, content, content.get("code") != code_digest(content.get("stage", "")))
            )

    @property
    def stale(self) -> list[Record]:
        """Records of stale results."""
        return [record for record in self.all if record.stale]

    def is_stale(self, paths: list[str]) -> bool:
        """Return whether one of these results, relative to the study, is stale."""
        return any(record.covers(path) for record in self.stale for path in paths)

    def stale_rules(self) -> list[str]:
        """Return the workflow's rules that make the stale results."""
        stages = {record.content.get("stage") for record in self.stale}
        named = [rule for stage, (_, rules) in STAGES.items() if stage in stages for rule in rules]
        return [name for rule in named for name in (map(rule.__add__, self.tables.arms) if rule[-1] == "_" else [rule])]

    @cached_property
    def last(self) -> dict[str, Any]:
        """The record of the last training, else of the last result; empty if there is none."""
        trained = [record.content for record in self.all if record.content.get("stage") == "train"]
        return max(trained or [record.content for record in self.all], key=_ended, default={})

    def stages(self) -> list[dict[str, Any]]:
        """Return the number of results, commit and staleness by stage and code."""
        groups: dict[tuple, list[Record]] = {}
        for record in self.all:
            content = record.content
            key = (content.get("stage", "?"), content.get("code", ""), content.get("commit"), content.get("dirty"))
            groups.setdefault(key, []).append(record)
        order = list(STAGES)
        rows = []
        for (stage, code, commit, dirty), records in groups.items():
            rows.append(
                {
                    "stage": STAGES[stage][0] if stage in STAGES else stage,
                    "place": order.index(stage) if stage in order else len(order),
                    "results": len(records),
                    "code": code,
                    "commit": commit,
                    "dirty": bool(dirty),
                    "stale": records[0].stale,
                    "ended": max(_ended(record.content) for record in records),
                }
            )
        return sorted(rows, key=lambda row: (row["place"], row["ended"]))

    def costs(self) -> list[dict[str, Any]]:
        """Return the cost by stage: jobs, processor seconds (0 for a record without them), largest memory of a job."""
        groups: dict[str, list[dict[str, Any]]] = {stage: [] for stage in STAGES}
        for content in [*(record.content for record in self.all), *map(read_json, self.tables.paths.costs())]:
            groups.setdefault(content.get("stage", "?"), []).append(content)
        return [
            {
                "stage": STAGES[stage][0] if stage in STAGES else stage,
                "jobs": len(contents),
                "processor_seconds": sum(content.get("processor_seconds") or 0.0 for content in contents),
                "peak_memory_bytes": max(content.get("peak_memory_bytes") or 0 for content in contents),
            }
            for stage, contents in groups.items()
            if contents
        ]

    def machines(self) -> list[dict[str, Any]]:
        """Return the distinct machines that made results."""
        seen: dict[tuple, dict[str, Any]] = {}
        for record in self.all:
            machine = record.content.get("machine") or {}
            key = (machine.get("processor"), machine.get("cores"), tuple(machine.get("gpus") or ()))
            better = seen.get(key, {})
            seen[key] = machine if len(machine) > len(better) else better
        # A stage without torch records no GPUs: the same machine, not another one.
        with_gpu = {key[:2] for key in seen if key[2]}
        return [machine for key, machine in seen.items() if key[2] or key[:2] not in with_gpu]


def _ended(content: dict[str, Any]) -> str:
    return str(content.get("ended") or content.get("started") or "")


def read_if_there(path: Path) -> dict[str, Any]:
    """Return a JSON file's content, or an empty dict if there is no such file."""
    return read_json(path) if path.exists() else {}


def reference_corpus(corpus: dict[str, Any], source: str, reference: Path = REFERENCE_CORPUS) -> str:
    """Return a sentence that compares the corpus with that of the documented results.

    Empty without anything to compare. Only ``python_stdlib`` has such a corpus, which changes with the version of the
    interpreter.

    Args:
        corpus: ``corpus.json``.
        source: the study's ``corpus.source``.
        reference: file with ``python`` and ``digest`` of that corpus.
    """
    if source != "python_stdlib" or not corpus.get("digest") or not reference.exists():
        return ""
    documented = read_json(reference)
    if corpus["digest"] == documented["digest"]:
        return render_piece("documented_corpus")
    own = corpus.get("origin", {}).get("python", "of another version")
    return render_piece("other_corpus", documented["python"], own)
