"""The components that an intervention changes: the activated ones, and those they are compared with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hope.analysis.activation import activated_components
from hope.analysis.components import Components, turns
from hope.seeding import generator

DRAWS = 4
"""Random sets, and matched sets, over which effects are averaged."""
COMPONENT_SETS = ("activated", "slow", "fast", "random", "matched")
TRIED = 1024
"""Random orders of the other components that are searched for a set of the wanted share."""


@dataclass(frozen=True)
class ComponentSet:
    """Sets of components that are changed one set at a time, with their effects averaged.

    Attributes:
        name: one of :data:`COMPONENT_SETS`, or ``none``.
        sets: indices of the components of each.
        variance_share: the share of the logit variance that a set carries, mean over the sets.
    """

    name: str
    sets: list[list[int]]
    variance_share: float = 0.0

    def labels(self) -> list[str]:
        """Return the labels of the table: each component of a single set, or one label per set, as in ``1+4+6``."""
        if len(self.sets) == 1:
            return [str(component) for component in self.sets[0]]
        return ["+".join(map(str, chosen)) for chosen in self.sets]


def component_sets(components: Components, share: float) -> list[ComponentSet]:
    """Return the sets of an intervention, chosen on the first documents that ``components`` saw; no empty ones.

    - ``activated``: :func:`hope.analysis.activation.activated_components`.
    - ``slow``: the components that turn less than once within L or not at all; HoPE stops these.
    - ``fast``: those that turn at least once.
    - ``random``: as many components as are activated, drawn from the other turning ones.
    - ``matched``: other turning components, any number, that together carry about the same share of the logit
      variance as the activated ones (:func:`matched_sets`).

    Args:
        components: the measured components.
        share: the share of the components that counts as activated.
    """
    frequencies, shares = components.frequencies, components.chosen_shares()
    activated, others = activated_components(components.spread(), frequencies, share)
    once = turns(frequencies, components.length) >= 1
    candidates = {
        "activated": [activated],
        "slow": [np.flatnonzero(~once).tolist()],
        "fast": [np.flatnonzero(once).tolist()],
        "random": random_sets(len(activated), others),
        "matched": matched_sets(activated, others, shares),
    }
    groups = []
    for name in COMPONENT_SETS:
        sets = [chosen for chosen in candidates[name] if chosen]
        if sets:
            groups.append(ComponentSet(name, sets, float(np.mean([shares[chosen].sum() for chosen in sets]))))
    return groups


def random_sets(count: int, others: Sequence[int]) -> list[list[int]]:
    """Return up to :data:`DRAWS` distinct sets of ``count`` of the ``others``, a function of the arguments alone."""
    draw = generator("analysis", "random components", count, "of", *others)
    sets: list[list[int]] = []
    while len(sets) < min(DRAWS, math.comb(len(others), count)):
        chosen = sorted(draw.choice(others, count, replace=False).tolist())
        if chosen not in sets:
            sets.append(chosen)
    return sorted(sets)


def matched_sets(activated: Sequence[int], others: Sequence[int], shares: NDArray[np.float64]) -> list[list[int]]:
    """Return up to :data:`DRAWS` distinct sets of the ``others`` with about the summed share of ``activated``.

    In each of :data:`TRIED` random orders of the others, the leading components whose sum comes nearest are a
    candidate; the nearest candidates are returned. Where all others together carry less, they are the nearest.

    Args:
        activated: the components to match.
        others: the components to choose from.
        shares: of the logit variance, ``[d/2]``.
    """
    if not activated:
        return []
    draw = generator("analysis", "matched components", *activated, "of", *others)
    orders, wanted = draw.permuted(np.tile(np.array(others), (TRIED, 1)), axis=1), shares[list(activated)].sum()
    ends = np.abs(shares[orders].cumsum(axis=1) - wanted).argmin(axis=1)
    drawn = {tuple(sorted(order[: end + 1].tolist())) for order, end in zip(orders, ends, strict=True)}
    by_gap = sorted(drawn, key=lambda chosen: (abs(shares[list(chosen)].sum() - wanted), chosen))
    return sorted(list(chosen) for chosen in by_gap[:DRAWS])
