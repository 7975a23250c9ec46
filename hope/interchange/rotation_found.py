"""How a model of transformers turns its queries and keys: read from its rotary module, and checked on the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hope.encodings.rotary import turn as turn_heads

PROBES = (1, 3, 16)
"""Positions at which the rotation of a single token is compared with position 0."""
TOLERANCE = 1e-4
"""Largest difference of a turned query from the expected one, as a share of its length."""


@dataclass(frozen=True)
class Turn:
    """The rotation of one layer.

    Attributes:
        frequencies: of the components, radians per token, float64 ``[d/2]``; 0 for those that stand still.
        order: dimensions of a head in the order of this project, in which component j is the pair (j, j + d/2).
    """

    frequencies: Tensor
    order: tuple[int, ...]

    @property
    def still(self) -> bool:
        """Whether no component turns."""
        return not bool(self.frequencies.any())

    def same_as(self, other: "Turn") -> bool:
        """Return whether two layers turn alike."""
        return self.order == other.order and torch.equal(self.frequencies, other.frequencies)


Shown = Sequence[tuple[Tensor, Tensor]]
"""Queries and keys of a single token in each layer, ``[heads, head_dim]``."""


def find_turns(model: nn.Module, at: dict[int, Shown]) -> list[Turn] | None:
    """Return the rotation of each layer, or None if one is not found.

    A single token attends to itself alone, so its hidden states do not depend on its position where positions enter by
    rotation, and its queries and keys at two positions differ by the rotation between them.

    Args:
        model: of transformers; its rotary modules hold frequencies in buffers named ``inv_freq``.
        at: queries and keys of one token by its position: 0 and :data:`PROBES`.
    """
    spectra = _spectra(model)
    if not spectra:
        return None
    turns = []
    for layer in range(len(at[0])):
        shown = {position: found[layer] for position, found in at.items()}
        candidates = _candidates(sorted(spectra), shown[0][0].shape[-1])
        turn = next((one for one in candidates if _fits(one, shown)), None)
        if turn is None:
            return None
        turns.append(turn)
    return turns


def has_spectra(model: nn.Module) -> bool:
    """Return whether a model of transformers has a rotary module."""
    return bool(_spectra(model))


def _spectra(model: nn.Module) -> set[tuple[float, ...]]:
    """Return the frequencies of its rotary modules."""
    return {
        tuple(buffer.tolist())
        for name, buffer in model.named_buffers()
        if name.endswith("inv_freq") and "original" not in name and buffer.dim() == 1
    }


def _candidates(spectra: Sequence[tuple[float, ...]], head_dim: int) -> Iterator[Turn]:
    """Yield the rotations that a head may have: none, or by a spectrum over its leading or trailing dimensions."""
    half = head_dim // 2
    yield Turn(torch.zeros(half, dtype=torch.float64), tuple(range(head_dim)))
    for spectrum in spectra:
        turned = len(spectrum)
        if turned > half:
            continue
        frequencies = torch.zeros(half, dtype=torch.float64)
        frequencies[:turned] = torch.tensor(spectrum, dtype=torch.float64)
        for first in dict.fromkeys((0, head_dim - 2 * turned)):
            halves = [(first + j, first + j + turned) for j in range(turned)]
            neighbours = [(first + 2 * j, first + 2 * j + 1) for j in range(turned)]
            for pairs in (halves, neighbours):
                moved = {row for pair in pairs for row in pair}
                rest = [row for row in range(head_dim) if row not in moved]
                middle = len(rest) // 2
                firsts = [one for one, _ in pairs] + rest[:middle]
                yield Turn(frequencies, tuple(firsts + [other for _, other in pairs] + rest[middle:]))


def _fits(turn: Turn, shown: dict[int, tuple[Tensor, Tensor]]) -> bool:
    """Return whether queries and keys at all positions are those at 0, turned."""
    order = list(turn.order)
    for position, heads in shown.items():
        angles = position * turn.frequencies
        for before, after in zip(shown[0], heads, strict=True):
            expected = turn_heads(before.double()[:, order], angles.cos(), angles.sin())
            gap = (after.double()[:, order] - expected).norm()
            # Zeros fit every rotation and so show none.
            if not gap <= TOLERANCE * expected.norm() or not expected.any():
                return False
    return True
