"""Open a model with its tokenizer, from a model folder of a study or from a stock checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hope import config
from hope.data.tokenizer import SPECIAL, token_ids
from hope.errors import UserError
from hope.files import read_json, sha256_of_file
from hope.interchange.importing import open_stock
from hope.interchange.tokenizer import find_tokenizer
from hope.interchange.weights import weight_files
from hope.model.decoder import Decoder
from hope.model.loading import initial_model, load_model, on_best_device, read_description
from hope.model.registration import MODEL_TYPE


@dataclass(frozen=True)
class Opened:
    """A model that is ready to read text.

    Attributes:
        model: the model, for evaluation.
        encoding: its encoding, by name and with its settings.
        kind: the kind of model, in words.
        trained_here: True for a model of a study.
        initial: makes the untrained model: with its own seed, or for a stock checkpoint, whose initial weights are
            not known, with seed 0 and the initialisation of this project.
        tokenizer: the model's tokenizer.
        start: the start token in a list if the model was trained with one before every text; otherwise empty.
        files: SHA-256 of the model's files, by name.
    """

    model: Decoder
    encoding: config.EncodingSpec
    kind: str
    trained_here: bool
    initial: Callable[[], Decoder]
    tokenizer: Tokenizer
    start: list[int]
    files: dict[str, str]

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the token ids of each text, as :func:`hope.data.tokenizer.token_ids` does."""
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        return token_ids(self.tokenizer, texts)


def open_checkpoint(folder: Path) -> Opened:
    """Open a model of a study, or a stock checkpoint of the Llama kind.

    Raises:
        UserError: there is no such folder; it is a pickle, damaged or of another kind; or it has no tokenizer.
    """
    files = [folder / "config.json", *weight_files(folder)]
    trained_here = read_json(folder / "config.json").get("model_type") == MODEL_TYPE
    if trained_here:
        description = read_description(folder)
        model, encoding = load_model(folder), config.EncodingSpec.model_validate(description["encoding"])
        tokenizer = _tokenizer(folder, model.vocabulary)
        start = tokenizer.token_to_id(SPECIAL["start"]) if description["windows"]["start_token"] else None
        kind, initial = "a model of a study", lambda: initial_model(folder)
    else:
        stock, encoding, stock_config = open_stock(folder)
        model = on_best_device(stock)
        tokenizer = _tokenizer(folder, stock_config.vocabulary)
        # If the tokenizer adds a start token itself, the model has seen no text without one.
        added = tokenizer.encode("").ids
        start = stock_config.start if added[:1] == [stock_config.start] else None
        kind = f"a stock checkpoint, model_type {stock_config.kind}"

        def initial() -> Decoder:
            decoder = Decoder(stock_config.shape, stock_config.vocabulary, stock_config.longest, encoding)
            return on_best_device(decoder.initialise(0))

    return Opened(
        model=model,
        encoding=encoding,
        kind=kind,
        trained_here=trained_here,
        initial=initial,
        tokenizer=tokenizer,
        start=[] if start is None else [start],
        files={path.name: sha256_of_file(path) for path in files},
    )


def _tokenizer(folder: Path, vocabulary: int) -> Tokenizer:
    tokenizer = find_tokenizer(folder, None, vocabulary)
    if tokenizer is None:
        raise UserError(f"{folder}: holds no tokenizer.json, which is needed to read text; put the model's there")
    return tokenizer.tokenizer
