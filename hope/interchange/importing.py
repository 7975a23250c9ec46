"""Import a stock checkpoint of the Llama kind into a model folder of this project."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from hope import config
from hope.catalogue import family_settings
from hope.encodings.registry import build_encoding
from hope.encodings.rotary import Rotary
from hope.encodings.shape import EncodingShape, encoding_shape
from hope.errors import UserError
from hope.files import sha256_of_file, sha256_of_json, write_json
from hope.interchange.rotation import FREQUENCY_TOLERANCE, Prefix, prefix_of, rotary_share
from hope.interchange.stock import partial_rotary_order, reorder_heads
from hope.interchange.stock_config import StockConfig, read_stock_config
from hope.interchange.tokenizer import open_tokenizer
from hope.interchange.vocabulary import fit_vocabulary
from hope.interchange.weights import HEAD, read_weights, weight_files
from hope.interchange.whole_folder import whole_folder
from hope.model.decoder import Decoder
from hope.model.llama import decoder_weights
from hope.model.registration import MODEL_TYPE


def import_checkpoint(folder: Path, output: Path, length: int | None = None, data: Path | None = None) -> str:
    """Write a stock checkpoint as a model folder that analysis and evaluation open.

    Args:
        folder: the checkpoint's ``config.json`` and safetensors.
        output: the new folder.
        length: the training length L, in tokens; None for the checkpoint's ``max_position_embeddings``.
        data: a study's folder of tokens, tokenized with the checkpoint's tokenizer: the model gets rows for
            the special tokens that the study adds. None keeps the vocabulary.

    Returns:
        One line that describes the imported model.

    Raises:
        UserError: the checkpoint is of another kind, is a pickle or is damaged, the data are of another
            tokenizer, or ``output`` exists.
    """
    if length is not None and length < 1:
        raise UserError(f"--length: {length} is no number of tokens")
    files = weight_files(folder)
    stock_config = read_stock_config(folder / "config.json")
    length = length or stock_config.longest
    encoding = matching_encoding(stock_config, length)
    with whole_folder(output) as temporary:
        stock_config, weights = _read_decoder_weights(files, stock_config)
        vocabulary = stock_config.vocabulary
        if data is not None:
            vocabulary = fit_vocabulary(weights, folder, data, stock_config.start, stock_config.end)
        _check_shapes(weights, stock_config.shape, vocabulary, folder)
        save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        source = {path.name: sha256_of_file(path) for path in [folder / "config.json", *files]}
        description = _describe(stock_config, encoding, length, vocabulary, source)
        write_json(temporary / "config.json", description)
        tokenizer = folder if data is None else data / "tokenizer"
        if (tokenizer / "tokenizer.json").is_file():
            open_tokenizer(tokenizer).copy(temporary)
    return (
        f"{output}: {stock_config.kind} of {sum(weight.numel() for weight in weights.values()):,} weights, "
        f"encoding '{encoding.name}', L = {length}, {vocabulary} token ids"
    )


def matching_encoding(stock_config: StockConfig, length: int) -> config.EncodingSpec:
    """Return the encoding with the checkpoint's frequencies, of the simplest family that has them.

    Args:
        stock_config: of the checkpoint.
        length: the training length L.
    """
    shape, frequencies = encoding_shape(stock_config.shape, length), stock_config.frequencies
    return encoding_with(frequencies, shape, length, prefix_of(frequencies), FREQUENCY_TOLERANCE)


def encoding_with(
    frequencies: Tensor, shape: EncodingShape, length: int, prefix: Prefix | None, tolerance: float
) -> config.EncodingSpec:
    """Return an encoding with given frequencies, of the simplest family that has them.

    Args:
        frequencies: radians per token, float64 ``[d/2]``.
        shape: sizes of the model.
        length: the training length L.
        prefix: base and number of turning components, if the frequencies are those of RoPE up to some component.
        tolerance: relative difference below which two frequencies are equal.
    """
    candidates: list[tuple[str, dict[str, Any]]] = []
    if prefix is not None:
        base = {"base": prefix.base}
        share = rotary_share(shape.head_dim, shape.heads, prefix.kept)
        candidates = [("none", {}), ("rope", base), ("hope", base), ("p_rope", base | {"p": share})]
    candidates.append(("rotary", {"frequencies": frequencies.tolist()}))
    for family, settings in candidates:
        encoding = config.EncodingSpec(name=family, family=family, settings=family_settings(family, settings))
        built = build_encoding(encoding, replace(shape, length=length))
        same = not frequencies.any()
        if isinstance(built, Rotary):
            same = torch.allclose(built.frequencies, frequencies, rtol=tolerance, atol=0)
        if same:
            return encoding
    raise AssertionError("family `rotary` does not have the frequencies that it was given")


def _read_decoder_weights(files: list[Path], stock_config: StockConfig) -> tuple[StockConfig, dict[str, Tensor]]:
    """Return the weights of a checkpoint by their names in a decoder of this project, and its config as they make it.

    A head of its own makes a model whose config ties it to the embedding one that is not tied.
    """
    weights = read_weights(files, stock_config.kind, stock_config.shape)
    shape = stock_config.shape.model_copy(update={"tied_embeddings": HEAD not in weights})
    stock_config = replace(stock_config, shape=shape)
    if stock_config.kind == "phi3":
        _split_phi3(weights, stock_config)
    return stock_config, decoder_weights(weights, shape)


def _split_phi3(weights: dict[str, Tensor], stock_config: StockConfig) -> None:
    """Change weights of Phi-3, in place, into Llama's: split fused projections and reorder the rows of each head."""
    shape = stock_config.shape
    order = partial_rotary_order(shape.head_dim, list(range(stock_config.turning or 0)))
    back = torch.tensor(order).argsort().tolist()
    sizes = [number * shape.head_dim for number in (shape.heads, *[shape.kv_heads or shape.heads] * 2)]
    for layer in range(shape.layers):
        here = f"model.layers.{layer}"
        fused = weights.pop(f"{here}.self_attn.qkv_proj.weight")
        if fused.shape[0] != sum(sizes):
            raise UserError(
                f"{here}.self_attn.qkv_proj.weight: has {fused.shape[0]} rows; config.json asks for {sum(sizes)}"
            )
        for part, weight in zip("qkv", fused.split(sizes), strict=True):
            turned = weight if part == "v" else reorder_heads(weight, back, shape.head_dim)
            weights[f"{here}.self_attn.{part}_proj.weight"] = turned
        halves = weights.pop(f"{here}.mlp.gate_up_proj.weight").chunk(2)
        for part, weight in zip(("gate", "up"), halves, strict=True):
            weights[f"{here}.mlp.{part}_proj.weight"] = weight


