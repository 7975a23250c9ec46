"""All measures, one file per subject: each is declared by a decorator of the function that computes it.

``hope.config.measures`` defines what a study measures; this room computes it. ``L`` is the training length.
"""

# isort: off
# Every table lists the measures in this order.
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
