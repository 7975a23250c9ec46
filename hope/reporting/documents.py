"""The documents of a corpus with their tokens, as the report shows them."""

import numpy as np
import pandas as pd

from hope.data.prepared import DOCUMENTS
from hope.paths import StudyPaths

SIDES = ("train", "validation")


def read_documents(paths: StudyPaths, key: str) -> pd.DataFrame:
    """Return the documents of a corpus; empty if it was not tokenized to its end.

    Args:
        paths: of the study.
        key: of the data.

    Returns:
        One row per document: ``split``, ``source``, ``characters`` and ``tokens``, the end token included.
    """
    table = paths.corpus(key) / DOCUMENTS
    ends = {side: paths.data(key) / side / "documents.bin" for side in SIDES}
    if not all(path.exists() for path in (table, *ends.values())):
        return pd.DataFrame()
    documents = pd.read_parquet(table, columns=["split", "source", "characters"])
    documents["tokens"] = 0
    for side, path in ends.items():
        documents.loc[documents["split"] == side, "tokens"] = np.diff(np.fromfile(path, dtype="<i8"))
    return documents
