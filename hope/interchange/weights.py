"""Read the weights of a stock checkpoint: safetensors in one file or several, and no other format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hope import config
from hope.errors import UserError
from hope.files import read_object
from hope.model.llama import GATE_UP, QKV, llama_names

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint.

    Raises:
        UserError: there is no such folder, it has only pickles, or a file in its index is missing.
    """
    if folder.is_file():
        refuse_pickle(folder)
        raise UserError(f"{folder}: is a file; name the folder that holds it and config.json")
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        listed = read_object(folder / INDEX).get("weight_map")
        named = list(listed.values()) if isinstance(listed, dict) else []
        for name in named:
            if not isinstance(name, str) or Path(name).name != name or not name:
                raise UserError(f"{folder / INDEX}: names {name!r}, which is no file in its folder")
        names = set(named)
        for name in sorted(names):
            refuse_pickle(folder / name)
            if not (folder / name).is_file():
                raise UserError(f"{folder / name}: there is no such file, though {INDEX} names it")
        if not names:
            raise UserError(f"{folder / INDEX}: names no files")
        return [folder / name for name in sorted(names)]
    for path in sorted(folder.iterdir()):
        refuse_pickle(path)
    raise UserError(f"{folder}: holds neither {SINGLE} nor {INDEX}")


def refuse_pickle(path: Path) -> None:
    """Refuse a file whose suffix is that of a pickle.

    Raises:
        UserError: the file is a pickle.
    """
    if path.suffix in PICKLES:
        raise UserError(f"{path}: a pickle can run code and is never read; save the checkpoint as safetensors")


def read_weights(files: list[Path], kind: str, shape: config.Model) -> dict[str, Tensor]:
    """Return the weights of an architecture in float32, by their names there.

    A head of a model with tied embeddings is left out if it equals the embedding, and returned if it differs: such a
    model is not tied, whatever its config says. transformers reads it so too.

    Args:
        files: of the checkpoint.
        kind: its ``model_type``.
        shape: its sizes.

    Raises:
        UserError: a file is damaged; a weight is missing, is no float, is not finite, or has no place in a decoder of
            this project.
    """
    wanted = set(_names(kind, shape))
    weights: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    if name in wanted or name == HEAD:
                        weights[name] = _float32(file.get_tensor(name), name, path)
                    elif not is_recomputed(name):
                        raise UserError(f"{path}: {name} has no place in a decoder without biases and extra norms")
        except SafetensorError as error:
            raise UserError(f"{path}: not a safetensors file ({error})") from None
    if shape.tied_embeddings and HEAD in weights:
        weights.setdefault(EMBEDDING, weights[HEAD])
        if torch.equal(weights[HEAD], weights[EMBEDDING]):
            del weights[HEAD]
    missing = sorted(wanted - set(weights))
    if missing:
        raise UserError(
            f"{files[0].parent}: {missing[0]} is missing{f', and {len(missing) - 1} more' * (len(missing) > 1)}"
        )
    refuse_not_finite(weights, files[0].parent)
    return weights


def refuse_not_finite(weights: Mapping[str, Tensor], where: Path) -> None:
    """Refuse weights with a value that is not finite.

    Args:
        weights: by name.
        where: the folder of the model, which the error names.

    Raises:
        UserError: one is NaN or infinite.
    """
    for name, weight in weights.items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            count = int((~torch.isfinite(weight)).sum())
            raise UserError(
                f"{where}: {name} has {count:,} of {weight.numel():,} values that are NaN or infinite; the file is "
                "damaged, or the training that wrote it had diverged: get another copy, or an earlier checkpoint"
            )


def checked_length(value: Any, key: str, path: Path) -> int:
    """Return a training length from a config.

    Raises:
        UserError: it is no whole number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{path}: {key} is {value!r}; it should be the training length, a number of tokens above 0")
    return value


def _names(kind: str, shape: config.Model) -> list[str]:
    """Return the names of an architecture's weights."""
    names = llama_names(shape)
    if kind != "phi3":
        return names
    fused = ("self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight")
    apart = tuple(QKV + GATE_UP)
    kept = [name for name in names if not name.endswith(apart)]
    return kept + [f"model.layers.{index}.{name}" for index in range(shape.layers) for name in fused]


def is_recomputed(name: str) -> bool:
    """Return True for a tensor that follows from the config: a rotary table of an older checkpoint."""
    return name.endswith("rotary_emb.inv_freq")


def _float32(weight: Tensor, name: str, path: Path) -> Tensor:
    """Return a weight in float32."""
    if weight.dtype not in FLOATS:
        kind = str(weight.dtype).removeprefix("torch.")
        raise UserError(f"{path}: {name} is {kind}; only float32, float16 and bfloat16 are read")
    return weight.float()
