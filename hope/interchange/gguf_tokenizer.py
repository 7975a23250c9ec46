"""A byte-level BPE as llama.cpp reads it."""

from typing import TYPE_CHECKING, Any

from hope.errors import UserError
from hope.interchange.tokenizer import ModelTokenizer, description

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens, by llama.cpp's numbers."""
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern by which Llama 3 cuts text before it merges bytes."""


def add_tokenizer(
    writer: "GGUFWriter", model_tokenizer: ModelTokenizer | None, vocabulary: int, start_token: bool
) -> None:
    """Add a tokenizer to a GGUF file: tokens, merges, and how text is cut before it is merged.

    Args:
        writer: the file.
        model_tokenizer: the tokenizer; None leaves it out, and llama.cpp then takes token ids alone.
        vocabulary: token ids that the model has.
        start_token: whether a text begins with the start token.

    Raises:
        UserError: llama.cpp has no such tokenizer.
    """
    if model_tokenizer is None:
        writer.add_tokenizer_model("no_vocab")
        return
    content = description(model_tokenizer.tokenizer)
    model, where = content["model"], model_tokenizer.folder / "tokenizer.json"
    if model["type"] != "BPE" or model.get("byte_fallback") or content["normalizer"] is not None:
        raise UserError(f"{where}: no plain byte-level BPE, the only kind written to GGUF; use --tokenizer none")
    merges_ignored = bool(model.get("ignore_merges"))
    cutting = _pre_tokenizer(content["pre_tokenizer"], merges_ignored)
    if cutting is None:
        raise UserError(
            f"{where}: cuts text by rules that are neither GPT-2's nor Llama 3's, whose names llama.cpp knows; "
            "use --tokenizer none"
        )
    tokens, kinds = [f"[PAD{index}]" for index in range(vocabulary)], [UNUSED] * vocabulary
    for token, index in model["vocab"].items():
        tokens[index], kinds[index] = token, NORMAL
    for added in content["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], CONTROL if added["special"] else USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cutting)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    if model_tokenizer.start is not None:
        writer.add_bos_token_id(model_tokenizer.start)
    if model_tokenizer.end is not None:
        writer.add_eos_token_id(model_tokenizer.end)
    writer.add_add_bos_token(start_token and model_tokenizer.start is not None)
    writer.add_add_eos_token(False)


def _pre_tokenizer(steps: dict[str, Any] | None, merges_ignored: bool) -> str | None:
    """Return llama.cpp's name for how a tokenizer cuts text, None if it has none.

    Args:
        steps: ``pre_tokenizer`` of a ``tokenizer.json``.
        merges_ignored: whether a whole piece that is a token is not merged; part of what a name stands for.
    """
    if steps is None:
        return None
    parts: list[dict[str, Any]] = steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]
    last = parts[-1]
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    if len(parts) == 1 and last["use_regex"] and not merges_ignored:
        return "gpt-2"
    if len(parts) == 2 and parts[0]["type"] == "Split" and not last["use_regex"] and merges_ignored:
        split = parts[0]
        plain = split["behavior"] == "Isolated" and not split["invert"]
        return "llama-bpe" if plain and split["pattern"].get("Regex") == LLAMA3 else None
    return None
