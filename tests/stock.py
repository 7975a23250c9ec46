"""The stock transformers model that a decoder with RoPE must equal."""

from transformers import LlamaConfig, LlamaForCausalLM

from hope.model.decoder import Decoder
from hope.model.llama import llama_config, llama_weights


def stock_llama(model: Decoder) -> LlamaForCausalLM:
    """Return transformers' Llama with the weights of a RoPE decoder, with plain attention."""
    stock = LlamaForCausalLM(LlamaConfig(**llama_config(model, 10_000.0), attn_implementation="eager")).eval()
    stock.load_state_dict(llama_weights(model))
    return stock
