"""How figures draw one encoding."""

from dataclasses import dataclass
from typing import Any

MARKER = 4.6
"""Size of a marker, in points."""

Dash = tuple[float, tuple[float, ...]] | str
Marker = str | tuple[int, int, int]
"""A letter of matplotlib's, or the corners of a star, its kind and its turn in degrees."""

# The line shows how position comes in.
ON_QUERIES_AND_KEYS: Dash = "-"
ON_LOGITS: Dash = (0, (5.0, 1.6))
ON_EMBEDDINGS: Dash = (0, (3.0, 1.2, 1.0, 1.2))
NOWHERE: Dash = (0, (1.0, 1.4))


@dataclass(frozen=True)
class EncodingStyle:
    """How one encoding is drawn. Colour and marker of a family are its own.

    Attributes:
        color: of lines and markers.
        marker: at some points of a line.
        dash: one of the four above for a family; a preset and a user's own encoding have others.
        size: how much larger than others the marker is drawn: stars have little area.
        shades: matplotlib's map of colours that grow darker with the base, for a family whose theoretical kernel is
            listed and drawn at several bases.
    """

    color: str
    marker: Marker
    dash: Dash
    size: float = 1.0
    shades: str | None = None

    def line(self, **changes: Any) -> dict[str, Any]:
        """Return the keywords of a line, those in ``changes`` replaced; a ``markersize`` is that of a disk."""
        look = {"color": self.color, "marker": self.marker, "linestyle": self.dash, **changes}
        return look | {"markersize": self.size * changes.get("markersize", MARKER)}
