"""The training loop of one process; all processes of a training run it together."""

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import save_model
from hope.tables import write_table
from hope.training.batches import Batches
from hope.training.checkpoints import load_checkpoint, save_checkpoint
from hope.training.engine import full_weights, gradient_norm, make_engine
from hope.training.fingerprint import fingerprint
from hope.training.schedule import learning_rate

HEARTBEAT_SECONDS = 5.0

Live = Callable[[dict[str, float]], None]


@dataclass
class History:
    """The loss curve: one point every ``log_steps`` steps, each the mean since the last.

    Attributes:
        points: the points so far.
        sums: text and synthetic loss summed since the last point; on the device, so that no step waits for it.
        steps: steps since the last point.
        since: when the last point was made.
    """

    points: list[dict[str, float]] = field(default_factory=list)
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    steps: int = 0
    since: float = field(default_factory=time.monotonic)

    def pooled(self) -> torch.Tensor:
        """Return the sums over all processes, and keep them on the first alone; every process must call."""
        total = self.sums.clone()
        if dist.get_world_size() > 1:
            dist.all_reduce(total)
        self.sums = total * (dist.get_rank() == 0)
        return total

    def write(self, path: Path) -> None:
        """Write the points as a table, a row each."""
        write_table(path, {name: [point[name] for point in self.points] for name in self.points[0]})


class Stop:
    """Notes SIGTERM and SIGINT, so that the loop can write a checkpoint before it ends."""

    def __init__(self) -> None:
        """Take over both signals."""
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


def train(
    stage: config.TrainStage, data: Path, output: Path, checkpoints: Path, device: torch.device, live: Live | None
) -> None:
    """Train one model to its end, from its last checkpoint if there is one.

    The process group must exist. Writes ``model.safetensors``, ``config.json`` and ``history.parquet``.

    Args:
        stage: all that the training depends on.
        data: the study's data folder.
        output: where the model goes.
        checkpoints: the training's own checkpoint folder.
        device: where this process computes.
        live: is told of each point of the loss curve; only on the first process.

    Raises:
        UserError: the data are too short, or the loss is no longer a number.
        SystemExit: a signal ended the training; its state is in a checkpoint.
    """
    settings, rank = stage.training, dist.get_rank()
    stop = Stop()
    corpus = TokenCorpus.open(data / "train", verify=rank == 0)
    batches = Batches(stage, corpus)
    decoder = Decoder(
        stage.model, corpus.vocabulary, settings.length, stage.encoding, settings.activation_checkpointing
    )
    engine = make_engine(settings, decoder.initialise(stage.seed), device)
    history = History()
    start = 0
    resumed = load_checkpoint(engine, checkpoints)
    if resumed:
        start, state = resumed
        history.points = state["points"]
        sums, history.steps = state["since_last_point"]
        history.sums = torch.tensor(sums, dtype=torch.float64) * (rank == 0)
        if rank == 0:
            print(f"resumed at step {start} of {settings.steps}", flush=True)
    checkpointed = beat = time.monotonic()
    for step in range(start, settings.steps):
        done = step + 1
        at_point = done % settings.log_steps == 0 or done == settings.steps
        sums, norm = _step(engine, settings, batches, step, device, measure=at_point)
        history.sums = history.sums.to(device) + sums
        history.steps += 1
        if at_point:
            point = _point(stage, history, done, float(norm) if norm is not None else math.nan)
            if rank == 0 and live:
                live(point)
            if rank == 0 and (time.monotonic() - beat > HEARTBEAT_SECONDS or done == settings.steps):
                beat = time.monotonic()
                _heartbeat(point, settings)
        ending = _any_process(stop.signal != 0, device)
        due = _any_process(time.monotonic() - checkpointed > settings.checkpoint_seconds, device)
        if (ending or due) and done < settings.steps:
            since = (history.pooled().tolist(), history.steps)
            save_checkpoint(engine, checkpoints, done, {"points": history.points, "since_last_point": since})
            checkpointed = time.monotonic()
        if ending and done < settings.steps:
            if rank == 0:
                print(f"stopped by a signal at step {done} of {settings.steps}; run again to go on", flush=True)
            sys.exit(128 + (stop.signal or signal.SIGTERM))
    weights = full_weights(engine)
    if rank == 0:
        history.write(output / "history.parquet")
        save_model(decoder, weights, stage, fingerprint(stage, corpus.digest), output)
        shutil.rmtree(checkpoints, ignore_errors=True)


