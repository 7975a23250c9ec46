"""Write a byte-level BPE into a GGUF file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hope.errors import UserError
from hope.interchange.tokenizer import ModelTokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern by which Llama 3 splits text before it merges bytes."""


def add_tokenizer(
    writer: "GGUFWriter", model_tokenizer: ModelTokenizer | None, vocabulary: int, start_token: bool
) -> None:
    """Add a tokenizer to a GGUF file: tokens, merges, and how text is split before bytes are merged.

    Args:
        writer: the file.
        model_tokenizer: the tokenizer; None leaves it out, and llama.cpp then takes only token ids.
        vocabulary: number of token ids of the model.
        start_token: True if a text begins with the start token.

    Raises:
        UserError: llama.cpp has no such tokenizer.
    """
    if model_tokenizer is None:
        writer.add_tokenizer_model("no_vocab")
        return
    from gguf import TokenType

    content = json.loads(model_tokenizer.tokenizer.to_str())
    model, where = content["model"], model_tokenizer.folder / "tokenizer.json"
    if model["type"] != "BPE" or model.get("byte_fallback") or content["normalizer"] is not None:
        raise UserError(f"{where}: not a plain byte-level BPE, the only kind written to GGUF; use --tokenizer none")
    pre_tokenizer = _pre_tokenizer(content["pre_tokenizer"], bool(model.get("ignore_merges")))
    if pre_tokenizer is None:
        raise UserError(
            f"{where}: splits text by neither GPT-2's nor Llama 3's rules, the only ones written to GGUF; "
            "use --tokenizer none"
        )
    tokens, kinds = [f"[PAD{index}]" for index in range(vocabulary)], [TokenType.UNUSED] * vocabulary
    for token, index in model["vocab"].items():
        tokens[index], kinds[index] = token, TokenType.NORMAL
    for added in content["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    start, end = _ends(model_tokenizer, kinds, where)
    if kinds[end] == TokenType.UNUSED:
        kinds[end] = TokenType.CONTROL
    writer.add_token_types(kinds)
    writer.add_bos_token_id(start)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(start_token and model_tokenizer.start is not None)
    writer.add_add_eos_token(False)


def _ends(model_tokenizer: ModelTokenizer, kinds: list, where: Path) -> tuple[int, int]:
    """Return the ids of the start and the end token that the file names.

    llama.cpp takes token 11, whatever it is, for one that a file does not name, and ends every text there. So a
    missing one is the other, or an id without a token: no model writes its start token or such an id.

    Raises:
        UserError: there is neither of them, and every id has a token.
    """
    from gguf import TokenType

    unused = next((index for index, kind in enumerate(kinds) if kind == TokenType.UNUSED), None)
    start, end = model_tokenizer.start, model_tokenizer.end
    for known in (start, end, unused):
        if known is not None:
            return (known if start is None else start), (known if end is None else end)
    raise UserError(
        f"{where}: has no end token, for which llama.cpp would take token 11; name one as eos_token in "
        "tokenizer_config.json, or use --tokenizer none"
    )


def _pre_tokenizer(steps: dict[str, Any] | None, merges_ignored: bool) -> str | None:
    """Return llama.cpp's name for how a tokenizer splits text, None if it has none.

    Args:
        steps: ``pre_tokenizer`` of a ``tokenizer.json``.
        merges_ignored: True if a whole piece that is a token is used without merges; each name implies one value.
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
