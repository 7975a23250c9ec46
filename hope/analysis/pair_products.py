"""Products of the pairs (j, j + d/2) of queries and keys: the components of a logit."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Products:
    """Products of neighbouring queries with their keys, per component, scaled as the logits are.

    A pair is a complex number, ``q_j + i q_{j+d/2}``. A rotation turns the product of query m with the conjugate of
    key n by ``(m - n) theta_j``; its real part is the contribution of component j to the logit.

    Attributes:
        by_distance: sums over the queries, complex64 ``[documents, heads, distances, d/2]``.
        covariance: of each contribution with the logit, over the keys of a query, mean over the queries, float32
            ``[documents, heads, d/2]``; its sum over components is the variance of the logit.
    """

    by_distance: Tensor
    covariance: Tensor


def pair_products(queries: Tensor, keys: Tensor, scale: float) -> Products:
    """Return the products of queries with all keys up to their own positions.

    Args:
        queries: the last Q of the positions, ``[documents, heads, Q, d]``.
        keys: of all positions, for every query head, ``[documents, heads, positions, d]``.
        scale: factor of the inner products in the logits.
    """
    count, length = queries.shape[2], keys.shape[2]
    turned = as_pairs(queries) * scale
    backwards = as_pairs(keys).flip(2).conj()
    shape = *turned.shape[:2], length, turned.shape[-1]
    sums = torch.zeros(shape, dtype=torch.complex64, device=queries.device)
    covariance = torch.zeros(*shape[:2], shape[-1], device=queries.device)
    for query in range(count):
        # In reverse order the keys later than this query come first, then its key at distance 0.
        later = count - 1 - query
        product = backwards[:, :, later:] * turned[:, :, query, None]
        sums[:, :, : length - later] += product
        added = product.real
        logits = added.sum(dim=-1)
        centred = (logits - logits.mean(dim=-1, keepdim=True)) / logits.shape[-1]
        covariance += torch.einsum("bhk,bhkc->bhc", centred, added) / count
    return Products(sums, covariance)


def as_pairs(heads: Tensor) -> Tensor:
    """Return vectors ``[..., d]`` as complex numbers ``[..., d/2]``, one per component."""
    return torch.complex(*heads.float().chunk(2, dim=-1))
