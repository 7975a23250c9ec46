"""Tokenizers: fit a byte-level BPE, load a pretrained one, encode text, save for Hugging Face."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Encoding, Tokenizer, decoders, models, pre_tokenizers, trainers

from hope.config import Tokens
from hope.data.progress import beating
from hope.errors import UserError, short_reason
from hope.files import write_json, write_text

SPECIAL = {"start": "<|start|>", "end": "<|end|>", "separator": "<|separator|>", "query": "<|query|>"}
"""Tokens that no text yields: they mark the ends of windows and documents, and the parts of a task."""


UNKNOWN = "<|unknown|>"
"""Stands for what a tokenizer without a token for it does not know, where this is counted."""

LONGEST_WORD = 256
"""Characters of a word, a number, or any run without a boundary, that a fit takes as one piece: the time to fit grows
with the square of the length of a piece."""

LONG_WORD = re.compile(
    rf"(?:[^\W\d_]{{{LONGEST_WORD}}}|\d{{{LONGEST_WORD}}}|\s{{{LONGEST_WORD}}}|(?:[^\w\s]|_){{{LONGEST_WORD}}})"
)

WORD_END = re.compile(r"(?<=\S)[ \n]")


def fit_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Fit a byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on ``texts``.

    Every byte is a token, so that decoding returns any text unchanged. A small corpus yields fewer tokens than
    ``vocabulary``, since a pair that occurs once gets no token. Words of more than :data:`LONGEST_WORD` characters, as
    in text without spaces, are fitted on in pieces.

    Args:
        texts: the training side of a corpus.
        vocabulary: largest number of tokens, special tokens and the 256 bytes included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=special_tokens(),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with beating("fit the tokenizer"):
        tokenizer.train_from_iterator(_pieces(texts), trainer)
    return tokenizer


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts, cut within words that are too long to fit on."""
    warned = False
    for text in texts:
        # Splitting at white space is ten times as fast as the search, and nearly every text ends here.
        if max(map(len, text.split()), default=0) < LONGEST_WORD and " " * LONGEST_WORD not in text:
            yield text
            continue
        start = 0
        for match in LONG_WORD.finditer(text):
            yield text[start : match.end()]
            start = match.end()
        yield text[start:]
        if start and not warned:
            warned = True
            print(
                f"fit the tokenizer: words of more than {LONGEST_WORD} characters are fitted on in pieces", flush=True
            )


def load_pretrained(settings: Tokens) -> Tokenizer:
    """Load a tokenizer from a ``tokenizer.json``, a folder with one, or the hub, with our special tokens added.

    Only ``tokenizer.json`` is read, which contains no code. What the file may ask for beside the tokens of the text is
    switched off, and stays off in what :func:`save_tokenizer` writes, so that its ids are those of the training:
    truncation, padding, marks before and after a text (a start token, ``[CLS]``), and BPE dropout, which would give
    other tokens each time.

    Raises:
        UserError: there is no such tokenizer, it has no ``tokenizer.json``, or gaps in its vocabulary let the
            library give one id to two tokens.
    """
    assert settings.pretrained
    given = settings.local or Path(os.path.expanduser(settings.pretrained))
    path = given / "tokenizer.json" if given.is_dir() else given
    if path.suffix == ".json" and not path.is_file():
        raise UserError(f"tokens.pretrained: {path} is no file; save the tokenizer as a 'fast' one to get it")
    try:
        if path.is_file():
            tokenizer = Tokenizer.from_file(str(path))
        else:
            tokenizer = Tokenizer.from_pretrained(settings.pretrained, revision=settings.revision or "main")
    except Exception as error:  # The library raises bare Exception, for a broken file and for a missing repository.
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"tokens.pretrained: cannot read a tokenizer from '{settings.pretrained}' ({reason}); name a "
            "tokenizer.json, a folder that holds one, or a hub name with its revision"
        ) from None
    dropout = leave_texts_whole(tokenizer)
    if tokenizer.num_special_tokens_to_add(False):
        print("tokenizer: marks before or after each text are switched off", flush=True)
        tokenizer.post_processor = None
    if dropout:
        print("tokenizer: its dropout is switched off", flush=True)
    tokenizer.add_special_tokens(special_tokens())
    vocabulary = tokenizer.get_vocab()
    if len(set(vocabulary.values())) < len(vocabulary):
        raise UserError(
            f"tokens.pretrained: the ids of '{settings.pretrained}' have gaps, so that one of its tokens and a "
            "special token would share an id; use another tokenizer"
        )
    return tokenizer


