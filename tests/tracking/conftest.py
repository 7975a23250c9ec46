"""A study folder of two models, small enough to copy for each test."""

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hope import config
from hope.config import MAIN, parse_study, to_json
from hope.files import write_json, write_text
from hope.paths import RunPaths, StudyPaths
from hope.tracking.provenance import record

LENGTH = 16
STEPS = (2, 4, 6, 8)


@pytest.fixture(scope="session")
def study_config() -> config.Study:
    content: dict[str, Any] = {
        "study": "small",
        "encodings": ["rope", "hope"],
        "model": {"layers": 1, "width": 8, "heads": 1, "mlp_width": 8},
        "training": {"length": LENGTH, "batch_windows": 2},
        "mixture": {"share": 0.3, "tasks": {"repeat": 1.0}, "multiples": [1.0]},
        "extrapolation": {"targets": 4},
        "retrieval": {"tasks": ["repeat"], "multiples": [1.0]},
    }
    return parse_study(content, "test")


@pytest.fixture(scope="session")
def arm(study_config: config.Study) -> config.Arm:
    """Return the only arm of the study."""
    return study_config.arms[MAIN]


@pytest.fixture(scope="session")
def _written(study_config: config.Study, arm: config.Arm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies") / "small"
    write_text(root / "study.json", to_json(study_config))
    paths = StudyPaths(root)
    write_json(paths.corpus(arm.data_key) / "corpus.json", {"digest": "c" * 64})
    for split in ("train", "validation"):
        write_json(paths.data(arm.data_key) / split / "manifest.json", {"digest": split})
    for number, run in enumerate(study_config.runs()):
        _write_model(paths.run(*run), study_config.arms[run.arm], 1_700_000_000.0 + 100 * number)
    claim = {"id": "6", "title": "Extrapolation", "verdict": "supported", "estimate": -0.5, "low": -0.7, "high": -0.3}
    write_json(root / "claims.json", {"claims": [{**claim, "unit": "nats"}]})
    write_text(root / "report/index.html", "<h1>the report</h1>")
    write_text(root / "figures/curve.svg", "<svg/>")
    return root


def _write_model(paths: RunPaths, arm: config.Arm, start: float) -> None:
    model, encoding, data = paths.model, paths.encoding, StudyPaths(paths.study).data(arm.data_key)
    write_text(model / "model.safetensors", f"weights of {encoding}")
    write_json(model / "config.json", {"encoding": encoding})
    history = {
        "step": STEPS,
        "tokens": [32 * step for step in STEPS],
        "time": [start + step for step in STEPS],
        "loss": [5.0 - step / 10 for step in STEPS],
        "synthetic_loss": [float("nan")] * len(STEPS),
        "tokens_per_second": [1000.0 + step for step in STEPS],
    }
    pd.DataFrame(history).to_parquet(model / "history.parquet")
    settings = arm.train_stage(encoding, int(paths.seed)).model_dump(mode="json", by_alias=True)
    _write_record(model, "train", settings, [data], "run.json", *(path.name for path in model.iterdir()))
    evaluation = paths.evaluation
    evaluation.mkdir(parents=True)
    bins = [(start, start + LENGTH // 2) for start in range(0, 4 * LENGTH, LENGTH // 2)]
    rows = [
        {"extension": "none", "document": document, "window": 0, "start": low, "end": high, "tokens": high - low}
        | {"nll": (high - low) * (2.0 + low / LENGTH + document)}
        for document in (0, 1)
        for low, high in bins
    ]
    pd.DataFrame(rows).to_parquet(evaluation / "extrapolation.parquet")
    contexts = [
        {"extension": "none", "document": 0, "window": 0, "context": LENGTH * factor, "tokens": 4, "nll": 4.0 * loss}
        for factor, loss in ((1, 3.0), (2, 2.75))
    ]
    pd.DataFrame(contexts).to_parquet(evaluation / "context.parquet")
    stage = arm.extrapolation_stage().model_dump()
    outputs = ("extrapolation.json", "extrapolation.parquet", "context.parquet")
    _write_record(evaluation, "extrapolate", stage, [model, data], *outputs)
    prompt = {"task": "repeat", "trained": True, "length": LENGTH, "depth": None, "chance": 0.25, "margin": 0.0}
    prompts = [
        {**prompt, "example": example, "accuracy": accuracy, "exact": float(accuracy == 1)}
        for example, accuracy in enumerate((1.0, 0.5))
    ]
    pd.DataFrame(prompts).to_parquet(evaluation / "retrieval.parquet")
    stage = arm.retrieval_stage().model_dump(by_alias=True)
    _write_record(evaluation, "retrieve", stage, [model, data], "retrieval.json", "retrieval.parquet")


def _write_record(folder: Path, stage: str, settings: dict, inputs: list[Path], name: str, *outputs: str) -> None:
    written = [folder / output for output in outputs]
    write_json(folder / name, record(stage, settings, inputs, written, time.time() - 2.0))


@pytest.fixture(scope="session")
def _synced(_written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hope.tracking.store import sync

    root = tmp_path_factory.mktemp("synced") / "small"
    shutil.copytree(_written, root)
    sync(root)
    return root


@pytest.fixture
def study(_written: Path, tmp_path: Path) -> Path:
    """Return a study's folder without a tracking store."""
    return Path(shutil.copytree(_written, tmp_path / "fresh" / "small"))


@pytest.fixture
def synced(_synced: Path, tmp_path: Path) -> Path:
    """Return a study's folder with its tracking store."""
    return Path(shutil.copytree(_synced, tmp_path / "small"))


@pytest.fixture
def empty_store(synced: Path) -> Path:
    """Return a study's folder with an initialised store that has no runs."""
    with sqlite3.connect(synced / "mlflow/mlflow.db") as database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"DELETE FROM {table}")
    shutil.rmtree(synced / "mlflow/artifacts")
    return synced
