"""Few-shot following: examples show a mapping that is new in each prompt, then every input is asked.

::

    . . x2 y2 x1 y1 x1 y1 x2 y2 . . . x1 | y1   x2 | y2
        examples                           answer    answer

The setting ``examples`` varies the number of examples, ``depths`` their distance: the place of the block of examples in
the filler. Without ``examples`` as many are shown as fit, without filler.

All inputs and outputs of a prompt differ and come from one alphabet. If outputs have their own set, a small model
learns to name any output of the prompt, is right once in ``inputs`` times, and gets no further.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import FILLER, BoundTask, BuiltIn, Depths, Random, check_pairs, interleaved, place
from hope.tasks.task import Example


class FewShot(BuiltIn):
    """Follow a mapping that examples show, new in each prompt."""

    inputs: int = Field(4, ge=1, description="distinct inputs of the mapping; each is asked once, after the examples")
    examples: int | None = Field(
        None, ge=1, description="number of examples; the rest of the prompt is filler; null: as many as fit"
    )
    alphabet: int = Field(64, ge=2, description="distinct tokens that inputs and outputs are drawn from")
    depths: Depths = Field(
        default=[],
        description="places of the block of examples, such as [0.0, 0.5, 1.0]; they need `examples`",
    )
    filler: int = Field(FILLER, ge=1, description="distinct tokens of the filler")

    sizes = ("alphabet", "filler")
    later = ("filler",)

    @model_validator(mode="after")
    def _enough(self) -> "FewShot":
        check_pairs("inputs", self.inputs, self.alphabet)
        if self.examples is not None and self.examples < self.inputs:
            raise ValueError(
                f"examples {self.examples} is below inputs {self.inputs}: each is shown before it is asked"
            )
        if self.depths and self.examples is None:
            raise ValueError("depths need examples: without a number of examples, they fill the prompt")
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4 if self.examples is None else 2 * (self.examples + self.inputs)

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return examples, in which each input comes at least once, and the questions in another random order."""
        import numpy as np

        alphabet, filler = bound.sets
        count = min(self.inputs, length // 4)
        shown = length // 2 - count if self.examples is None else self.examples
        inputs, outputs = np.split(random.choice(alphabet, 2 * count, replace=False), 2)
        order = random.permutation(np.concatenate((np.arange(count), random.integers(count, size=shown - count))))
        asked = random.permutation(count)

        context = length - 2 * count
        start = place(random, 1.0 if self.examples is None else depth, context - 2 * shown)
        tokens = random.choice(filler, length).astype(np.int64)
        tokens[start : start + 2 * shown] = interleaved(inputs[order], outputs[order])
        tokens[context:] = interleaved(inputs[asked], outputs[asked])
        answer = np.zeros(length, dtype=bool)
        answer[context + 1 :: 2] = True
        taught = answer.copy()
        first = np.unique(order, return_index=True)[1]
        # Training also learns from examples whose input was shown before.
        taught[start + 1 + 2 * np.setdiff1d(np.arange(shown), first)] = True
        return Example(tokens, answer, alphabet, taught)
