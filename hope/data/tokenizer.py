"""Tokenizers: fit a byte-level BPE, load a pretrained one, encode text, save for Hugging Face."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hope.config import Tokens
from hope.errors import UserError
from hope.files import write_json, write_text

SPECIAL = {"start": "<|start|>", "end": "<|end|>", "separator": "<|separator|>", "query": "<|query|>"}
"""Tokens that no text yields: they mark the ends of windows and documents, and the parts of a task."""


def fit_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Fit a byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on ``texts``.

    Every byte is a token, so that decoding returns any text unchanged. A small corpus yields fewer tokens than
    ``vocabulary``, since a pair that occurs once gets no token.

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
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_pretrained(settings: Tokens) -> Tokenizer:
    """Load a tokenizer from a ``tokenizer.json``, a folder with one, or the hub, with our special tokens added.

    Only ``tokenizer.json`` is read, which contains no code. Truncation and padding that the file may ask for are
    switched off.

    Raises:
        UserError: there is no such tokenizer, it has no ``tokenizer.json``, or gaps in its vocabulary let the
            library give one id to two tokens.
    """
    assert settings.pretrained
    given = Path(settings.pretrained).expanduser()
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
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.add_special_tokens(special_tokens())
    vocabulary = tokenizer.get_vocab()
    if len(set(vocabulary.values())) < len(vocabulary):
        raise UserError(
            f"tokens.pretrained: the ids of '{settings.pretrained}' have gaps, so that one of its tokens and a "
            "special token would share an id; use another tokenizer"
        )
    return tokenizer


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
    reserved = list(special_ids(tokenizer).values())
    if any(np.isin(ids, reserved).any() for ids in encoded):
        raise UserError(
            f"tokens.pretrained: this tokenizer encodes plain text as one of {', '.join(SPECIAL.values())}, which must "
            "not occur in text; use another tokenizer"
        )
    return encoded


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the token ids of each text, with no special token added before or after it.

    A special token that is written in a text is encoded as plain text: a document about ``<|end|>`` does not end there.
    """
    tokenizer.encode_special_tokens = True
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]


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
