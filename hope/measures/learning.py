"""How fast a task is learned, from the history of a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hope.measures.measure import Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame, Series

HISTORY = Source("model", "history")
LEARNED = 0.9
"""Share of right answers at which a model counts as having learned a task."""


@measure("tokens to 0.9 within L", source=HISTORY, scale="tokens", unit="model", better="lower")
def tokens_to_learn(table: DataFrame, length: int) -> Series:
    """Tokens from which on nine of ten answers of the synthetic examples get more than half of the probability.

    The share of right answers is at least as large. The examples of every step are new. The share must hold to the
    end of training, so where other tasks follow a lead-in, for those too. Infinite for a training that does not
    reach it; one without examples has no value.
    """
    import pandas as pd

    if "likely_answers" not in table or table["likely_answers"].isna().all():
        return pd.Series(dtype="float64")
    points = table.dropna(subset="likely_answers").sort_values("tokens")
    lasting = points.loc[(points["likely_answers"] >= LEARNED)[::-1].cummin()[::-1], "tokens"]
    return pd.Series({0: float(lasting.iloc[0]) if len(lasting) else math.inf})
