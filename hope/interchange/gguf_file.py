"""A decoder as a GGUF file, the format of llama.cpp: one file with sizes, tokenizer and weights."""

from pathlib import Path

import numpy as np
from torch import Tensor

from hope.errors import UserError
from hope.interchange.gguf_tokenizer import add_tokenizer
from hope.interchange.rotation import frequency_factors, prefix_of
from hope.interchange.stock import interleaved_order, reorder_heads
from hope.interchange.tokenizer import ModelTokenizer
from hope.model.decoder import Decoder
from hope.model.llama import llama_weights

GGUF_LAYER_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Weights of a layer: Llama's name, then llama.cpp's."""
GGUF_OUTER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(
    model: Decoder, frequencies: Tensor, tokenizer: ModelTokenizer | None, start_token: bool, name: str, path: Path
) -> None:
    """Write a decoder as architecture ``llama``, in float32.

    That architecture turns neighbouring rows of a head, so rows j and j + d/2 of queries and keys are
    brought together. Its tensor ``rope_freqs`` divides the frequencies ``b^(-2j/d)``; a huge factor stops
    a component.

    Args:
        model: with a rotary encoding.
        frequencies: of its components, radians a token, float64 ``[d/2]``.
        tokenizer: the model's, or None to leave it out.
        start_token: whether a text begins with the start token.
        name: of the model.
        path: the file.

    Raises:
        UserError: the package gguf is missing, or llama.cpp has no such tokenizer.
    """
    try:
        import gguf
    except ImportError:
        raise UserError("--format gguf: needs the package gguf; install it with `pip install gguf`") from None
    shape = model.shape
    base, factors = frequency_factors(frequencies)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(model.training_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.mlp_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads or shape.heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(base)
    writer.add_vocab_size(model.vocabulary)
    add_tokenizer(writer, tokenizer, model.vocabulary, start_token)
    prefix = prefix_of(frequencies)
    if prefix is None or prefix.kept < len(frequencies):
        writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    order = interleaved_order(shape.head_dim)
    for key, weight in llama_weights(model).items():
        if key == "lm_head.weight" and shape.tied_embeddings:
            continue
        if key.endswith(("q_proj.weight", "k_proj.weight")):
            weight = reorder_heads(weight, order, shape.head_dim)
        writer.add_tensor(_gguf_name(key), weight.detach().cpu().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    """Return llama.cpp's name of a weight of Llama."""
    stem = name.removesuffix(".weight")
    if stem in GGUF_OUTER_NAMES:
        return f"{GGUF_OUTER_NAMES[stem]}.weight"
    _, _, layer, inner = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_LAYER_NAMES[inner]}.weight"
