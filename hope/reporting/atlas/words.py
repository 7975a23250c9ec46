"""Texts of the atlas about all encodings; the texts about each encoding stand with its family."""

NOTATION = """
A query is at position m and a key at n (i and j in the formulas of a bias); D = m - n is their distance. L is the
training length, d the head dimension, H the number of query heads, width that of the residual stream, b a base. In a
rotation j numbers the components, pairs of dimensions, from fast to slow; theta_j is the angle of component j per
token, and K the number of components that turn. A_j is the length of component j of the query times that of the key,
and phi_j the angle between them, so that q.k = sum_j A_j cos(phi_j). g(D) = (2/d) sum_j cos(D theta_j) is the mean
kernel: the logit of a query and a key whose entries are all equal, relative to distance 0. The summation bound is
(2/d) sum_i |sum_{j<i} exp(i D theta_j)| (Su et al. 2021, section 3.4.3), also relative to distance 0; it depends on
the order of the components. A bias is added to the logits after their scaling by d^(-1/2).
"""

READING = """
The pictures show encodings with their initial parameters (seed 0), by where they act: the logit of a query and a key
whose entries are all 1, the bias, or the inner product of the vectors added to two embeddings. Thin lines are single
distances, bold ones means over an octave, dotted grey ones the summation bound. Past L the background is shaded.
"""
