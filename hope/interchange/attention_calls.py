"""See and change the attention of a model of transformers, from within its own forward pass.

There are three ways, one for each way in which transformers computes attention:

- ``interface``: most architectures call the function that is registered under the name in ``config``. It gets queries
  and keys after the rotation, the mask, the scale, and the soft cap of the logits.
- ``fused``: older ones call PyTorch's fused attention themselves (Falcon). A mode of PyTorch takes that call over.
- ``weights``: the oldest compute attention step by step (BLOOM, MPT, GPT-J) and hand out the weights of all queries
  and keys alone (``output_attentions``). Each layer's are shown to the observer and dropped at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

Way = Literal["interface", "fused", "weights"]
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float, float | None], Tensor]
"""Takes queries ``[batch, heads, tokens, dim]``, keys and values ``[batch, kv_heads, tokens, ...]``, the mask, and the
scale and the soft cap of the logits; returns what the heads read, ``[batch, heads, tokens, value_dim]``."""

NAME = "hope"
"""The name of the registered function in a config of transformers."""
IMPLEMENTATION = {"interface": NAME, "fused": "sdpa", "weights": "eager"}
"""``attn_implementation`` of a model, by the way into its attention."""
_attend: ContextVar[Attend] = ContextVar("_attend")


def way_into(kind: type) -> Way:
    """Return the way into the attention of a model class of transformers."""
    if getattr(kind, "_supports_attention_backend", False):
        return "interface"
    return "fused" if getattr(kind, "_supports_sdpa", False) else "weights"


@contextmanager
def attending(way: Way, attend: Attend) -> Iterator[None]:
    """Call ``attend`` in place of the attention of every layer within the block, in this thread alone."""
    token = _attend.set(attend)
    try:
        if way == "fused":
            with _FusedCalls():
                yield
        else:
            yield
    finally:
        _attend.reset(token)


@contextmanager
def showing(model: nn.Module, show: Callable[[Tensor], None]) -> Iterator[None]:
    """Call ``show`` with the attention weights ``[batch, heads, tokens, tokens]`` of every layer within the block.

    The pass must ask for them (``output_attentions``). They are taken out of what the layer returns, so that one
    layer's are held at a time.
    """

    def take(module: nn.Module, inputs: tuple, output: Any) -> Any:
        if not isinstance(output, tuple):
            return output
        weights = [isinstance(part, Tensor) and part.dim() == 4 and part.shape[2] == part.shape[3] for part in output]
        for part, found in zip(output, weights, strict=True):
            if found:
                show(part)
        return tuple(None if found else part for part, found in zip(output, weights, strict=True))

    attentions = [module for module in model.modules() if type(module).__name__.endswith("Attention")]
    hooks = [module.register_forward_hook(take) for module in attentions]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _interface(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _attend.get()(query, key, value, attention_mask, scale, softcap).transpose(1, 2), None


class _FusedCalls(TorchFunctionMode):
    """Takes over calls of PyTorch's fused attention."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        return self._taken_over(*args, **kwargs)

    @staticmethod
    def _taken_over(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None, **_: Any
    ) -> Tensor:
        return _attend.get()(query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale, None)


AttentionInterface.register(NAME, _interface)
# Without its own mask function, transformers would pass no mask at all: sliding windows would vanish silently.
AttentionMaskInterface.register(NAME, sdpa_mask)