def _step(
    engine: Any,
    settings: config.Training,
    batches: Batches,
    step: int,
    device: torch.device,
    measure: bool,
) -> tuple[torch.Tensor, float | torch.Tensor | None]:
    """Do one optimiser step.

    Returns:
        This process's parts of the text and the synthetic loss, float64 ``[2]``; and, if ``measure``,
        the norm of the whole gradient before it was clipped.
    """
    batch = batches.batch(step)
    rows = slice(dist.get_rank(), None, dist.get_world_size())
    tokens, weights = torch.from_numpy(batch.tokens[rows]), torch.from_numpy(batch.weights[rows])
    synthetic = torch.from_numpy(batch.synthetic[rows])
    micro = engine.train_micro_batch_size_per_gpu()
    # DeepSpeed averages over processes and micro-batches, whereas the weights make a sum.
    factor = settings.batch_windows // micro
    for group in engine.optimizer.param_groups:
        group["lr"] = learning_rate(settings, step)
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for part in range(0, len(tokens), micro):
        piece = slice(part, part + micro)
        weight = weights[piece].to(device)
        loss, losses = engine(tokens[piece].to(device), weight)
        engine.backward(loss * factor)
        norm = gradient_norm(engine) if measure and part + micro >= len(tokens) else None
        engine.step()
        parts = losses * weight
        answered = synthetic[piece].to(device)
        total = parts.sum(dtype=torch.float64)
        answers = (parts * answered).sum(dtype=torch.float64)
        sums += torch.stack((total - answers, answers))
    return sums, norm if norm is not None else engine.get_global_grad_norm()


def _point(stage: config.TrainStage, history: History, done: int, norm: float) -> dict[str, float]:
    """Close the current point of the loss curve: every process must call."""
    settings = stage.training
    text, synthetic = (history.pooled() / history.steps).tolist()
    now = time.monotonic()
    tokens_per_step = settings.batch_windows * settings.length
    weight = stage.mixture.weight
    point = {
        "step": done,
        "tokens": done * tokens_per_step,
        "time": time.time(),
        "loss": text + synthetic,
        "text_loss": text,
        "synthetic_loss": synthetic / weight if weight else math.nan,
        "learning_rate": learning_rate(settings, done - 1),
        "gradient_norm": norm,
        "tokens_per_second": history.steps * tokens_per_step / max(1e-9, now - history.since),
    }
    if not math.isfinite(point["loss"]):
        raise UserError(
            f"{stage.encoding.name}, seed {stage.seed}: the loss is no number at step {done}; "
            "lower training.learning_rate or raise training.warmup_steps"
        )
    history.points.append(point)
    history.sums, history.steps, history.since = torch.zeros_like(history.sums), 0, now
    return point


def _heartbeat(point: dict[str, float], settings: config.Training) -> None:
    left = (settings.tokens - point["tokens"]) / point["tokens_per_second"]
    print(
        f"step {point['step']} of {settings.steps} ({point['step'] / settings.steps:.0%})  loss {point['loss']:.3f}  "
        f"{point['tokens_per_second']:,.0f} tokens/s  {max(0.0, left):.0f} s left",
        flush=True,
    )


def _any_process(value: bool, device: torch.device) -> bool:
    """Return whether ``value`` holds on any process; every process must call."""
    if dist.get_world_size() == 1:
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())