def leave_texts_whole(tokenizer: Tokenizer) -> bool:
    """Switch off truncation, padding and BPE dropout (other tokens each time); return whether there was dropout."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    dropout = bool(getattr(tokenizer.model, "dropout", None))
    if dropout:
        tokenizer.model.dropout = None
    return dropout


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the ids of the four special tokens by role: start, end, separator, query."""
    vocabulary = tokenizer.get_vocab()
    return {role: vocabulary[token] for role, token in SPECIAL.items()}


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """Return the highest token id plus one: a pretrained vocabulary may have gaps."""
    return max(tokenizer.get_vocab().values()) + 1


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the token ids of each text, as :func:`token_ids` does, for a tokenizer with this project's special tokens.

    Raises:
        UserError: the tokenizer's own vocabulary yields a special token for plain text.
    """
    encoded = token_ids(tokenizer, texts)
    reserved = np.array([tokenizer.token_to_id(token) for token in SPECIAL.values()])
    if any(np.isin(ids, reserved).any() for ids in encoded):
        raise UserError(
            f"tokens.pretrained: this tokenizer encodes plain text as one of {', '.join(SPECIAL.values())}, which must "
            "not occur in text; use another tokenizer"
        )
    return encoded


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the token ids of each text, with no special token added before or after it.

    A special token that is written in a text is encoded as plain text: a document about ``<|end|>`` does not end there.

    Raises:
        UserError: the tokenizer has no token for a word, and no token for unknown words.
    """
    return [np.array(encoding.ids, dtype=np.int64) for encoding in _encodings(tokenizer, texts, fast=True)]


def unknown_characters(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """Count the characters of texts that a tokenizer has no token for: unknown ones, and those that it drops.

    White space does not count.
    """
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model["type"] == "BPE" and not model.get("unk_token"):
        # It drops what it does not know, and its offsets are then those of a shorter text.
        model["unk_token"] = UNKNOWN
        model["vocab"][UNKNOWN] = vocabulary_size(tokenizer)
    tokenizer = Tokenizer.from_str(json.dumps(content))
    unknown_id = model.get("unk_id")
    if model.get("unk_token"):
        unknown_id = tokenizer.token_to_id(model["unk_token"])
    counts: Counter[str] = Counter()
    for text, encoding in zip(texts, _encodings(tokenizer, texts, fast=False), strict=True):
        known = np.zeros(len(text), dtype=bool)
        for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            known[start:end] |= index != unknown_id
        counts.update(
            character for character in map(text.__getitem__, np.flatnonzero(~known)) if not character.isspace()
        )
    return counts


def spells_all(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer has a token for each byte and uses it, so that no text is unknown to it."""
    content, vocabulary = json.loads(tokenizer.to_str()), tokenizer.get_vocab()
    if content["model"].get("byte_fallback"):
        return all(f"<0x{byte:02X}>" in vocabulary for byte in range(256))
    by_bytes = "'ByteLevel'" in repr((content["pre_tokenizer"], content["normalizer"]))
    return by_bytes and all(character in vocabulary for character in pre_tokenizers.ByteLevel.alphabet())


def cuts_at_spaces(tokenizer: Tokenizer) -> bool:
    """Return whether the tokens of a text are those of its :func:`pieces_at_spaces`, one after another.

    So it is for a byte-level BPE with GPT-2's pattern of words (Radford et al. 2019): white space begins a new word,
    and nothing before it depends on what follows. Other tokenizers may join words, or treat the start of a text apart.
    """
    content = json.loads(tokenizer.to_str())
    words = content["pre_tokenizer"] or {}
    return (
        content["normalizer"] is None
        and content["model"]["type"] == "BPE"
        and words.get("type") == "ByteLevel"
        and words.get("use_regex", True)
        and not words["add_prefix_space"]
        and all(token["special"] for token in content["added_tokens"])
    )


def pieces_at_spaces(text: str, characters: int) -> Iterator[str]:
    """Yield a text in pieces of about so many characters, cut before white space that follows a word."""
    start = 0
    while start < len(text):
        space = WORD_END.search(text, start + characters)
        end = space.start() if space else len(text)
        yield text[start:end]
        start = end


def _encodings(tokenizer: Tokenizer, texts: Sequence[str], fast: bool) -> list[Encoding]:
    """Return what the library makes of each text; ``fast`` leaves out which characters a token stands for."""
    tokenizer.encode_special_tokens = True
    encode_batch = tokenizer.encode_batch_fast if fast else tokenizer.encode_batch
    try:
        return encode_batch(texts, add_special_tokens=False)
    except Exception as error:  # The library raises bare Exception.
        raise UserError(
            f"tokens.pretrained: this tokenizer cannot encode the corpus ({short_reason(error)}); use "
            "one that has a token for unknown words, or falls back to bytes"
        ) from None


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json``, and ``tokenizer_config.json`` for ``transformers.AutoTokenizer``."""
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIAL["start"],
            "eos_token": SPECIAL["end"],
            "additional_special_tokens": [SPECIAL["separator"], SPECIAL["query"]],
            "clean_up_tokenization_spaces": False,
        },
    )


def special_tokens() -> list[AddedToken]:
    """Return the special tokens in the form that a tokenizer takes."""
    return [AddedToken(token, special=True, normalized=False) for token in SPECIAL.values()]