def _check_shapes(weights: dict[str, Tensor], shape: config.Model, vocabulary: int, folder: Path) -> None:
    """Check the shapes of the weights against a decoder of these sizes.

    Raises:
        UserError: a shape differs.
    """
    with torch.device("meta"):  # takes no memory
        decoder = Decoder(shape, vocabulary, 1, config.EncodingSpec(name="none", family="none", settings={}))
    for name, expected in decoder.state_dict().items():
        if weights[name].shape != expected.shape:
            raise UserError(
                f"{folder}: the weights do not fit config.json: {name} should be {list(expected.shape)}, "
                f"but is {list(weights[name].shape)}"
            )


def _describe(
    stock_config: StockConfig, encoding: config.EncodingSpec, length: int, vocabulary: int, source: dict[str, str]
) -> dict[str, Any]:
    """Return the content of the imported model's ``config.json``."""
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["HopeForCausalLM"],
        "vocab_size": vocabulary,
        "training_length": length,
        # The seed of the untrained model that an analysis compares with; the checkpoint's own is not known.
        "seed": 0,
        "shape": stock_config.shape.model_dump(),
        "encoding": encoding.model_dump(),
        "windows": config.Windows().model_dump(),
        "trained_tasks": [],
        "dtype": "float32",
        "fingerprint": sha256_of_json(source)[:16],
        "imported": {"architecture": stock_config.kind, "sha256": source},
    }
