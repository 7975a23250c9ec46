"""ALiBi: a penalty linear in distance (Press et al. 2022, arXiv 2108.12409)."""

import math
from typing import Any

from hope.catalogue.family import EncodingShape, Family, NoSettings


def slopes(heads: Any, number: int) -> Any:
    """Return the slope of each of the ``heads``, float32: ``2^(-8h/number)`` for h = 1 .. number.

    If ``number`` is no power of 2, the slopes for the power below it come first, then every second
    slope for the power above it, as in the authors' code.

    Args:
        heads: a tensor of indices from 0, int64, of any shape.
        number: the number of heads.
    """
    below = 2 ** math.floor(math.log2(number))
    own, between = (heads + 1) * (8 / below), (2 * (heads - below) + 1) * (4 / below)
    return (-own.where(heads < below, between).float()).exp2()


def bias(settings: NoSettings, shape: EncodingShape, heads: Any, queries: Any, keys: Any) -> Any:
    """Return the penalty; the distances are exact integers up to 2^24."""
    return -slopes(heads, shape.heads) * (queries - keys).float()


FAMILY = Family(
    name="alibi",
    rank=10,
    formula="logit - s_h * (i - j), s_h = 2^(-8h/H)",
    source="Press et al. 2022, arXiv 2108.12409",
    in_short="falls without end",
    over_distance=(
        "The bias falls linearly from 0 and has no lower bound; each head has its own slope. If H is no power of 2, "
        "the slopes for the power below it come first, then every second slope for the power above it."
    ),
    past_length="The bias goes on falling.",
    color="#009E73",
    marker="^",
    marker_size=1.1,
    acts_on="logits",
    bias=bias,
)
