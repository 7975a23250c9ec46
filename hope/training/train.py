"""The training loop of one process; all processes of a training run it together."""

import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import save_model
from hope.tables import write_table
from hope.training.batches import Batches
from hope.training.checkpoints import full_disk_is_named, load_checkpoint, save_checkpoint
from hope.training.devices import CannotRunHere
from hope.training.engine import full_weights, make_engine
from hope.training.fingerprint import edited_source, fingerprint
from hope.training.heartbeat import Heartbeat
from hope.training.loss_watch import LossWatch
from hope.training.signals import Requests
from hope.training.snapshots import Snapshots
from hope.training.step import Steps, learning_rate


def train(
    stage: config.TrainStage,
    key: str,
    data: Path,
    output: Path,
    checkpoints: Path,
    device: torch.device,
    requests: Requests,
    live: Callable[[dict[str, float]], None] | None,
) -> None:
    """Train one model to its end, from its last checkpoint if there is one.

    The process group must exist. Writes ``model.safetensors``, ``config.json``, ``history.parquet`` and
    the snapshots.

    Args:
        stage: everything that the training depends on.
        key: its fingerprint, as it was when the training was started.
        data: the study's data folder.
        output: folder of the model.
        checkpoints: the training's own checkpoint folder.
        device: where this process computes.
        requests: what the processes ask of each other.
        live: receives each point of the loss curve; only on the first process.

    Raises:
        UserError: the data are too short, or the loss is not a number.
        CannotRunHere: data or code are no longer what the fingerprint names.
        SystemExit: a signal ended the training; its state is in a checkpoint.
    """
    settings, rank = stage.training, dist.get_rank()
    requests.note_signals()
    corpus = _open_corpus(data, requests)
    batches = Batches(stage, corpus)
    decoder = Decoder(
        stage.model, corpus.vocabulary, settings.length, stage.encoding, settings.activation_checkpointing
    )
    _check_key(stage, key, corpus, requests)
    engine = make_engine(settings, decoder.initialise(stage.seed), device)
    take_step = Steps(settings, engine, batches, device)

    snapshots = Snapshots(settings.snapshot_steps, checkpoints, key)
    start, state, world = load_checkpoint(engine, checkpoints) or (0, None, settings.world)
    curve, watch = Curve(stage, device, state), LossWatch(stage, state and state["watch"])
    if start and rank == 0:
        print(_resumed(start, settings, world), flush=True)
    beat = Heartbeat(settings, checkpoints, start) if rank == 0 else None

    checkpointed = time.monotonic()
    for done in range(start + 1, settings.steps + 1):
        sums, norm = take_step(done - 1)
        watch.note(sums[:2], norm)
        curve.add(sums)
        last = done == settings.steps
        stopping, due = requests(time.monotonic() - checkpointed > settings.checkpoint_seconds)
        at_point, at_snapshot = done % settings.log_steps == 0 or last, done in snapshots.steps
        at_checkpoint = (stopping or due) and not last
        if at_point or at_snapshot or at_checkpoint:
            watch.look(done)
        if at_point:
            point = curve.close_point(done, norm)
            if live:
                live(point)
        if beat:
            beat(done, curve.points[-1] if curve.points else None)
        if at_snapshot or at_checkpoint or last:
            _check_weights(stage, engine, done, requests)
        if at_snapshot:
            snapshots(engine, done)
        if at_checkpoint:
            # A loss that has just gone up may stay there: then the checkpoints before are the good ones.
            if stopping or not watch.bad:
                save_checkpoint(engine, checkpoints, done, {**curve.state(), "watch": watch.state()})
            checkpointed = time.monotonic()
        if stopping and not last:
            if rank == 0:
                print(f"stopped by a signal at step {done} of {settings.steps}; run again to continue", flush=True)
            sys.exit(128 + (requests.signal or signal.SIGTERM))
    requests.finish()

    weights = full_weights(engine)
    if rank == 0:
        output.mkdir(parents=True, exist_ok=True)
        with full_disk_is_named(output):
            curve.write(output / "history.parquet")
            snapshots.hand_over(output)
            save_model(decoder, weights, stage, key, output)


