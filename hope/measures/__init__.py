"""Everything that is measured, a file a subject: each measure is declared above the function that computes it.

Unlike ``hope.config.measures``, which says what a study measures, these compute it. ``L`` is the training length.
"""

# isort: off
# The measures stand in this order in every table.
from hope.measures import losses, retrieval, attention, interventions, kernels, learning

# isort: on
from hope.measures.measure import KEYS, MEASURES, QUALIFIERS, Endpoint, Measure, Source, known, length_name, measured

__all__ = [
    "KEYS",
    "MEASURES",
    "QUALIFIERS",
    "Endpoint",
    "Measure",
    "Source",
    "attention",
    "interventions",
    "kernels",
    "known",
    "learning",
    "length_name",
    "losses",
    "measured",
    "retrieval",
]
