"""The training loop of one process; all processes of a training run it together."""

import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
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
from hope.training.checkpoints import full_disk_is_named, load_checkpoint, save_checkpoint
from hope.training.devices import CannotRunHere
from hope.training.engine import full_weights, make_engine
from hope.training.fingerprint import edited_source, fingerprint
from hope.training.heartbeat import Heartbeat
from hope.training.loss_watch import LossWatch
from hope.training.schedule import learning_rate
from hope.training.signals import Requests
from hope.training.snapshots import Snapshots
from hope.training.step import Steps

Live = Callable[[dict[str, float]], None]


@dataclass
class History:
    """The loss curve: one point every ``log_steps`` steps, each the mean since the last.

    Attributes:
        points: the points so far.
        sums: what :class:`~hope.training.step.Steps` returns, summed since the last point; on the device, so that no
            step waits for it.
        steps: steps since the last point.
        since: when the last point was made.
    """

    points: list[dict[str, float]] = field(default_factory=list)
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
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


def train(
    stage: config.TrainStage,
    key: str,
    data: Path,
    output: Path,
    checkpoints: Path,
    device: torch.device,
    live: Live | None,
) -> None:
    """Train one model to its end, from its last checkpoint if there is one.

    The process group must exist. Writes ``model.safetensors``, ``config.json``, ``history.parquet`` and
    the snapshots.

    Args:
        stage: all that the training depends on.
        key: its fingerprint, as it was when the training was started.
        data: the study's data folder.
        output: where the model goes.
        checkpoints: the training's own checkpoint folder.
        device: where this process computes.
        live: is told of each point of the loss curve; only on the first process.

    Raises:
        UserError: the data are too short, or the loss is no longer a number.
        CannotRunHere: data or code are no longer what the fingerprint names.
        SystemExit: a signal ended the training; its state is in a checkpoint.
    """
    settings, rank = stage.training, dist.get_rank()
    requests = Requests()
    corpus = _open_corpus(data, requests)
    batches = Batches(stage, corpus)
    decoder = Decoder(
        stage.model, corpus.vocabulary, settings.length, stage.encoding, settings.activation_checkpointing
    )
    _check_key(stage, key, corpus, requests)
    engine = make_engine(settings, decoder.initialise(stage.seed), device)
    take_step = Steps(settings, engine, batches, device)
    history, watch, start = History(), LossWatch(stage), 0
    snapshots = Snapshots(settings.snapshot_steps, checkpoints, key)
    resumed = load_checkpoint(engine, checkpoints)
    if resumed:
        start, state, world = resumed
        history.points, watch = state["points"], LossWatch(stage, state["watch"])
        sums, history.steps = state["since_last_point"]
        history.sums = torch.tensor(sums, dtype=torch.float64) * (rank == 0)
        if rank == 0:
            print(_resumed(start, settings, world), flush=True)
    beat = Heartbeat(settings, checkpoints, start) if rank == 0 else None
    checkpointed = time.monotonic()
    for step in range(start, settings.steps):
        done = step + 1
        at_point = done % settings.log_steps == 0 or done == settings.steps
        sums, norm = take_step(step)
        watch.note(sums[:2], norm)
        history.sums = history.sums.to(device) + sums
        history.steps += 1
        if at_point:
            watch.look(done)
            point = _point(stage, history, done, float(norm) if norm is not None else math.nan)
            if rank == 0 and live:
                live(point)
        if beat:
            beat(done, history.points[-1] if history.points else None)
        if done in snapshots.steps:
            watch.look(done)
            _check_weights(stage, engine, done, requests)
            snapshots(engine, done)
        ending, due = requests(time.monotonic() - checkpointed > settings.checkpoint_seconds)
        if (ending or due) and done < settings.steps:
            watch.look(done)
            _check_weights(stage, engine, done, requests)
            # A loss that has just gone up may stay there: then the checkpoints before are the good ones.
            if ending or not watch.bad:
                since = (history.pooled().tolist(), history.steps)
                state = {"points": history.points, "since_last_point": since, "watch": watch.state()}
                save_checkpoint(engine, checkpoints, done, state)
            checkpointed = time.monotonic()
        if ending and done < settings.steps:
            if rank == 0:
                print(f"stopped by a signal at step {done} of {settings.steps}; run again to go on", flush=True)
            sys.exit(128 + (requests.signal or signal.SIGTERM))
    requests.finish()
    _check_weights(stage, engine, settings.steps, requests)
    weights = full_weights(engine)
    if rank == 0:
        output.mkdir(parents=True, exist_ok=True)
        with full_disk_is_named(output):
            history.write(output / "history.parquet")
            snapshots.hand_over(output)
            save_model(decoder, weights, stage, key, output)


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
    """See that data and code, by now read and imported, are what the fingerprint names; every process must call.

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
    """See that all weights are numbers, as every weight that is kept must be; every process must call."""
    # ZeRO's stage 3 keeps a parameter's part under another name.
    parts = [getattr(parameter, "ds_tensor", parameter) for parameter in engine.module.parameters()]
    if requests.any(not all(bool(part.isfinite().all()) for part in parts)):
        raise UserError(
            f"{stage.encoding.name}, seed {stage.seed}: a weight is no number after step {done} "
            f"(batch {done - 1} of seed {stage.seed}); lower training.learning_rate or raise training.warmup_steps"
        )


def _point(stage: config.TrainStage, history: History, done: int, norm: float) -> dict[str, float]:
    """Close the current point of the loss curve: every process must call."""
    settings = stage.training
    text, synthetic, likely = (history.pooled() / history.steps).tolist()
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
        "likely_answers": likely / weight if weight and stage.mixture.share else math.nan,
        "learning_rate": learning_rate(settings, done - 1),
        "gradient_norm": norm,
        "tokens_per_second": history.steps * tokens_per_step / max(1e-9, now - history.since),
    }
    history.points.append(point)
    history.sums, history.steps, history.since = torch.zeros_like(history.sums), 0, now
    return point
