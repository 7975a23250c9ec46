"""Rows of length extensions change nothing of what is said of the models as they were trained."""

import shutil
from pathlib import Path

import pandas as pd

from hope.reporting.endpoints import collect_endpoints
from hope.reporting.figures.loss import context_gain, loss_by_position
from hope.reporting.study_tables import StudyTables


def as_trained(endpoints: pd.DataFrame) -> pd.DataFrame:
    """Return the endpoints without those of extensions."""
    return endpoints[endpoints["extension"].isna()].reset_index(drop=True)


def test_endpoints_and_figures_are_of_the_models_as_trained(shared_study: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(shared_study, study)
    tables = StudyTables(study)
    endpoints = as_trained(collect_endpoints(tables))
    drawn = [draw(StudyTables(study).arms["text"]) for draw in (loss_by_position, context_gain)]
    changed = 0
    for arm, encoding, seed in tables.study.runs():
        for name in ("extrapolation", "context"):
            path = tables.arms[arm].path(name, encoding, seed)
            table = pd.read_parquet(path)
            plain = table[table["extension"] == "none"]
            extended = plain.assign(extension="yarn-4", nll=plain["nll"] * 3)
            pd.concat([plain, extended]).to_parquet(path, index=False)
            changed += len(extended)
    assert changed
    pd.testing.assert_frame_equal(as_trained(collect_endpoints(StudyTables(study))), endpoints)
    for draw, before in zip((loss_by_position, context_gain), drawn, strict=True):
        after = draw(StudyTables(study).arms["text"])
        assert before is not None and after is not None
        pd.testing.assert_frame_equal(after.data, before.data)
