"""The tokenizer of a model, and its start and end token."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hope.config import parse_study
from hope.data.tokenizer import vocabulary_size
from hope.errors import UserError, short_reason
from hope.files import read_json, read_object, sha256_of_file
from hope.paths import RunPaths, StudyPaths

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""Files of a tokenizer that are copied if they exist."""


@dataclass(frozen=True)
class ModelTokenizer:
    """A tokenizer in its folder.

    Attributes:
        folder: holds ``tokenizer.json``.
        tokenizer: as read from it.
        start: id of the token that begins a text; None if its config names none.
        end: id of the token that ends a text; None if its config names none.
    """

    folder: Path
    tokenizer: Tokenizer
    start: int | None
    end: int | None

    def copy(self, folder: Path) -> None:
        """Copy the tokenizer's files into ``folder``."""
        for name in TOKENIZER_FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)


def find_tokenizer(model: Path, given: str | None, vocabulary: int) -> ModelTokenizer | None:
    """Return the tokenizer of a model, or None if there is none.

    Args:
        model: the model's folder. A tokenizer in it comes first, then that of the study whose ``models/`` it lies in.
        given: another folder with ``tokenizer.json``; "none" for no tokenizer.
        vocabulary: number of token ids of the model.

    Raises:
        UserError: the given folder has no tokenizer, or the tokenizer has ids that the model lacks.
    """
    if given == "none":
        return None
    places = [Path(os.path.expanduser(given))] if given else [model, *_of_study(model)]
    folder = next((place for place in places if (place / "tokenizer.json").is_file()), None)
    if folder is None:
        if given:
            raise UserError(f"--tokenizer: {given} holds no tokenizer.json; name its folder, or 'none' to leave it out")
        return None
    opened = open_tokenizer(folder)
    size = vocabulary_size(opened.tokenizer)
    if size > vocabulary:
        raise UserError(
            f"{folder / 'tokenizer.json'}: has {size} tokens, but {model} has {vocabulary}; "
            "put the tokenizer.json there that belongs to these weights"
        )
    return opened


def _of_study(model: Path) -> list[Path]:
    """Return the folder of the tokenizer that a model was trained with, if the model lies in its study."""
    above = model.absolute().parents
    if len(above) < 4 or above[2].name != "models":
        return []
    run = RunPaths.of_model(model)
    paths = StudyPaths(run.study)
    try:
        arm = parse_study(read_json(paths.config), str(paths.config)).arm(run.arm)
    except UserError:
        return []
    data = paths.data(arm.data_key)
    tokenizer, manifest = data / "tokenizer", data / "train" / "manifest.json"
    file = tokenizer / "tokenizer.json"
    noted = read_json(manifest).get("tokenizer_sha256") if manifest.is_file() else None
    if noted and file.is_file() and noted != sha256_of_file(file):
        raise UserError(f"{file}: altered since {manifest} was written; delete both and run the study again")
    return [tokenizer]


def open_tokenizer(folder: Path) -> ModelTokenizer:
    """Read the tokenizer of a folder from its ``tokenizer.json``.

    Raises:
        UserError: the file is missing, or cannot be read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises bare Exception.
        raise UserError(f"{path}: not a tokenizer ({short_reason(error)})") from None
    beside = folder / "tokenizer_config.json"
    settings = read_object(beside) if beside.is_file() else {}
    return ModelTokenizer(
        folder, tokenizer, *(_id_of(tokenizer, settings.get(key)) for key in ("bos_token", "eos_token"))
    )


def _id_of(tokenizer: Tokenizer, token: str | dict[str, Any] | None) -> int | None:
    """Return the id of a token that a tokenizer's config gives by its text, or as a map with ``content``."""
    text = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(text) if isinstance(text, str) else None