class Curve:
    """The loss curve: one point every ``log_steps`` steps, each the mean since the last.

    Attributes:
        points: the points so far, each a row of ``history.parquet``.
    """

    def __init__(self, stage: config.TrainStage, device: torch.device, state: dict | None) -> None:
        """Start from what :meth:`state` returned before, or from nothing."""
        self._settings, self._mixture = stage.training, stage.mixture
        self.points: list[dict[str, float]] = state["points"] if state else []
        # On the device, so that no step waits for it. In a checkpoint these are the sums over all processes.
        sums, steps = state["since_last_point"] if state else ([0.0, 0.0, 0.0], 0)
        self._steps: int = steps
        self._sums = torch.tensor(sums, dtype=torch.float64, device=device) * (dist.get_rank() == 0)
        # Only steps of this process count for the speed.
        self._since, self._before = time.monotonic(), steps

    def add(self, sums: Tensor) -> None:
        """Add this process's part of a step: text loss, synthetic loss and likely answers, float64 ``[3]``."""
        self._sums = self._sums + sums
        self._steps += 1

    def state(self) -> dict[str, Any]:
        """Return, in plain values, everything that :meth:`__init__` needs; every process must call."""
        return {"points": self.points, "since_last_point": (self._pooled().tolist(), self._steps)}

    def close_point(self, done: int, norm: float | Tensor | None) -> dict[str, float]:
        """Add the point of step ``done`` and return it; every process must call.

        Args:
            done: steps done.
            norm: of the gradient of the last step, before it was clipped.
        """
        text, synthetic, likely = (self._pooled() / self._steps).tolist()
        now, weight = time.monotonic(), self._mixture.weight
        tokens_per_step = self._settings.batch_windows * self._settings.length
        point = {
            "step": done,
            "tokens": done * tokens_per_step,
            "time": time.time(),
            "loss": text + synthetic,
            "text_loss": text,
            "synthetic_loss": synthetic / weight if weight else math.nan,
            "likely_answers": likely / weight if weight and self._mixture.share else math.nan,
            "learning_rate": learning_rate(self._settings, done - 1),
            "gradient_norm": math.nan if norm is None else float(norm),
            "tokens_per_second": (self._steps - self._before) * tokens_per_step / max(1e-9, now - self._since),
        }
        self.points.append(point)
        self._sums, self._steps = torch.zeros_like(self._sums), 0
        self._since, self._before = now, 0
        return point

    def _pooled(self) -> Tensor:
        """Return the sums over all processes, and keep them on the first alone."""
        total = self._sums.clone()
        if dist.get_world_size() > 1:
            dist.all_reduce(total)
        self._sums = total * (dist.get_rank() == 0)
        return total

    def write(self, path: Path) -> None:
        """Write the points as a table, one row per point."""
        write_table(path, {name: [point[name] for point in self.points] for name in self.points[0]})


def _open_corpus(data: Path, requests: Requests) -> TokenCorpus:
    """Open the training tokens; the first process reads all of them, to see that they are undamaged."""
    corpus = problem = None
    try:
        corpus = TokenCorpus.open(data / "train", verify=dist.get_rank() == 0)
    except UserError as error:
        problem = error
    # Else the others would wait for a process that has ended, and report that.
    if shared := requests.first(str(problem) if problem else None):
        raise UserError(shared)
    assert corpus is not None
    return corpus


def _check_key(stage: config.TrainStage, key: str, corpus: TokenCorpus, requests: Requests) -> None:
    """Check that data and code, by now read and imported, are what the fingerprint names; every process must call.

    Between a training's start and this moment it may have waited long for a lock, or for other processes.
    """
    edited = requests.first(edited_source(stage))
    if requests.any(fingerprint(stage, corpus.digest) != requests.first(key)) or edited:
        raise CannotRunHere(
            f"{edited or 'the data, or the file of an encoding or task,'} changed while the training was being "
            "started, or differs between its nodes; run again"
        )


def _resumed(start: int, settings: config.Training, world: int) -> str:
    line = f"resumed at step {start} of {settings.steps}"
    if world == settings.world:
        return line
    return f"{line}, from {world} processes with {settings.world}: the result differs in rounding from that of either"


def _check_weights(stage: config.TrainStage, engine: Any, done: int, requests: Requests) -> None:
    """Check that all weights are finite, as every weight that is kept must be; every process must call."""
    # ZeRO's stage 3 keeps a parameter's part under another name.
    parts = [getattr(parameter, "ds_tensor", parameter) for parameter in engine.module.parameters()]
    if requests.any(not all(bool(part.isfinite().all()) for part in parts)):
        raise UserError(
            f"{stage.encoding.name}, seed {stage.seed}: a weight is no number after step {done} "
            f"(batch {done - 1} of seed {stage.seed}); lower training.learning_rate or raise training.warmup_steps"
        )
