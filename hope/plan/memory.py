"""Memory of one device, or of one CPU process, at the fullest moment of a training.

Memory may be fullest at three moments of a step: within the forward and backward pass, where activations shrink as
gradients grow; in the reduction of the processes' gradients; and in the optimiser. DeepSpeed's memory at each is from
its source (0.19.8, stages 1 to 3 of ZeRO, Rajbhandari et al. 2020, arXiv 1910.02054) and measured (docs/planning.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hope.config import Training
from hope.plan.activations import Pass
from hope.plan.sizes import layer_parameters

BUCKET = 500_000_000
"""Gradients that DeepSpeed reduces at once: its default ``reduce_bucket_size``."""
GATHERED = 1_000_000_000
"""Parameters that stage 3 keeps gathered at once, at most: its default ``stage3_max_live_parameters``."""
MOMENTS = 8
"""Bytes that AdamW keeps per parameter: two averages in float32."""
MASTER = 4
"""Bytes of a parameter's float32 copy."""


@dataclass(frozen=True)
class Memory:
    """Bytes in use at one moment.

    Attributes:
        moment: its name.
        weights: the model's weights, in the precision of its computations.
        gradients: complete gradients.
        optimizer: float32 weights and AdamW's averages on the device.
        activations: activations kept by the forward pass, and working memory of the backward pass.
        loss: logits, and the gradients computed with them.
        buffers: DeepSpeed's copies of gradients and gathered parameters.
        host: the optimiser's state in the host's memory; not part of the device's.
    """

    moment: str
    weights: float
    gradients: float
    optimizer: float
    activations: float = 0.0
    loss: float = 0.0
    buffers: float = 0.0
    host: float = 0.0

    @property
    def total(self) -> float:
        """Bytes on the device."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.loss + self.buffers


def fullest(moments: list[Memory]) -> Memory:
    """Return the moment with the most memory in use."""
    return max(moments, key=lambda moment: moment.total)


def training_memory(training: Training, one: Pass, parameters: int, stage: int, world: int) -> list[Memory]:
    """Return the moments of a step, each at its fullest.

    Args:
        training: its precision, accumulation and offload count.
        one: a forward and backward pass.
        parameters: parameters of the model.
        stage: ZeRO stage.
        world: number of processes.
    """
    return _Step(training, one, parameters, stage, world).moments()


@dataclass(frozen=True)
class _Step:
    training: Training
    one: Pass
    parameters: int
    stage: int
    world: int

    def moments(self) -> list[Memory]:
        return [fullest(list(self._pass())), self._reduction(), self._update()]

    @property
    def number(self) -> int:
        return self.one.number

    @property
    def accumulates(self) -> bool:
        return self.training.batch_windows > self.training.micro_windows * self.world

    @property
    def share(self) -> float:
        """Parameters in this process's part."""
        return self.parameters / self.world if self.stage else self.parameters

    @property
    def bucket(self) -> float:
        """Bytes of the bucket: a GPU allocates all of it, a CPU only the pages that are written."""
        whole = BUCKET if self.one.kind == "gpu" else min(BUCKET, self.parameters)
        return whole * self.number

    def _standing(self, moment: str) -> Memory:
        """Return the memory in use at every moment."""
        master = MASTER if self.stage or self.number == 2 else 0
        state = (master + MOMENTS) * self.share
        away = self.training.offload and self.stage > 0 and self.one.kind == "gpu"
        held = Memory(
            moment,
            weights=self.number * (self.share if self.stage == 3 else self.parameters),
            # Stage 3 allocates its part of the gradients from the start.
            gradients=self.number * self.share if self.stage == 3 and not away else 0.0,
            optimizer=0.0 if away else state,
            # Besides the state: this part's gradients in float32, and a copy of its weights.
            host=state + (4 + self.number) * self.share if away else 0.0,
        )
        if self.stage < 3:
            return held
        gathered = self.number * min(GATHERED, self.parameters)
        return replace(held, buffers=self.bucket + gathered)

    def _before(self) -> float:
        """Return the bytes of gradients of earlier micro-batches."""
        if not self.accumulates or self.stage == 3:
            return 0.0
        return self.number * (self.share if self.stage == 2 else self.parameters)

    def _pass(self) -> Iterator[Memory]:
        """Yield the moments of the last micro-batch's forward and backward pass."""
        one, held, before = self.one, self._standing("forward and backward pass"), self._before()
        held = replace(held, gradients=held.gradients + before)
        kept = one.kept + one.last_norm
        yield replace(held, activations=kept, loss=one.loss_forward)
        yield replace(held, activations=kept, loss=one.loss_backward)
        layer = layer_parameters(one.shape) * self.number
        # The gradient of the output projection comes first; if tied, it waits for the embedding's.
        grown = float(one.table)
        for index in reversed(range(one.shape.layers)):
            yield self._with_gradients(
                replace(held, activations=one.kept_below(index) + one.within_layer), grown, one.table + layer
            )
            grown += layer
        # The embedding's own gradient is a whole table, added to the projection's and to earlier ones.
        own = one.table * (3 if self.accumulates and self.stage < 2 else 1)
        yield self._with_gradients(held, self.number * self.parameters, own)

    def _with_gradients(self, held: Memory, done: float, working: float) -> Memory:
        """Return ``held`` with the gradients of higher layers (``done``), and those being computed (``working``).

        Without ZeRO they stay where they are, or are added to earlier ones; stage 1 copies them into its bucket,
        stages 2 and 3 move them there.
        """
        own = done if self.stage < 2 and not self.accumulates else 0.0
        bucket = 0.0
        if self.stage in (1, 2):
            bucket = self.bucket if self.one.kind == "gpu" else min(done, self.bucket)
        return replace(held, gradients=held.gradients + own + working, buffers=held.buffers + bucket)

    def _reduction(self) -> Memory:
        """Return the moment at which the processes' gradients are reduced."""
        held, size = self._standing("reduction of the gradients"), self.number * self.parameters
        flat = min(size, BUCKET * self.number)
        part = self.number * self.share
        if self.stage == 0:
            # A single process in float32 has nothing to reduce.
            alone = self.world == 1 and self.number == 4
            return replace(held, gradients=size, buffers=0.0 if alone else flat)
        if self.stage == 1:
            return replace(held, gradients=size, buffers=self.bucket)
        if self.stage == 2:
            kept = part * self.accumulates + part * (self.world == 1)
            return replace(held, gradients=kept, buffers=self.bucket + (flat if self.world > 1 else 0.0))
        return replace(held, buffers=held.buffers + flat)

    def _update(self) -> Memory:
        """Return the moment of the optimiser's step, in which gradients exist in float32."""
        held, part = self._standing("optimiser"), self.number * self.share
        if self.stage == 0:
            copies = 4.0 * self.parameters if self.number == 2 else 0.0
            return replace(held, gradients=self.number * self.parameters, buffers=copies)
        single = 0.0 if held.host else (4.0 * self.share if self.number == 2 else 0.0)
        if self.stage == 3:
            return replace(held, buffers=held.buffers + single)
        return replace(held, gradients=part, buffers=part + single)
