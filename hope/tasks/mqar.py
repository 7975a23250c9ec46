"""Multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927, section 3).

::

    k1 v1 k2 v2 k3 v3 | k2 v2 . . k1 v1 . . . . . k3 v3 . .
                           answer    answer          answer

All bindings come first; each key comes again once, at a random place, followed by its value. As in Zoology the gaps
follow a power law, so that most keys come again soon; unlike there, later tokens may attend to given answers.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import FILLER, BoundTask, BuiltIn, Random, check_pairs, interleaved
from hope.tasks.task import Example


class Mqar(BuiltIn):
    """Multi-query associative recall: bindings, then scattered keys (Arora et al. 2023, arXiv 2312.04927)."""

    pairs: int = Field(4, ge=1, description="bindings per prompt")
    alphabet: int = Field(64, ge=2, description="distinct tokens that keys and values are drawn from")
    power: float = Field(
        0.1,
        gt=0.0,
        le=1.0,
        description="the probability of a gap before a key comes again is ~ gap^(power - 1); at 1 all are alike",
    )
    filler: int = Field(FILLER, ge=1, description="distinct tokens of the filler")

    sizes = ("alphabet", "filler")
    later = ("filler",)

    @model_validator(mode="after")
    def _enough(self) -> "Mqar":
        check_pairs("pairs", self.pairs, self.alphabet)
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return bindings, then their keys again; short prompts have fewer of them."""
        import numpy as np

        alphabet, filler = bound.sets
        pairs = min(self.pairs, length // 4)
        keys, values = np.split(random.choice(alphabet, 2 * pairs, replace=False), 2)
        cells = np.arange(1, (length - 2 * pairs) // 2 + 1)
        likely = cells ** (self.power - 1.0)
        # Cells of two tokens, one per key, which do not overlap.
        starts = 2 * pairs + 2 * (random.choice(cells, pairs, replace=False, p=likely / likely.sum()) - 1)
        tokens = random.choice(filler, length).astype(np.int64)
        tokens[: 2 * pairs] = interleaved(keys, values)
        tokens[starts], tokens[starts + 1] = keys, values
        answer = np.zeros(length, dtype=bool)
        answer[starts + 1] = True
        return Example(tokens, answer, alphabet)
