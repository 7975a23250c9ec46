"""Convert a decoder to a stock architecture of transformers: ``config.json`` and weights by their names there."""

from typing import Any

import torch
from torch import Tensor

from hope import config
from hope.errors import UserError
from hope.interchange.rotation import Prefix, frequency_factors, geometric_base, prefix_of, rotary_share
from hope.model.decoder import Decoder
from hope.model.llama import llama_config, llama_weights

Stock = tuple[dict[str, Any], dict[str, Tensor]]
"""The content of ``config.json``, and the weights by name."""


def stock_llama(model: Decoder, frequencies: Tensor) -> Stock:
    """Return a decoder as ``LlamaForCausalLM``, with unchanged weights.

    Args:
        model: a decoder with a rotary encoding.
        frequencies: of its components, radians per token, float64 ``[d/2]``.
    """
    shape, prefix = model.shape, prefix_of(frequencies)
    rope: dict[str, Any]
    if prefix is None:
        base, factors = frequency_factors(frequencies)
        # Equal factors for short and long texts, so that the length switches nothing; an attention temperature of 1.
        rope = {
            "rope_type": "longrope",
            "rope_theta": base,
            "short_factor": factors,
            "long_factor": factors,
            "factor": 1.0,
            "attention_factor": 1.0,
            "original_max_position_embeddings": model.training_length,
        }
    elif prefix.kept == len(frequencies):
        rope = {"rope_type": "default", "rope_theta": prefix.base}
    else:
        rope = {
            "rope_type": "proportional",
            "rope_theta": prefix.base,
            "partial_rotary_factor": rotary_share(shape.head_dim, shape.heads, prefix.kept),
        }
    content = llama_config(model, rope["rope_theta"]) | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "head_dim": shape.head_dim,
        "attention_bias": False,
        "mlp_bias": False,
        "rope_parameters": rope,
        "rope_theta": rope["rope_theta"],
    }
    if rope["rope_type"] != "default":
        # transformers 4 reads only this key; without it, it would silently compute plain RoPE.
        content["rope_scaling"] = rope
    return content, _own_tensors(llama_weights(model), shape)


def stock_partial_rotary(model: Decoder, frequencies: Tensor, name: str) -> Stock:
    """Return a decoder as ``Phi3ForCausalLM``, which rotates only the leading dimensions of each head.

    The turning components are moved to the front of every head of queries and keys. Attention logits are inner
    products, so the same reordering of both leaves them unchanged.

    Args:
        model: a decoder with a rotary encoding.
        frequencies: of its components, radians per token, float64 ``[d/2]``.
        name: of the encoding, for the error.

    Raises:
        UserError: the frequencies other than 0 are no geometric sequence that begins at 1.
    """
    shape = model.shape
    moving = [index for index in range(len(frequencies)) if frequencies[index] != 0]
    turning = sorted(moving, key=lambda index: -float(frequencies[index]))
    base = geometric_base(frequencies[turning], len(turning))
    if base is None:
        raise UserError(
            f"encoding '{name}': the nonzero frequencies are no geometric sequence from 1 radian per token on, "
            "which partial rotation needs; use --format llama or gguf"
        )
    share = rotary_share(shape.head_dim, shape.heads, len(turning))
    content = llama_config(model, base) | {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "original_max_position_embeddings": model.training_length,
        "sliding_window": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": base, "partial_rotary_factor": share},
        "rope_theta": base,
        "partial_rotary_factor": share,
    }
    order = partial_rotary_order(shape.head_dim, turning)
    weights = _own_tensors(llama_weights(model), shape)
    for layer in range(shape.layers):
        here = f"model.layers.{layer}"
        parts = [weights.pop(f"{here}.self_attn.{part}_proj.weight") for part in "qkv"]
        parts[:2] = [reorder_heads(part, order, shape.head_dim) for part in parts[:2]]
        weights[f"{here}.self_attn.qkv_proj.weight"] = torch.cat(parts)
        parts = [weights.pop(f"{here}.mlp.{part}_proj.weight") for part in ("gate", "up")]
        weights[f"{here}.mlp.gate_up_proj.weight"] = torch.cat(parts)
    return content, weights


def partial_rotary_order(head_dim: int, turning: list[int]) -> list[int]:
    """Return the order of a head's ``d`` rows in a partial-rotary head.

    Component j is the rows (j, j + d/2). The K turning components become the rows (i, i + K); the others follow in
    their order.
    """
    half = head_dim // 2
    still = [index for index in range(half) if index not in set(turning)]
    return [*turning, *(half + index for index in turning), *still, *(half + index for index in still)]


def interleaved_order(head_dim: int) -> list[int]:
    """Return the order of a head's rows in which the rows (j, j + d/2) of a component are neighbours."""
    half = head_dim // 2
    return [row for index in range(half) for row in (index, index + half)]


def reorder_heads(weight: Tensor, order: list[int], head_dim: int) -> Tensor:
    """Return ``weight`` ``[heads * head_dim, width]`` with the rows of every head in the given order."""
    return weight.view(-1, head_dim, weight.shape[-1])[:, order].reshape(weight.shape)


def _own_tensors(weights: dict[str, Tensor], shape: config.Model) -> dict[str, Tensor]:
    """Return the weights as separate contiguous tensors for a file, with a tied matrix once."""
    if shape.tied_embeddings:
        del weights["lm_head.weight"]
    return {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}


def describe_rotation(frequencies: Tensor, prefix: Prefix | None) -> str:
    """Describe in words which components turn."""
    half = len(frequencies)
    if prefix is None:
        return f"{int((frequencies != 0).sum())} of {half} components turn, at frequencies of their own"
    if prefix.kept == 0:
        return f"none of {half} components turn"
    if prefix.kept == half:
        return f"all {half} components turn, base {prefix.base:g}"
    return f"the {prefix.kept} fastest of {half} components turn, base {prefix.base:g}; the others stand still"
