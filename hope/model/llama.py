"""A decoder with RoPE as a stock Llama: the same weights under other names."""

from typing import Any

from torch import Tensor

from hope.model.decoder import Decoder


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
    weights = {"model.embed_tokens.weight": ours["embedding.weight"], "model.norm.weight": ours["norm.weight"]}
    weights["lm_head.weight"] = ours.get("head.weight", ours["embedding.weight"])
    heads, kv_heads = model.shape.heads, model.shape.kv_heads or model.shape.heads
    sizes = [number * model.shape.head_dim for number in (heads, kv_heads, kv_heads)]
    for index in range(model.shape.layers):
        here, there = f"blocks.{index}", f"model.layers.{index}"
        for name, part in zip("qkv", ours[f"{here}.attention.qkv.weight"].split(sizes), strict=True):
            weights[f"{there}.self_attn.{name}_proj.weight"] = part
        for name, part in zip(("gate", "up"), ours[f"{here}.mlp.gate_up.weight"].chunk(2), strict=True):
            weights[f"{there}.mlp.{name}_proj.weight"] = part
        weights[f"{there}.self_attn.o_proj.weight"] = ours[f"{here}.attention.output.weight"]
        weights[f"{there}.mlp.down_proj.weight"] = ours[f"{here}.mlp.down.weight"]
        weights[f"{there}.input_layernorm.weight"] = ours[f"{here}.attention_norm.weight"]
        weights[f"{there}.post_attention_layernorm.weight"] = ours[f"{here}.mlp_norm.weight"]
    return weights
