"""Trained models on disk: ``model.safetensors`` and ``config.json``. No pickle is ever read."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from hope import config
from hope.catalogue import is_custom
from hope.catalogue.custom import check_source, source_digest
from hope.data.tokens import TokenCorpus
from hope.errors import UserError, short_reason
from hope.files import check_unaltered, read_object, whole_file, write_json
from hope.model.decoder import Decoder
from hope.model.registration import MODEL_TYPE
from hope.paths import SNAPSHOTS, snapshot_file

_DESCRIBED = {
    "vocab_size": int, "training_length": int, "seed": int, "shape": dict, "encoding": dict, "windows": dict,
    "trained_tasks": list, "fingerprint": str,
}  # fmt: skip
"""The keys of ``config.json`` that a model is made from, and their types."""


def save_model(
    model: Decoder, weights: dict[str, torch.Tensor], stage: config.TrainStage, key: str, folder: Path
) -> None:
    """Write ``model.safetensors`` and, last, ``config.json`` into ``folder``.

    Args:
        model: gives the sizes.
        weights: the parameters by name, float32.
        stage: what the model was trained from.
        key: the training's fingerprint.
        folder: where to write.
    """
    save_weights(weights, folder / "model.safetensors")
    write_json(folder / "config.json", describe_model(model, stage) | {"fingerprint": key})


def save_weights(weights: dict[str, torch.Tensor], path: Path, **noted: str) -> None:
    """Write weights as safetensors, whole or not at all; ``noted`` goes into the file's own metadata."""
    whole = {name: weight.contiguous() for name, weight in weights.items()}
    with whole_file(path) as temporary:
        save_file(whole, temporary, metadata={"format": "pt", **noted})
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order: the library writes them in another one each time."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        assert len(text) == size, "the header has another form"
        file.seek(8)
        file.write(text)


def describe_model(model: Decoder, stage: config.TrainStage) -> dict[str, Any]:
    """Return the content of ``config.json``: all that is needed to make the model again.

    Of a user's own encoding it holds the digest of the file too, as ``encoding_source``.
    """
    custom = is_custom(stage.encoding.family)
    source = {"encoding_source": source_digest(stage.encoding.family)} if custom else {}
    return source | {
        "model_type": MODEL_TYPE,
        "architectures": ["HopeForCausalLM"],
        "vocab_size": model.vocabulary,
        "training_length": model.training_length,
        "seed": stage.seed,
        "shape": model.shape.model_dump(),
        "encoding": stage.encoding.model_dump(),
        "windows": stage.training.windows.model_dump(),
        "trained_tasks": _trained(stage),
        "dtype": "float32",
    }


def _trained(stage: config.TrainStage) -> list[str]:
    """Return the tasks of the mixture: the names that the study gives them, and those of the tasks that they are."""
    names = stage.mixture.all_tasks if stage.mixture.share > 0 else []
    return sorted({*names, *(stage.tasks[name].task for name in names)})


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of a model's ``config.json``.

    Raises:
        UserError: it is missing, or of another kind of model.
    """
    description = read_object(folder / "config.json")
    if description.get("model_type") != MODEL_TYPE:
        raise UserError(f"{folder / 'config.json'}: model_type is not '{MODEL_TYPE}': not a model trained here")
    for key, kind in _DESCRIBED.items():
        value, least = description.get(key), 1 if key in ("vocab_size", "training_length") else 0
        if not isinstance(value, kind) or (isinstance(value, int) and value < least):
            raise UserError(f"{folder / 'config.json'}: {key} is {value!r}; get the file that the training wrote")
    if not isinstance(description["windows"].get("start_token"), bool):
        raise UserError(
            f"{folder / 'config.json'}: windows is {description['windows']!r}; get the file that the training wrote"
        )
    for key, section in (("shape", config.Model), ("encoding", config.EncodingSpec)):
        try:
            section.model_validate(description[key])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (key, *first["loc"])))
            raise UserError(
                f"{folder / 'config.json'}: {where}: {first['msg']}; get the file that the training wrote"
            ) from None
    return description


def load_model(folder: Path) -> Decoder:
    """Load a trained model for evaluation, in float32, on a GPU if there is one.

    Raises:
        UserError: a file is missing or damaged, the weights do not fit the config, or the user's own
            encoding is no longer what it was trained with.
    """
    for name in ("config.json", "model.safetensors"):
        check_unaltered(folder / name, [folder / "run.json"])
    model = _make(read_description(folder), folder)
    _fill(model, folder / "model.safetensors")
    return on_best_device(model)


def load_snapshot(model: Decoder, folder: Path, step: int) -> Decoder:
    """Return ``model`` with the weights that it had after ``step`` steps of its training.

    Args:
        model: the model of ``folder``.
        folder: of the trained model.
        step: one of the training's ``snapshot_steps``.

    Raises:
        UserError: the snapshot is missing or damaged, or was kept by another training.
    """
    path = snapshot_file(folder / SNAPSHOTS, step)
    check_unaltered(path, [folder / "run.json"])
    noted = _fill(model, path)
    if noted.get("fingerprint") != read_description(folder)["fingerprint"]:
        raise UserError(
            f"{path}: kept by another training than that of {folder / 'model.safetensors'}; delete both, train again"
        )
    return model


def _fill(model: Decoder, path: Path) -> dict[str, str]:
    """Give a model the weights in a file; return what the file notes."""
    try:
        with safe_open(path, "pt") as opened:
            noted = opened.metadata() or {}
        weights = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; only safetensors are read") from None
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error}); delete it, train again") from None
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{path}: does not fit config.json: {short_reason(error)}") from None
    return noted


def open_model_with_data(model: Path, data: Path, threads: int) -> tuple[Decoder, TokenCorpus]:
    """Return the trained model and the held-out tokens.

    Args:
        model: folder of the trained model.
        data: folder that holds ``validation/``.
        threads: CPU threads of all that follows in this process.

    Raises:
        UserError: one of them is missing or damaged, or they do not belong together.
    """
    torch.set_num_threads(threads)
    corpus = TokenCorpus.open(data / "validation", verify=True)
    decoder = load_model(model)
    if corpus.vocabulary != decoder.vocabulary:
        raise UserError(
            f"{data / 'validation'}: holds ids of {corpus.vocabulary} tokens, but {model} was trained on "
            f"{decoder.vocabulary}; give the data that the model was trained on"
        )
    return decoder, corpus


def initial_model(folder: Path) -> Decoder:
    """Return the model of ``folder`` as it was before its training: the same config and seed."""
    description = read_description(folder)
    return on_best_device(_make(description, folder).initialise(description["seed"]))


def trained_tasks(folder: Path) -> list[str]:
    """Return the retrieval tasks that were part of the model's training."""
    return read_description(folder)["trained_tasks"]


def _make(description: dict[str, Any], folder: Path) -> Decoder:
    check_source(description["encoding"]["family"], description.get("encoding_source"), folder)
    return Decoder(
        config.Model.model_validate(description["shape"]),
        description["vocab_size"],
        description["training_length"],
        config.EncodingSpec.model_validate(description["encoding"]),
    )


def on_best_device(model: Decoder) -> Decoder:
    """Return a model ready for evaluation, on a GPU if there is one."""
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
