"""The config's sections on the models: their size, their training, and the tasks mixed into the training."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hope.config.data import Windows
from hope.section import Section, Share

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
"""An averaging factor: the weight of the past."""


class Model(Section):
    """The decoder: RMSNorm, SwiGLU, no biases (Touvron et al. 2023, arXiv 2302.13971). Sizes for two cores (ours)."""

    layers: int = Field(4, ge=1, description="decoder layers")
    width: int = Field(96, ge=2, description="size of the residual stream")
    heads: int = Field(3, ge=1, description="query heads; width / heads is the head dimension d")
    kv_heads: int | None = Field(None, ge=1, description="key and value heads; null: as many as heads")
    mlp_width: int = Field(256, ge=1, description="size of the hidden layer of the MLP")
    tied_embeddings: bool = Field(True, description="one matrix for the input and the output embedding")
    norm_epsilon: float = Field(1e-5, gt=0.0, description="added to the mean square in RMSNorm")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @model_validator(mode="after")
    def _divides(self) -> "Model":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"width / heads is {self.head_dim}: rotary encodings need an even number")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")
        return self


WHERE_IT_RUNS = (
    "processes",
    "nodes",
    "hostfile",
    "checkpoint_seconds",
    "log_steps",
    "snapshots",
    "spike_factor",
    "bad_steps",
    "retries",
)
"""Settings of a training that do not change the model; the number of processes changes only rounding."""


class Training(Section):
    """The training of each model: its sizes, its schedule, and where it runs."""

    length: int = Field(128, ge=8, description="tokens per window: the training length L")
    tokens: int = Field(1_800_000, ge=1, description="training tokens per model; rounded up to whole batches")
    batch_windows: int = Field(8, ge=1, description="windows per global batch, over all processes")
    micro_batch_windows: int | None = Field(
        None, ge=1, description="windows per forward pass of a process; null: its whole part of the batch"
    )
    learning_rate: float = Field(3e-3, gt=0.0, description="peak of AdamW's learning rate")
    final_learning_rate: float = Field(1e-6, ge=0.0, description="learning rate at the end of the cosine")
    warmup_steps: int = Field(100, ge=0, description="optimiser steps of linear warm-up")
    weight_decay: float = Field(0.1, ge=0.0, description="weight decay of matrices; norms and encodings get none")
    betas: tuple[Beta, Beta] = Field((0.9, 0.95), strict=False, description="AdamW's averaging factors")
    clip: float = Field(1.0, gt=0.0, description="gradient norm to clip at")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of the forward and backward pass: float32 or bfloat16"
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        0, description="DeepSpeed ZeRO stage, 0 to 3: how much is sharded over the processes"
    )
    offload: bool = Field(False, description="keep the optimiser state in the host's memory")
    activation_checkpointing: bool = Field(
        False, description="recompute each layer in the backward pass: less memory, more time"
    )
    compile: bool = Field(
        False, description="compile the model: faster steps after about a minute; on a CPU it needs a C++ compiler"
    )
    processes: int = Field(1, ge=1, description="processes per node of one training: GPUs, or CPU processes")
    nodes: int = Field(1, ge=1, description="nodes per training")
    hostfile: str | None = Field(
        None,
        description="file with one line per node, HOST slots=N, this node first; null: Slurm or torchrun lists them",
    )
    threads: int = Field(
        1, ge=1, description="CPU threads per process; set here so that results do not depend on --cores"
    )
    checkpoint_seconds: float = Field(30.0, ge=0.0, description="seconds between checkpoints")
    log_steps: int = Field(10, ge=1, description="optimiser steps between points of the loss curve")
    snapshots: int = Field(
        8, ge=0, description="number of snapshots of the weights, after 1/2, 1/4, 1/8, ... of the steps; 0: none"
    )
    spike_factor: float = Field(
        2.0,
        gt=1.0,
        description="report a loss above so many times its median over the last 100 steps, with its batch (ours)",
    )
    bad_steps: int = Field(
        50,
        ge=1,
        description="end the training after so many such steps in a row (ours); a loss that is not finite ends it at "
        "once",
    )
    retries: int = Field(
        2,
        ge=0,
        description="how often the workflow starts a training again that was stopped; a job limit shorter than the "
        "training costs one each time",
    )
    windows: Windows = Windows()

    @model_serializer(mode="wrap")
    def _without_later_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``retries`` at its default: the fingerprints of models older than this key lack it."""
        content: dict[str, Any] = handler(self)
        if self.retries == Training.model_fields["retries"].default:
            content.pop("retries", None)
        return content

    @model_validator(mode="after")
    def _divides(self) -> "Training":
        micro = self.micro_windows
        if micro == 0 or self.batch_windows % (micro * self.world):
            of_nodes = f" on each of nodes {self.nodes}" if self.nodes > 1 else ""
            raise ValueError(
                f"batch_windows {self.batch_windows} is no multiple of processes {self.processes}{of_nodes} "
                f"times micro_batch_windows {self.micro_batch_windows or 1}"
            )
        if self.compile and self.zero_stage == 3:
            raise ValueError("compile goes with zero_stage 0 to 2: stage 3 gathers each layer's weights while it runs")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate is above learning_rate")
        return self

    def what_is_trained(self) -> "Training":
        """Return the same training with the defaults for :data:`WHERE_IT_RUNS`."""
        return self.model_copy(update={key: Training.model_fields[key].default for key in WHERE_IT_RUNS})

    def where_it_runs(self) -> dict[str, Any]:
        """Return the settings of :data:`WHERE_IT_RUNS`."""
        return {key: getattr(self, key) for key in WHERE_IT_RUNS}

    @property
    def world(self) -> int:
        """The number of processes of the training, over all nodes."""
        return self.nodes * self.processes

    @property
    def micro_windows(self) -> int:
        """Windows per forward pass of a process."""
        return self.micro_batch_windows or self.batch_windows // self.world

    @property
    def steps(self) -> int:
        """Optimiser steps of the training."""
        return -(-self.tokens // (self.length * self.batch_windows))

    @property
    def snapshot_steps(self) -> list[int]:
        """Steps after which a snapshot is taken, rising.

        They halve from the end on, so that a larger ``snapshots`` adds earlier ones and moves none. The start and the
        end are left out: the seed gives the one, the model is the other. Steps that round to the same number count
        once.
        """
        halves = (self.steps / 2**number for number in range(1, min(self.snapshots, 64) + 1))
        return sorted({round(step) for step in halves if 1 <= round(step) < self.steps})


class LeadIn(Section):
    """Tasks for the first steps of a training: one that is learned fast makes the others learnable."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(description="share of the steps")
    tasks: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        min_length=1, description="tasks with their shares of the synthetic windows"
    )


class Mixture(Section):
    """Synthetic examples mixed into training, with the loss on their answers only (ours)."""

    share: Share = Field(0.0, description="share of a batch's windows that are synthetic; 0: text alone")
    weight: float = Field(1.0, ge=0.0, description="weight of the synthetic loss beside the text loss")
    tasks: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={},
        description="tasks with their shares of the synthetic windows, such as {copy: 0.7, recall: 0.3}",
    )
    multiples: list[Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        default=[0.125, 0.25, 0.5, 1.0],
        min_length=1,
        description="lengths of the examples, in training lengths, all equally likely",
    )
    lead_in: LeadIn | None = Field(None, description="other tasks for the first steps; null: the same tasks throughout")

    @model_serializer(mode="wrap")
    def _without_later_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``lead_in`` if it is null: the fingerprints of models older than this key lack it."""
        content: dict[str, Any] = handler(self)
        if self.lead_in is None:
            content.pop("lead_in", None)
        return content

    def windows(self, batch: int) -> int:
        """Return how many of the windows of a batch are synthetic."""
        return round(self.share * batch)

    @property
    def all_tasks(self) -> list[str]:
        """The tasks of all steps."""
        return list(dict.fromkeys([*self.tasks, *(self.lead_in.tasks if self.lead_in else ())]))
