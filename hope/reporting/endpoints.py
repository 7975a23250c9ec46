"""From the tables of single models to ``tables/endpoints.parquet``: what claims and summaries are computed from.

The measures are those of :mod:`hope.measures`. One row is one observation: the key of its endpoint, encoding, seed,
unit (the number of a document or prompt; 0 for a measure of the whole model) and value. An endpoint that a model
cannot have, such as a loss past the end of a learned encoding, has no rows. Measures of a formula need no model: their
seed and unit are -1.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from hope.files import whole_file
from hope.measures import MEASURES, QUALIFIERS, Endpoint, measured
from hope.reporting.estimates import COLUMNS
from hope.reporting.study_tables import ArmTables, StudyTables, read_table
from hope.reporting.summaries import write_summaries

NO_MODEL = -1
_TYPES = {name: "str" for name in QUALIFIERS} | {"multiple": "float64", "depth": "float64"}
_TYPES |= {"arm": "str", "measure": "str", "encoding": "str", "seed": "int64", "unit": "int64", "value": "float64"}


def write_endpoints(study: Path) -> None:
    """Write ``tables/endpoints.parquet`` and the summary tables of a study.

    Args:
        study: folder of the study.

    Raises:
        UserError: a table of one of the study's models or of its theory is missing or cannot be read.
    """
    tables = StudyTables(study)
    frame = collect_endpoints(tables)
    with whole_file(tables.paths.tables / "endpoints.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    write_summaries(tables, frame)


def collect_endpoints(tables: StudyTables) -> pd.DataFrame:
    """Return the endpoints of all models of a study, with the columns of ``endpoints.parquet``."""
    values = [(arm.name, *each) for arm in tables.arms.values() for each in (*_of_models(arm), *_of_formulas(arm))]
    keys = pd.DataFrame(
        [
            {"arm": arm, **endpoint.columns, "encoding": encoding, "seed": seed}
            for arm, encoding, seed, endpoint, _ in values
        ],
        columns=COLUMNS[:-2],
    )
    frame = keys.loc[np.repeat(keys.index, [len(series) for *_, series in values])]
    frame["unit"] = [unit for *_, series in values for unit in series.index]
    frame["value"] = [value for *_, series in values for value in series]
    return frame.dropna(subset="value").astype(_TYPES).reset_index(drop=True)


Values = Iterator[tuple[str, int, Endpoint, pd.Series]]
"""Encoding, seed, key and values by unit."""


def _of_models(tables: ArmTables) -> Values:
    """Yield every endpoint of every trained model."""
    sources = {entry.source.name: entry.source for entry in MEASURES.values() if entry.source.room != "theory"}
    for encoding, seed in tables.arm.runs():
        of_model = {
            name: tables.of_model(name, encoding, seed)
            for name, source in sources.items()
            if f"{source.room}/{name}.parquet" in tables.arm.tables
            and (source.always or tables.path(name, encoding, seed).exists())
        }
        for endpoint, values in measured(of_model, tables.arm):
            yield encoding, seed, endpoint, values


def _of_formulas(tables: ArmTables) -> Values:
    """Yield every endpoint that follows from an encoding's frequencies alone."""
    folder = tables.paths.theory(tables.name)
    formulas = [
        (entry, read_table(folder / f"{entry.source.name}.parquet"))
        for entry in MEASURES.values()
        if f"theory/{entry.source.name}.parquet" in tables.arm.tables
    ]
    for encoding in (name for name in tables.encodings if tables.arm.is_rotary(name)):
        for entry, table in formulas:
            value = entry.compute(table, tables.arm, encoding)
            if value is not None:
                yield encoding, NO_MODEL, Endpoint(entry.name), pd.Series({NO_MODEL: value})
