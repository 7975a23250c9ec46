"""Watching the loss: steps at which it, or its gradient, is no number, or it is far above where it was."""

import math
from collections import deque
from statistics import median

import torch
import torch.distributed as dist

from hope import config
from hope.errors import UserError

MEMORY = 100
"""Steps over which the usual loss is taken."""
ENOUGH = 20
"""Steps below which there is no usual loss yet."""


class LossWatch:
    """Looks at the loss of every single step, but only when asked to: between two looks no step waits for it.

    All processes see the same losses, so all of them come to the same end at the same step.
    """

    def __init__(self, stage: config.TrainStage, state: dict | None = None) -> None:
        """Watch the training of ``stage``, from what :meth:`state` returned or from nothing."""
        self.settings, self.seed = stage.training, stage.seed
        self.name = f"{stage.encoding.name}, seed {stage.seed}"
        self.led_steps = stage.led_steps
        state = state or {"usual": [], "bad": 0, "worst": 0.0}
        self.usual: deque[float] = deque(state["usual"], maxlen=MEMORY)
        self.bad: int = state["bad"]
        self.worst: float = state["worst"]
        self.waiting: list[torch.Tensor] = []

    def state(self) -> dict:
        """Return, in plain values, all that a resumed training needs to watch on as if never stopped."""
        return {"usual": list(self.usual), "bad": self.bad, "worst": self.worst}

    def note(self, sums: torch.Tensor, norm: float | torch.Tensor | None = None) -> None:
        """Keep what the step just done found.

        Args:
            sums: this process's part of the loss: its text and its synthetic sum ``[2]``.
            norm: of the whole gradient, below 0 where DeepSpeed found it to be no number; None if unknown.
        """
        whole = torch.as_tensor(0.0 if norm is None else norm, dtype=sums.dtype, device=sums.device)
        # ZeRO leaves out a step whose gradient is no number, and would go on so for ever.
        wrong = ~(whole.isfinite() & (whole >= 0))
        self.waiting.append(torch.stack((sums.sum(), wrong.to(sums.dtype))))

    def look(self, done: int) -> None:
        """Look at the steps since the last look, the last of them step ``done``; every process must call.

        Raises:
            UserError: a loss or its gradient is no number, or the loss was far above the usual one for too
                many steps in a row.
        """
        if not self.waiting:
            return
        losses = torch.stack(self.waiting)
        if dist.get_world_size() > 1:
            dist.all_reduce(losses)
        first = done - len(self.waiting) + 1
        self.waiting = []
        for step, (loss, wrong) in enumerate(losses.tolist(), start=first):
            self._judge(step, loss, wrong > 0)

    def _judge(self, step: int, loss: float, wrong: bool) -> None:
        where = f"at step {step} (batch {step - 1} of seed {self.seed})"
        if wrong or not math.isfinite(loss):
            what = "the loss's gradient" if math.isfinite(loss) else "the loss"
            raise UserError(
                f"{self.name}: {what} is no number {where}; lower training.learning_rate or raise training.warmup_steps"
            )
        if step == self.led_steps + 1:
            self.usual.clear()  # other tasks have another loss
        usual = median(self.usual) if len(self.usual) >= ENOUGH else math.inf
        if loss <= self.settings.spike_factor * usual:
            if self.bad:
                self._say(
                    f"the loss is back at {loss:.3f} {where}, after {self.bad} steps above, {self.worst:.3f} at most"
                )
            self.usual.append(loss)
            self.bad, self.worst = 0, 0.0
            return
        self.bad, self.worst = self.bad + 1, max(self.worst, loss)
        if self.bad == 1:
            self._say(
                f"the loss is {loss:.3f} {where}, {loss / usual:.1f} times its median of the last {len(self.usual)}"
            )
        if self.bad == self.settings.bad_steps:
            raise UserError(
                f"{self.name}: the loss is {loss:.3f} {where} and has been above {self.settings.spike_factor:g} "
                f"times its usual {usual:.3f} for {self.bad} steps; lower training.learning_rate, "
                "or raise training.spike_factor or training.bad_steps"
            )

    def _say(self, line: str) -> None:
        if dist.get_rank() == 0:
            print(f"{self.name}: {line}", flush=True)
