"""Tiny random models of transformers, one or more per architecture, far from uniform attention."""

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    DeepseekV3Config,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    StableLmConfig,
)

LENGTH, WINDOW, VOCABULARY = 48, 8, 62
"""The training length, the sliding window where there is one, and the token ids."""
IDS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
SIZES = IDS | {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": LENGTH,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
OLD = IDS | {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": LENGTH}


def rope(kind: str = "default", base: float = 1e4, **settings: float) -> dict:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": base, **settings}}


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 24}
GEMMA = GROUPED | {"head_dim": 16, "sliding_window": WINDOW, "query_pre_attn_scalar": 16}
LATENT = {
    "num_key_value_heads": 4, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16,
    "v_head_dim": 12, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1,
}  # fmt: skip

ROTARY: dict[str, tuple] = {
    # name: config class, settings, layers that turn alike, turning components of a head
    "llama": (LlamaConfig, GROUPED | {"attention_bias": True}, [0, 1, 2], 4),
    "llama-3": (LlamaConfig, GROUPED | rope("llama3", 5e5, **LLAMA3), [0, 1, 2], 4),
    "llama-linear": (LlamaConfig, GROUPED | rope("linear", factor=4.0), [0, 1, 2], 4),
    "llama-yarn": (LlamaConfig, GROUPED | rope("yarn", factor=4.0, original_max_position_embeddings=12), [0, 1, 2], 4),
    "llama-hope": (LlamaConfig, GROUPED | rope("proportional", partial_rotary_factor=0.5), [0, 1, 2], 2),
    "mistral": (MistralConfig, GROUPED | {"sliding_window": WINDOW}, [0, 1, 2], 4),
    "mixtral": (MixtralConfig, GROUPED | {"num_local_experts": 4, "sliding_window": WINDOW}, [0, 1, 2], 4),
    "qwen2": (
        Qwen2Config,
        GROUPED | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
        [0, 1, 2],
        4,
    ),
    "qwen3": (Qwen3Config, GROUPED | {"head_dim": 16}, [0, 1, 2], 8),
    "phi": (PhiConfig, SIZES | rope(partial_rotary_factor=0.5), [0, 1, 2], 2),
    "phi3": (Phi3Config, GROUPED | rope(partial_rotary_factor=0.5) | {"sliding_window": WINDOW}, [0, 1, 2], 2),
    "gemma2": (Gemma2Config, GEMMA, [0, 1, 2], 8),
    "gemma3": (
        Gemma3TextConfig,
        GEMMA | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
        [1],
        8,
    ),
    "smollm3": (SmolLM3Config, GROUPED | {"no_rope_layers": [1, 0, 1]}, [0, 2], 4),
    "olmo2": (Olmo2Config, GROUPED, [0, 1, 2], 4),
    "gpt-neox": (GPTNeoXConfig, SIZES | rope(partial_rotary_factor=0.5), [0, 1, 2], 2),
    "stablelm": (StableLmConfig, GROUPED | rope(partial_rotary_factor=0.5), [0, 1, 2], 2),
    "falcon": (FalconConfig, SIZES | {"alibi": False}, [0, 1, 2], 4),
    "deepseek-v3": (DeepseekV3Config, SIZES | LATENT, [0, 1, 2], 4),
    "cohere2": (
        Cohere2Config,
        GROUPED
        | {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
        [0, 2],
        4,
    ),
    "granite": (GraniteConfig, GROUPED | {"logits_scaling": 8.0, "attention_multiplier": 0.2}, [0, 1, 2], 4),
}
OTHERS: dict[str, tuple] = {
    # Positions enter elsewhere, or the rotation is not shown (GPT-J).
    "gpt2": (GPT2Config, OLD),
    "opt": (OPTConfig, SIZES | {"ffn_dim": 24, "word_embed_proj_dim": 32}),
    "bloom": (BloomConfig, IDS | {"hidden_size": 32, "n_layer": 3, "n_head": 4, "seq_length": LENGTH}),
    "mpt": (MptConfig, IDS | {"d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": LENGTH}),
    "gptj": (GPTJConfig, OLD | {"rotary_dim": 4}),
    "falcon-alibi": (FalconConfig, SIZES | {"alibi": True}),
}


def made(name: str, **over: object) -> PreTrainedModel:
    """Return a model of an architecture with random weights, with transformers' plain attention."""
    kind, settings, *_ = (ROTARY | OTHERS)[name]
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(kind(**settings | over), attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4) if parameter.dim() > 1 else parameter.add_(0.3 * torch.rand_like(parameter))
    return model


def tokens(rows: int = 2, length: int = LENGTH) -> torch.Tensor:
    """Return random token ids, one more than is read."""
    return torch.randint(0, VOCABULARY, (rows, length + 1), generator=torch.Generator().manual_seed(3))
