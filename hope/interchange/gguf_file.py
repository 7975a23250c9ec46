"""Write a decoder as a GGUF file, the format of llama.cpp: one file with sizes, tokenizer and weights."""

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


def write_gguf(
    model: Decoder, frequencies: Tensor, tokenizer: ModelTokenizer | None, start_token: bool, name: str, path: Path
) -> None:
    """Write a decoder as architecture ``llama``, in float32.

    That architecture rotates neighbouring rows of a head, so rows j and j + d/2 of queries and keys are moved next
    to each other. Its tensor ``rope_freqs`` divides the frequencies ``b^(-2j/d)``; a huge factor freezes a component.

    Args:
        model: a decoder with a rotary encoding.
        frequencies: of its components, radians per token, float64 ``[d/2]``.
        tokenizer: the model's tokenizer, or None to leave it out.
        start_token: True if a text begins with the start token.
        name: title of the model.
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
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.layers)
    order = interleaved_order(shape.head_dim)
    for key, weight in llama_weights(model).items():
        if key == "lm_head.weight" and shape.tied_embeddings:
            continue
        if key.endswith(("q_proj.weight", "k_proj.weight")):
            weight = reorder_heads(weight, order, shape.head_dim)
        gguf_name = names.get_name(key, try_suffixes=(".weight",))
        assert gguf_name
        writer.add_tensor(gguf_name, weight.detach().cpu().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
