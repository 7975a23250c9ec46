"""DeepSpeed, set up so that it needs no compiler, no launcher and no network."""

import logging
import warnings
from typing import Any

import deepspeed
import torch
from deepspeed.ops import __compatible_ops__
from deepspeed.utils import logger, safe_get_full_fp32_param
from torch import Tensor, nn

from hope import config
from hope.model.decoder import Decoder
from hope.model.loss import weighted_loss

# Of the collectives that DeepSpeed calls; nothing that a user could mend.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")


class TrainingModel(nn.Module):
    """A decoder with its loss: what DeepSpeed wraps."""

    def __init__(self, decoder: Decoder) -> None:
        """Wrap ``decoder``."""
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss and the token losses of ``tokens`` ``[batch, length + 1]``."""
        return weighted_loss(self.decoder, self.decoder(tokens[:, :-1]), tokens[:, 1:], weights)


def make_engine(settings: config.Training, decoder: Decoder, device: torch.device) -> deepspeed.DeepSpeedEngine:
    """Return a DeepSpeed engine around ``decoder``; the process group must exist.

    Matrices of the decoder decay; norms and the parameters of the encoding do not.
    """
    logger.setLevel(logging.ERROR)
    # Without this, initialize() compiles an extension for CPU collectives: half a minute with a
    # compiler, an error without one. Gloo serves as well.
    __compatible_ops__["deepspeed_shm_comm"] = False
    model = TrainingModel(decoder).to(device)
    decays: list[nn.Parameter] = []
    rests: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decays if parameter.dim() > 1 and not name.startswith("decoder.encoding.") else rests).append(parameter)
    groups = [{"params": decays, "weight_decay": settings.weight_decay}, {"params": rests, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, betas=settings.betas, fused=True
    )
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=engine_config(settings), dist_init_required=False
    )
    return engine


def engine_config(settings: config.Training) -> dict[str, Any]:
    """Return DeepSpeed's own config for these settings."""
    micro = settings.micro_batch_windows or settings.batch_windows // settings.processes
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.offload and settings.zero_stage:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_batch_size": settings.batch_windows,
        "train_micro_batch_size_per_gpu": micro,
        "gradient_clipping": settings.clip,
        "zero_optimization": zero,
        # DeepSpeed's own CPU Adam would have to be compiled.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": settings.precision == "bfloat16"},
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def gradient_norm(engine: deepspeed.DeepSpeedEngine) -> Tensor | None:
    """Return the norm of the gradient just computed, or None where DeepSpeed itself will tell it.

    Without ZeRO and in float32 DeepSpeed clips by this norm, but keeps it to itself.
    """
    if engine.zero_optimization() or engine.bfloat16_enabled():
        return None
    gradients = [parameter.grad for parameter in engine.module.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients)


def full_weights(engine: deepspeed.DeepSpeedEngine) -> dict[str, Tensor]:
    """Return the decoder's parameters, whole and in float32, on the CPU; every process must call."""
    weights = {}
    for name, parameter in engine.module.decoder.named_parameters():
        whole = safe_get_full_fp32_param(parameter)
        weights[name] = (parameter if whole is None else whole).detach().float().cpu().clone()
    return weights
