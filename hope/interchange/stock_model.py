"""Open a stock checkpoint of any architecture of transformers, unconverted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from hope import config
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError, nearest, short_reason
from hope.files import read_object
from hope.interchange.attention_calls import IMPLEMENTATION, way_into
from hope.interchange.causal_lm import CausalLM
from hope.interchange.importing import encoding_with
from hope.interchange.rotation import Prefix, prefix_of
from hope.interchange.rotation_found import has_spectra
from hope.interchange.stock_config import check_numbers, refuse_quantised, rotations_of
from hope.interchange.weights import checked_length, is_recomputed, refuse_not_finite, weight_files

ROUNDING = 1e-6
"""Relative difference of frequencies in float32 from the exact ones."""
LINEAR_BIAS = ("bloom", "mpt")
"""Values of ``model_type`` with ALiBi (Press et al. 2022, arXiv 2108.12409)."""
MASKS = (".attn.bias", ".attn.masked_bias", ".attn.attention.bias", ".attn.attention.masked_bias", ".attn.causal_mask")
"""Ends of the names of causal masks in older checkpoints of GPT-2, GPT-Neo, GPT-J and CodeGen."""


def open_stock(folder: Path, length: int | None = None) -> CausalLM:
    """Return the model of a stock checkpoint, in float32 on the CPU.

    Args:
        folder: its ``config.json`` and safetensors.
        length: the training length L, for a config that names none.

    Raises:
        UserError: the checkpoint is a pickle or damaged, transformers does not know its kind, or its attention cannot
            be looked into.
    """
    weight_files(folder)
    path = folder / "config.json"
    raw = read_object(path)
    parsed = _reading(path, lambda: AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    if type(parsed) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        known = [kind.model_type for kind in MODEL_FOR_CAUSAL_LM_MAPPING]
        kind = raw.get("model_type")
        raise UserError(
            f"{path}: model_type '{kind}' is no causal language model of transformers{nearest(str(kind), known)}"
        )
    refuse_quantised(raw, path)
    check_numbers(parsed.get_text_config(), path)
    trained = _training_length(parsed, path, length)
    parsed.return_dict = parsed.get_text_config().return_dict = True
    stock = _load(folder, parsed)
    try:
        model = CausalLM(stock, trained)
        model.encoding.span = _steady_length(parsed)
        model.check()
    except UserError as error:
        raise UserError(f"{folder}: a model of type '{parsed.model_type}' cannot be looked into: it {error}") from None
    except Exception as error:  # Whatever a class of transformers raises on a pass.
        reason = short_reason(f"{type(error).__name__}: {error}")
        raise UserError(f"{folder}: a model of type '{parsed.model_type}' cannot be looked into ({reason})") from None
    return model


def encoding_of(model: CausalLM) -> config.EncodingSpec:
    """Return the encoding of a stock model, by the simplest family that has its frequencies."""
    if not isinstance(model.encoding, Rotary):
        kind = model.stock.config.model_type
        alibi = kind in LINEAR_BIAS or bool(getattr(model.stock.config, "alibi", False))
        family = "alibi" if alibi else "learned" if model.learns_positions else "none"
        rotated = has_spectra(model.stock) and not model.turns
        unknown = family == "none" and (model.way == "weights" or rotated or model.knows_positions)
        return config.EncodingSpec(name="unknown" if unknown else family, family=family, settings={})
    frequencies, shape = model.encoding.frequencies, model.shape
    kept = int((frequencies != 0).sum())
    prefix = prefix_of(frequencies)
    for theta in _bases(model.stock.config.get_text_config()):
        # Partial rotation has a whole spectrum in its leading dimensions.
        for base in (theta, theta ** (shape.head_dim / (2 * kept))):
            exact = rope_frequencies(shape.head_dim, base)[:kept]
            if torch.allclose(frequencies[:kept], exact, rtol=ROUNDING, atol=0):
                prefix = Prefix(base, kept)
    return encoding_with(frequencies, shape, model.training_length, prefix, ROUNDING)


def _reading(path: Path, read: Callable[[], Any]) -> Any:
    """Return what ``read`` returns; whatever transformers raises becomes one line."""
    try:
        return read()
    except Exception as error:  # Its checks raise many types.
        reason = short_reason(f"{type(error).__name__}: {error}")
        raise UserError(f"{path}: transformers cannot read it: {reason}") from None


def _load(folder: Path, parsed: PreTrainedConfig) -> Any:
    """Return the model of transformers, with every weight of the checkpoint in its place.

    Raises:
        UserError: transformers cannot read it, or a weight is missing, left over, of another shape or not finite.
    """
    kinds: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(parsed)]
    way = way_into(kinds[0] if isinstance(kinds, tuple) else kinds)
    with _quiet():
        stock, report = _reading(
            folder,
            lambda: AutoModelForCausalLM.from_pretrained(
                folder,
                config=parsed,
                dtype=torch.float32,
                attn_implementation=IMPLEMENTATION[way],
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            ),
        )
    left_over = [name for name in report["unexpected_keys"] if not (is_recomputed(name) or name.endswith(MASKS))]
    for found, words in (
        ([name for name, *_ in report["mismatched_keys"]], "has another shape"),
        (report["missing_keys"], "is missing"),
        (left_over, "has no place in its architecture"),
    ):
        if found:
            names = sorted(found)
            more = f", and {len(names) - 1} more" * (len(names) > 1)
            raise UserError(
                f"{folder}: {names[0]} {words}{more}; the checkpoint and config.json do not belong together"
            )
    refuse_not_finite(stock.state_dict(), folder)
    return stock


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing bars and tables of weights within the block: what matters becomes one line."""
    before = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _training_length(parsed: PreTrainedConfig, path: Path, given: int | None) -> int:
    """Return L: the first of the keys by which architectures name it."""
    text = parsed.get_text_config()
    for key in ("max_position_embeddings", "max_seq_len", "seq_length", "n_positions", "n_ctx"):
        if getattr(text, key, None) is not None:
            return checked_length(getattr(text, key), key, path)
    if given is None:
        raise UserError(f"{path}: names no training length; give the number of tokens with --length")
    return given


def _bases(text: PreTrainedConfig) -> list[float]:
    """Return the bases that a config names; some architectures name one per kind of layer."""
    return [float(rope["rope_theta"]) for rope in rotations_of(text) if rope.get("rope_theta")]


def _steady_length(parsed: PreTrainedConfig) -> int | None:
    """Return the number of tokens up to which the frequencies stay as they are; None if they always do."""
    text = parsed.get_text_config()
    ends = []
    for part in rotations_of(text):
        if part.get("rope_type") == "dynamic" or (
            part.get("rope_type") == "longrope" and part.get("short_factor") != part.get("long_factor")
        ):
            ends.append(part.get("original_max_position_embeddings") or text.max_position_embeddings)
    return min(ends, default=None)
