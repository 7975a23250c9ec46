"""DeepSpeed, set up so that it needs no compiler, no launcher and no network."""

import logging
import warnings
from itertools import chain
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.launcher.runner import fetch_hostfile
from deepspeed.ops import __compatible_ops__
from deepspeed.utils import logger, safe_get_full_fp32_param
from torch import Tensor, nn

from hope import config
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loss import softmax_gradient, weighted_loss
from hope.training.devices import CannotRunHere
from hope.training.step import clipped_here

# Of the collectives that DeepSpeed calls; nothing that a user could mend.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")


class TrainingModel(nn.Module):
    """A decoder with its loss: what DeepSpeed wraps."""

    def __init__(self, decoder: Decoder) -> None:
        """Wrap ``decoder``."""
        super().__init__()
        self.decoder, self.of_logits = decoder, softmax_gradient

    def compile_parts(self, device: torch.device) -> None:
        """Have the decoder compiled at its first call, and what is done with the logits.

        Raises:
            UserError: there is no C++ compiler, which compiling for a CPU needs.
        """
        if device.type == "cpu":
            check_compiler()
        else:
            # On a CPU a chunk of logits is in the cache: nothing is won there.
            self.of_logits = torch.compile(softmax_gradient, dynamic=True)
        self.decoder.compile(dynamic=False)

    def forward(self, tokens: Tensor, weights: Tensor, supervised: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss and the token losses of ``tokens`` ``[batch, length + 1]``."""
        return weighted_loss(
            self.decoder, self.decoder(tokens[:, :-1]), tokens[:, 1:], weights, supervised, self.of_logits
        )


def make_engine(settings: config.Training, decoder: Decoder, device: torch.device) -> deepspeed.DeepSpeedEngine:
    """Return a DeepSpeed engine around ``decoder``; the process group must exist.

    Matrices of the decoder decay; norms and the parameters of the encoding do not.
    """
    logger.setLevel(logging.ERROR)
    # Without this, initialize() compiles an extension for CPU collectives: half a minute with a
    # compiler, an error without one. Gloo serves as well.
    __compatible_ops__["deepspeed_shm_comm"] = False
    model = TrainingModel(decoder).to(device)
    if settings.compile:
        model.compile_parts(device)
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
    _forget_first_step(engine)
    if clipped_here(settings) and settings.world == 1:
        # There is nobody to average with; DeepSpeed would copy all gradients to one place and back.
        engine.enable_backward_allreduce = False
    return engine


def _forget_first_step(engine: deepspeed.DeepSpeedEngine) -> None:
    """Undo the step that DeepSpeed takes to make the optimiser's state, in bfloat16 without ZeRO.

    That step has no gradient, but it decays the weights, and AdamW's correction for its averages' start counts it:
    the first update of the training would be a quarter too short.
    """
    pairs = _beside_halves(engine)
    with torch.no_grad():
        for half, whole in pairs:
            whole.copy_(half)
    if pairs:
        engine.basic_optimizer.state.clear()


def hosts(hostfile: Path) -> dict[str, int]:
    """Return the hosts of a hostfile, with their numbers of processes (``slots``), as DeepSpeed's launcher reads it.

    Raises:
        CannotRunHere: the file is missing, or one of its lines is not ``HOST slots=N``.
    """
    if not hostfile.is_file():
        raise CannotRunHere(f"training.hostfile: {hostfile}: no such file; give its path from here on")
    try:
        return dict(fetch_hostfile(str(hostfile)))
    except (ValueError, KeyError) as error:
        raise CannotRunHere(f"{hostfile}: {error}; write one line per node, 'HOST slots=N'") from None


def check_compiler() -> None:
    """See that there is a C++ compiler, which compiling a model for a CPU needs.

    Raises:
        UserError: there is none.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UserError(
            "training.compile: a C++ compiler is needed, and none was found; install g++, or set the key to false"
        ) from None


def engine_config(settings: config.Training) -> dict[str, Any]:
    """Return DeepSpeed's own config for these settings."""
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.offload and settings.zero_stage:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_batch_size": settings.batch_windows,
        "train_micro_batch_size_per_gpu": settings.micro_windows,
        "gradient_clipping": 0.0 if clipped_here(settings) else settings.clip,
        "zero_optimization": zero,
        # DeepSpeed's own CPU Adam would have to be compiled.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": settings.precision == "bfloat16"},
        "steps_per_print": None,
        "wall_clock_breakdown": False,
        # It would wait for the device at every step.
        "timers": {"throughput": {"enabled": False, "synchronized": False}},
    }


def full_weights(engine: deepspeed.DeepSpeedEngine) -> dict[str, Tensor]:
    """Return what the decoder's state holds, on the CPU: parameters whole and in float32; every process must call."""
    weights = {}
    # Where there is no ZeRO, DeepSpeed's own function knows nothing of the float32 weights beside those of bfloat16.
    exact = {id(half): whole for half, whole in _beside_halves(engine)}
    for name, parameter in engine.module.decoder.named_parameters():
        whole = exact.get(id(parameter), safe_get_full_fp32_param(parameter))
        weights[name] = (parameter if whole is None else whole).detach().float().cpu().clone()
    # A user's own encoding may have buffers.
    state = engine.module.decoder.state_dict()
    return weights | {name: buffer.detach().cpu().clone() for name, buffer in state.items() if name not in weights}


def _beside_halves(engine: deepspeed.DeepSpeedEngine) -> list[tuple[Tensor, Tensor]]:
    """Return each parameter in bfloat16 with its weights in float32, where there is no ZeRO; nothing elsewhere."""
    halves, wholes = (chain(*getattr(engine.optimizer, name, [])) for name in ("fp16_groups", "fp32_groups"))
    # ZeRO 3 has the first and not the second.
    return list(zip(halves, wholes, strict=False))
