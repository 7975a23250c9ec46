"""Export a trained model into a folder that stock tools read."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from hope.files import write_json, write_text
from hope.interchange.card import model_card, provenance_of
from hope.interchange.gguf_file import write_gguf
from hope.interchange.rotation import prefix_of, rotation_of
from hope.interchange.stock import describe_rotation, stock_llama, stock_partial_rotary
from hope.interchange.tokenizer import ModelTokenizer, find_tokenizer
from hope.interchange.weights import refuse_not_finite
from hope.interchange.whole_folder import whole_folder
from hope.model.decoder import Decoder
from hope.model.loading import load_model, read_description

FORMATS = ("llama", "partial-rotary", "gguf")


def export_model(folder: Path, output: Path, kind: str = "llama", tokenizer: str | None = None) -> str:
    """Write the trained model of ``folder`` as a stock checkpoint.

    Args:
        folder: the trained model.
        output: the new folder.
        kind: one of :data:`FORMATS`.
        tokenizer: folder of the model's tokenizer, "none" to leave it out, None to look for it.

    Returns:
        One line that describes the written model.

    Raises:
        UserError: the model cannot be read or has no stock form, or ``output`` exists.
    """
    description = read_description(folder)
    model = load_model(folder).to("cpu")
    refuse_not_finite(model.state_dict(), folder)
    name = description["encoding"]["name"]
    frequencies = rotation_of(model.encoding, name)
    model_tokenizer = find_tokenizer(folder, tokenizer, model.vocabulary)
    rotation = describe_rotation(frequencies, prefix_of(frequencies))
    card = model_card(kind, description, rotation, model_tokenizer is not None, provenance_of(folder, description))
    with whole_folder(output) as temporary:
        if kind == "gguf":
            start_token = description["windows"]["start_token"]
            title = f"{name} at {model.training_length} tokens"
            write_gguf(model, frequencies, model_tokenizer, start_token, title, temporary / "model.gguf")
        else:
            write_stock(model, frequencies, kind, name, model_tokenizer, temporary)
        write_text(temporary / "README.md", card)
    beside = "with its tokenizer" if model_tokenizer else "without a tokenizer: none was found or none was asked for"
    return f"{output}: {kind}, {rotation}; {beside}"


def write_stock(
    model: Decoder, frequencies: Tensor, kind: str, name: str, tokenizer: ModelTokenizer | None, folder: Path
) -> None:
    """Write a checkpoint for transformers: weights, configs and tokenizer."""
    if kind == "llama":
        content, weights = stock_llama(model, frequencies)
    else:
        content, weights = stock_partial_rotary(model, frequencies, name)
    ends: dict[str, Any] = {
        "bos_token_id": tokenizer.start if tokenizer else None,
        "eos_token_id": tokenizer.end if tokenizer else None,
    }
    fixed = {
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "pad_token_id": None,
        "use_cache": True,
        "dtype": "float32",
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", content | ends | fixed)
    # Generation stops at the end token of the training documents; all other sampling settings are left to the user.
    write_json(folder / "generation_config.json", ends | {"pad_token_id": ends["eos_token_id"]})
    if tokenizer:
        tokenizer.copy(folder)
