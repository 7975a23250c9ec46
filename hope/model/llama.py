"""A rotary decoder as a stock Llama: the same weights under other names."""

from typing import Any

import torch
from torch import Tensor

from hope import config
from hope.model.decoder import Decoder

LLAMA_OUTER_NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
"""Weights outside of the layers: our name, then Llama's."""
INNER = {
    "attention.output.weight": "self_attn.o_proj.weight",
    "mlp.down.weight": "mlp.down_proj.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "mlp_norm.weight": "post_attention_layernorm.weight",
}
"""Weights of a layer that are the same in both."""
QKV = [f"self_attn.{part}_proj.weight" for part in "qkv"]
GATE_UP = [f"mlp.{part}_proj.weight" for part in ("gate", "up")]
"""Weights that Llama holds apart and a decoder fused."""


def llama_config(model: Decoder, base: float) -> dict[str, Any]:
    """Return the arguments of ``transformers.LlamaConfig`` for a decoder with RoPE of the given base."""
    shape = model.shape
    return {
        "vocab_size": model.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads or shape.heads,
        "max_position_embeddings": model.training_length,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        "tie_word_embeddings": shape.tied_embeddings,
    }


def llama_weights(model: Decoder) -> dict[str, Tensor]:
    """Return a decoder's weights under the names of ``LlamaForCausalLM``: fused projections are split."""
    ours = model.state_dict()
    ours.setdefault("head.weight", ours["embedding.weight"])
    weights = {theirs: ours[name] for name, theirs in LLAMA_OUTER_NAMES.items()}
    heads, kv_heads = model.shape.heads, model.shape.kv_heads or model.shape.heads
    sizes = [number * model.shape.head_dim for number in (heads, kv_heads, kv_heads)]
    for index in range(model.shape.layers):
        here, there = f"blocks.{index}", f"model.layers.{index}"
        weights |= {f"{there}.{theirs}": ours[f"{here}.{name}"] for name, theirs in INNER.items()}
        for name, part in zip(QKV, ours[f"{here}.attention.qkv.weight"].split(sizes), strict=True):
            weights[f"{there}.{name}"] = part
        for name, part in zip(GATE_UP, ours[f"{here}.mlp.gate_up.weight"].chunk(2), strict=True):
            weights[f"{there}.{name}"] = part
    return weights


def llama_names(shape: config.Model) -> list[str]:
    """Return the names of Llama's weights for a decoder of the given sizes; a tied head is none of them."""
    outer = [theirs for name, theirs in LLAMA_OUTER_NAMES.items() if name != "head.weight" or not shape.tied_embeddings]
    inner = [*INNER.values(), *QKV, *GATE_UP]
    return outer + [f"model.layers.{index}.{name}" for index in range(shape.layers) for name in inner]


def decoder_weights(theirs: dict[str, Tensor], shape: config.Model) -> dict[str, Tensor]:
    """Return Llama's weights under a decoder's names, the inverse of :func:`llama_weights`.

    Args:
        theirs: all of :func:`llama_names`. They are taken out one by one: a large model is not held twice.
        shape: the sizes.
    """
    weights = {name: theirs.pop(other) for name, other in LLAMA_OUTER_NAMES.items() if other in theirs}
    for index in range(shape.layers):
        here, there = f"blocks.{index}", f"model.layers.{index}"
        for name, other in INNER.items():
            weights[f"{here}.{name}"] = theirs.pop(f"{there}.{other}")
        for name, parts in (("attention.qkv", QKV), ("mlp.gate_up", GATE_UP)):
            weights[f"{here}.{name}.weight"] = torch.cat([theirs.pop(f"{there}.{part}") for part in parts])
    return weights
