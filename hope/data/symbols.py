"""A vocabulary of symbols alone, for models that are trained on tasks and read no text."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from hope.data.tokenize import SPLITS, write_manifest
from hope.data.tokenizer import SPECIAL, save_tokenizer, special_tokens
from hope.files import whole_file


def write_symbols(symbols: int, output: Path) -> None:
    """Write ``tokenizer/``, and ``train/`` and ``validation/`` without any text, under ``output``.

    Symbols are written ``s0``, ``s1`` and so on, with spaces between them; the tokenizer refuses any other word.

    Args:
        symbols: number of ordinary tokens.
        output: a study's folder of tokens.
    """
    words = [*SPECIAL.values(), *(f"s{number}" for number in range(symbols))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special_tokens())
    save_tokenizer(tokenizer, output / "tokenizer")
    for split in SPLITS:
        with whole_file(output / split / "documents.bin") as temporary:
            np.zeros(1, dtype="<i8").tofile(temporary)
        write_manifest(output, split, tokenizer, shards=[], lengths=[], characters=0, corpus_digest="")
