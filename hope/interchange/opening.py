"""Open a model with its tokenizer, from a model folder of a study or from a stock checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Tokenizer, models

from hope import config
from hope.data.tokenizer import SPECIAL, leave_texts_whole, token_ids, vocabulary_size
from hope.errors import UserError, short_reason
from hope.files import read_object, sha256_of_file
from hope.interchange.stock_model import encoding_of, open_stock
from hope.interchange.tokenizer import ModelTokenizer, find_tokenizer
from hope.interchange.weights import refuse_not_finite, weight_files
from hope.model.language_model import LanguageModel
from hope.model.loading import initial_model, load_model, read_description
from hope.model.registration import MODEL_TYPE


@dataclass(frozen=True)
class Opened:
    """A model that is ready to read text.

    Attributes:
        folder: the checkpoint.
        model: the model, for evaluation.
        encoding: its encoding, by name and with its settings.
        kind: the kind of model, in words.
        sizes: of the model, as a config of a study has them: ``width`` is heads times head dimension.
        parameters: number of its weights.
        trained_here: True for a model of a study.
        initial: makes the untrained model: with its own seed, or for a stock checkpoint, whose initial weights are
            not known, with seed 0 and the initialisation of transformers.
        tokenizer: the model's tokenizer.
        start: the start token in a list if the model was trained with one before every text; otherwise empty.
        files: SHA-256 of the model's files, by name.
    """

    folder: Path
    model: LanguageModel
    encoding: config.EncodingSpec
    kind: str
    sizes: config.Model
    parameters: int
    trained_here: bool
    initial: Callable[[], LanguageModel]
    tokenizer: Tokenizer
    start: list[int]
    files: dict[str, str]

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the token ids of each text, as :func:`hope.data.tokenizer.token_ids` does.

        Raises:
            UserError: the tokenizer cannot encode a text.
        """
        try:
            return token_ids(self.tokenizer, texts)
        except Exception as error:  # The library raises bare Exception.
            reason = short_reason(error)
            raise UserError(
                f"{self.folder / 'tokenizer.json'}: cannot encode the text ({reason}); a tokenizer needs a token for "
                "what it does not know, or one for every byte"
            ) from None


def open_checkpoint(folder: Path, length: int | None = None) -> Opened:
    """Open a model of a study, or a stock checkpoint.

    Args:
        folder: the checkpoint.
        length: the training length in tokens, for a stock checkpoint whose config names none.

    Raises:
        UserError: there is no such folder; it is a pickle, damaged or of a kind that cannot be looked into; or it has
            no tokenizer.
    """
    files = [folder / "config.json", *weight_files(folder)]
    trained_here = read_object(folder / "config.json").get("model_type") == MODEL_TYPE
    model: LanguageModel
    if trained_here:
        description = read_description(folder)
        decoder, encoding = load_model(folder), config.EncodingSpec.model_validate(description["encoding"])
        refuse_not_finite(decoder.state_dict(), folder)
        tokenizer = _tokenizer(folder, decoder.vocabulary)
        start = tokenizer.tokenizer.token_to_id(SPECIAL["start"]) if description["windows"]["start_token"] else None
        kind, model, sizes = "a model of a study", decoder, decoder.shape
        parameters = sum(parameter.numel() for parameter in decoder.parameters())

        def initial() -> LanguageModel:
            return initial_model(folder)
    else:
        stock = open_stock(folder, length)
        encoding = encoding_of(stock)
        tokenizer = _tokenizer(folder, stock.vocabulary)
        # If the tokenizer adds its start token itself, the model has seen no text without one.
        added = _before_a_text(tokenizer.tokenizer)
        start = added[0] if added and added[0] in (tokenizer.start, stock.stock.config.bos_token_id) else None
        kind = f"a stock checkpoint, model_type {stock.stock.config.model_type}"
        model = stock.to("cuda" if torch.cuda.is_available() else "cpu")
        parameters, shape = sum(parameter.numel() for parameter in stock.parameters()), stock.shape
        width = shape.heads * shape.head_dim
        try:
            sizes = config.Model(layers=shape.layers, width=width, heads=shape.heads, kv_heads=shape.kv_heads)
        except ValidationError as error:
            raise UserError(f"{files[0]}: cannot be looked into: {config.describe(error, config.Model)}") from None

        def initial() -> LanguageModel:
            return stock.untrained().to(stock.device)

    return Opened(
        folder=folder,
        model=model,
        encoding=encoding,
        kind=kind,
        sizes=sizes,
        parameters=parameters,
        trained_here=trained_here,
        initial=initial,
        tokenizer=tokenizer.tokenizer,
        start=[] if start is None else [start],
        files={path.name: sha256_of_file(path) for path in files},
    )


def _tokenizer(folder: Path, vocabulary: int) -> ModelTokenizer:
    """Return the tokenizer of a model, without what its file may ask for besides the tokens of a text.

    Raises:
        UserError: there is none, or it has ids that the model lacks.
    """
    tokenizer = find_tokenizer(folder, None, vocabulary)
    if tokenizer is None:
        raise UserError(f"{folder}: holds no tokenizer.json, which is needed to read text; put the model's there")
    leave_texts_whole(tokenizer.tokenizer)
    return tokenizer


def _before_a_text(tokenizer: Tokenizer) -> list[int]:
    """Return the ids that a tokenizer puts before a text."""
    text = vocabulary_size(tokenizer)
    # A text of one token that is none of the tokenizer's own, so that it is found between those that are added.
    marked = Tokenizer(models.WordLevel({"text": text}, unk_token="text"))
    marked.post_processor = tokenizer.post_processor
    ids = marked.encode("text").ids
    return ids[: ids.index(text)]
