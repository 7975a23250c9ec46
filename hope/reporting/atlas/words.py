"""What the atlas says of each family beside what its catalogue entry says."""

from typing import NamedTuple


class Note(NamedTuple):
    """What an encoding does to a logit.

    Attributes:
        short: over distance, in a few words.
        bound: over distance, with the bound that holds.
        past: at positions and distances past the training length L.
    """

    short: str
    bound: str
    past: str


_ROTATION = "Component j adds A_j cos(D theta_j + phi_j) to the logit."
_FAR = "Components that complete no turn within L reach angles D theta_j that training did not show."
_DRAWN = "The picture has the numbers that training starts from, drawn at random."

NOTES = {
    "rope": Note(
        "bounded; g(D) to 0",
        f"{_ROTATION} It stays within ± sum_j A_j at every distance, and content decides which distance it favours. "
        "The mean of g(D) over far distances is 0.",
        _FAR,
    ),
    "hope": Note(
        "bounded; g(D) to a floor",
        f"{_ROTATION} Those that stand still add the same at every distance, the K others stay within ± the sum of "
        "their A_j. The mean of g(D) over far distances is 1 - 2K/d.",
        "Each component that turns completes a turn within L: no angle is new, only combinations of them are.",
    ),
    "p_rope": Note(
        "bounded; g(D) to a floor",
        f"{_ROTATION} As HoPE, but K = int(p d/2) whatever L is. The mean of g(D) over far distances is 1 - 2K/d.",
        "As RoPE, for those of the first K components that complete no turn within L.",
    ),
    "partial_rope": Note(
        "bounded; g(D) to a floor",
        f"{_ROTATION} The r rotated dimensions have a whole spectrum; the others add the same at every distance. The "
        "mean of g(D) over far distances is 1 - r/d.",
        _FAR,
    ),
    "clipped_rope": Note(
        "bounded; g(D) to a floor",
        f"{_ROTATION} Soft: slow components are slowed down, the last one to 0. Hard: they stand still, and unless "
        "count says otherwise this is HoPE. The mean of g(D), far enough for the slowest to turn, is 1 - 2K/d.",
        "Soft: slow components reach new angles, but smaller ones than RoPE's. Hard: as HoPE.",
    ),
    "rotary": Note(
        "bounded",
        f"{_ROTATION} It stays within ± sum_j A_j at every distance. The picture has the default, RoPE's frequencies.",
        "As the given frequencies have it.",
    ),
    "xpos": Note(
        "falls to 0",
        "Component j adds A_j zeta_j^(D/512) cos(D theta_j + phi_j), zeta_j from 0.29 to almost 1: the logit stays "
        "within ± sum_j A_j zeta_j^(D/512), which falls to 0, for the fast components first.",
        "As RoPE, ever fainter.",
    ),
    "pope": Note(
        "bounded; mean to 0",
        "The logit stays within ± sum_c softplus(q_c) softplus(k_c) at every distance. Each of the d dimensions is a "
        "component of its own, with a magnitude that position does not touch. The picture has phases delta of 0, the "
        "default start.",
        "As RoPE, for components with theta_c below 2 pi / L.",
    ),
    "darope": Note(
        "bounded",
        "Fast components are HoPE's. The others turn by theta_j (c_m - c_n), both clocks between 0 and L: the logit "
        "stays within ± sum_j A_j. Content moves the clocks through w, so that D alone decides nothing; the pictures "
        "have w = 0.",
        "From position L on the position's part of the clock stays as it is: slow components then tell tokens apart by "
        "their content alone.",
    ),
    "none": Note(
        "constant",
        "Nothing is added at any distance. Order shows through the causal mask alone.",
        "Nothing changes but the number of keys.",
    ),
    "alibi": Note(
        "falls without end",
        "What is added falls from 0 linearly and has no lower bound; slopes differ by head. Where H is no power of 2, "
        "the slopes of the power below it come first, then every second one of the power above it.",
        "Goes on falling.",
    ),
    "kerple_log": Note(
        "falls without end, slowly",
        "What is added falls from 0 as a logarithm and has no lower bound: a key's weight falls like a power of the "
        f"distance. {_DRAWN}",
        "Goes on falling.",
    ),
    "kerple_power": Note(
        "falls without end",
        "What is added falls from 0 as a power of the distance, from nearly flat to quadratic, and has no lower bound. "
        f"{_DRAWN}",
        "Goes on falling.",
    ),
    "t5": Note(
        "bounded; constant far out",
        "One of 32 numbers of the head is added: each distance below 16 has one of its own, wider ranges share the "
        f"others, and the last serves all distances from max_distance on. {_DRAWN}",
        "Where max_distance is at most L, the last number goes on serving. Where it is more, distances from L to "
        "max_distance have numbers that were not trained.",
    ),
    "fire": Note(
        "bounded",
        "The MLP is fed a number from 0, at the query, to 1, so that what it adds has the same bounds at any length; "
        f"one distance is another number for another query. {_DRAWN}",
        "What is fed in stays from 0 to 1, and distances are told apart less finely.",
    ),
    "sinusoidal": Note(
        "bounded; product falls",
        "The vectors of two positions have the inner product sum_i cos(D b^(-2i/width)). A logit sees them through the "
        "projections of queries and keys, and so depends on m and n, not on D alone.",
        "Slow waves reach values that training did not show.",
    ),
    "learned": Note(
        "none at the start",
        "None before training: rows are drawn independently, and their inner products are noise around 0 of standard "
        "deviation width^(-1/2), relative to that of a row with itself. What training makes of them is learned for "
        "each pair of positions apart.",
        "There is no position L or later: an error, never a wrap.",
    ),
}

NOTATION = """
A query stands at position m and a key at n (i and j in the formulas of a bias); D = m - n is their distance. L is the
training length, d the head dimension, H the number of query heads, width that of the residual stream, b a base. In a
rotation j numbers the components, pairs of dimensions, from fast to slow; theta_j is the angle of component j a token,
and K the number of components that turn. A_j is the length of component j of the query times that of the key, and phi_j
the angle between them, so that q.k = sum_j A_j cos(phi_j). g(D) = (2/d) sum_j cos(D theta_j) is the mean kernel: the
logit of a query and a key whose entries are all equal, relative to that at distance 0. The summation bound is
(2/d) sum_i |sum_{j<i} exp(i D theta_j)| (Su et al. 2021, section 3.4.3), also relative to distance 0; it depends on the
order of the components. A bias is added to the logits after they were scaled by d^(-1/2).
"""

READING = """
The pictures are drawn from the encodings as a model starts with them (seed 0), asked by the hook through which they
act: the logit of a query and a key whose entries are all 1, the bias, or the inner product of the vectors added to two
embeddings. Thin lines are single distances, bold ones means over an octave, dotted grey ones the summation bound. The
ground is shaded past L.
"""
