"""A look into a store from outside MLflow."""

import sqlite3
from pathlib import Path
from typing import Any


class Store:
    """The SQLite file of a study's store, read without MLflow."""

    def __init__(self, study: Path) -> None:
        self.path = study / "mlflow/mlflow.db"
        self.artifacts = study / "mlflow/artifacts/small"

    def rows(self, query: str, *values: Any) -> list[tuple]:
        database = sqlite3.connect(self.path)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def everything(self) -> dict[str, list[tuple]]:
        tables = ("experiments", "runs", "metrics", "latest_metrics", "params", "tags", "experiment_tags")
        return {table: sorted(self.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}

    def runs(self) -> dict[str, str]:
        """Return the ids of the runs that are not deleted, by their key; fails where a key has two."""
        query = (
            "SELECT tags.value, runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
            "WHERE tags.key = 'hope.run' AND runs.lifecycle_stage = 'active'"
        )
        found = self.rows(query)
        assert len(found) == len(dict(found))
        return dict(found)

    def points(self, run: str, key: str) -> list[tuple[int, float, int]]:
        query = "SELECT step, value, timestamp FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp"
        return self.rows(query, run, key)

    def of(self, table: str, run: str) -> dict[str, str]:
        return dict(self.rows(f"SELECT key, value FROM {table} WHERE run_uuid = ?", run))

    def status(self, run: str) -> str:
        return self.rows("SELECT status FROM runs WHERE run_uuid = ?", run)[0][0]

    def files(self, run: str) -> dict[str, Path]:
        folder = self.artifacts / run / "artifacts"
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
