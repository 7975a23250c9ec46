"""Read the ``config.json`` of a stock checkpoint: sizes and rotation, or the reason why it cannot be imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from hope import config
from hope.encodings.rotary import rope_frequencies
from hope.errors import UserError, short_reason
from hope.files import read_object
from hope.interchange.rotation import STILL
from hope.interchange.weights import checked_length

ARCHITECTURES = ("llama", "mistral", "phi3")
"""Values of ``model_type`` that a decoder of this project may express; the other keys are checked too."""


@dataclass(frozen=True)
class StockConfig:
    """The config of a stock checkpoint.

    Attributes:
        kind: its ``model_type``.
        shape: the sizes.
        vocabulary: rows of its embedding.
        longest: its ``max_position_embeddings``.
        frequencies: of the components, radians per token, float64 ``[d/2]``.
        turning: number of rotated components if only the leading dimensions of a head are rotated; None if
            the whole head is.
        start: id of the token that begins a text; None if there is none.
        end: id of the token that ends a text; None if there is none.
    """

    kind: str
    shape: config.Model
    vocabulary: int
    longest: int
    frequencies: Tensor
    turning: int | None
    start: int | None
    end: int | None


def read_stock_config(path: Path) -> StockConfig:
    """Read the ``config.json`` at ``path``.

    Raises:
        UserError: the checkpoint is of another architecture, or needs parts that a decoder of this project lacks.
    """
    raw = read_object(path)
    kind = raw.get("model_type")
    if kind not in ARCHITECTURES:
        raise UserError(f"{path}: model_type '{kind}' cannot be imported; {', '.join(ARCHITECTURES)} can")
    refuse_quantised(raw, path)
    parsed = _parse(kind, raw, path)
    check_numbers(parsed, path)
    shape = _shape(parsed, path)
    frequencies, turning = _rotation(parsed, shape.head_dim, path)
    return StockConfig(
        kind=kind,
        shape=shape,
        vocabulary=parsed.vocab_size,
        longest=checked_length(parsed.max_position_embeddings, "max_position_embeddings", path),
        frequencies=frequencies,
        turning=turning,
        start=parsed.bos_token_id,
        end=_first_id(parsed.eos_token_id),
    )


def refuse_quantised(raw: dict[str, Any], path: Path) -> None:
    """Refuse the config of a quantised checkpoint.

    Raises:
        UserError: it is one.
    """
    if raw.get("quantization_config"):
        raise UserError(f"{path}: the weights are quantised; give the checkpoint from before quantisation")


def _parse(kind: str, raw: dict[str, Any], path: Path) -> Any:
    """Return the config as transformers reads it, with each architecture's defaults and older spellings resolved."""
    from transformers import LlamaConfig, MistralConfig, Phi3Config, PreTrainedConfig

    kinds: dict[str, type[PreTrainedConfig]] = {"llama": LlamaConfig, "mistral": MistralConfig, "phi3": Phi3Config}
    try:
        return kinds[kind].from_dict(raw)
    except Exception as error:  # Its checks raise many types.
        raise UserError(f"{path}: transformers cannot read it: {short_reason(error)}") from None


SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim",
)  # fmt: skip
NUMBERS = ("rope_theta", "factor")


def check_numbers(parsed: Any, path: Path) -> None:
    """Check the numbers of a config of transformers that are computed with, as far as it has them.

    Raises:
        UserError: one is of another type, or out of its range.
    """
    for key in SIZES:
        value = getattr(parsed, key, None)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UserError(f"{path}: {key} is {value!r}; it should be a whole number above 0")
    for rope in rotations_of(parsed):
        for key in NUMBERS:
            value = rope.get(key, 1.0)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise UserError(f"{path}: {key} is {value!r}; it should be a number above 0")
        share = rope.get("partial_rotary_factor", 1.0)
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise UserError(f"{path}: partial_rotary_factor is {share!r}; it should be a number from 0 to 1")


def rotations_of(parsed: Any) -> list[dict[str, Any]]:
    """Return the parameters of the rotations of a config: one, or one per kind of layer."""
    rope = getattr(parsed, "rope_parameters", None)
    if not isinstance(rope, dict):
        return []
    parts = [part for part in rope.values() if isinstance(part, dict)]
    return [rope] if "rope_type" in rope or not parts else parts


def _factors(rope: dict[str, Any], key: str, count: int, path: Path) -> Tensor:
    """Return a list of factors, float64 ``[count]``.

    Raises:
        UserError: it is no list of so many numbers.
    """
    given = rope.get(key)
    if not isinstance(given, list) or not all(type(one) in (int, float) for one in given) or len(given) != count:
        shown = f"has {len(given)} entries" if isinstance(given, list) else f"is {given!r}"
        raise UserError(f"{path}: {key} {shown}; it should be {count} numbers, one per rotary component")
    return torch.tensor(given, dtype=torch.float64)


def _shape(parsed: Any, path: Path) -> config.Model:
    """Return the sizes.

    Raises:
        UserError: the architecture has parts that a decoder of this project lacks.
    """
    lacking = {
        "hidden_act": (parsed.hidden_act, ("silu", "swish")),
        "attention_bias": (getattr(parsed, "attention_bias", False), (False,)),
        "mlp_bias": (getattr(parsed, "mlp_bias", False), (False,)),
        "sliding_window": (getattr(parsed, "sliding_window", None), (None,)),
    }
    for key, (value, known) in lacking.items():
        if value not in known:
            raise UserError(f"{path}: {key} {value!r} cannot be imported; only {known[0]!r} can")
    heads, kv_heads, width = parsed.num_attention_heads, parsed.num_key_value_heads, parsed.hidden_size
    head_dim = getattr(parsed, "head_dim", None) or width // heads
    if head_dim * heads != width:
        raise UserError(f"{path}: head_dim {head_dim} is not hidden_size / num_attention_heads, {width} / {heads}")
    try:
        return config.Model(
            layers=parsed.num_hidden_layers,
            width=width,
            heads=heads,
            kv_heads=None if kv_heads == heads else kv_heads,
            mlp_width=parsed.intermediate_size,
            tied_embeddings=parsed.tie_word_embeddings,
            norm_epsilon=parsed.rms_norm_eps,
        )
    except ValidationError as error:
        raise UserError(f"{path}: {config.describe(error, config.Model)}") from None


def _rotation(parsed: Any, head_dim: int, path: Path) -> tuple[Tensor, int | None]:
    """Return the frequencies of the components, and the number of rotated ones if not the whole head is rotated.

    Raises:
        UserError: the frequencies are not given, change with the length of the text, or need an attention temperature.
    """
    rope, *others = rotations_of(parsed) or [{}]
    if others or not {"rope_type", "rope_theta"} <= rope.keys():
        raise UserError(f"{path}: rope_parameters: expected one rope_type and one rope_theta for all layers")
    kind, base, half = rope["rope_type"], rope["rope_theta"], head_dim // 2
    # Llama and Mistral ignore this key and rotate whole heads.
    partial = parsed.model_type == "phi3"
    rotary = int(head_dim * rope.get("partial_rotary_factor", 1.0)) if partial else head_dim
    frequencies, attention = rope_frequencies(rotary, base) if rotary else torch.zeros(0, dtype=torch.float64), 1.0
    if kind == "proportional":
        frequencies[int(rope.get("partial_rotary_factor", 1.0) * head_dim // 2) :] = 0
        frequencies = frequencies / rope.get("factor", 1.0)
    elif kind == "linear":
        frequencies = frequencies / rope["factor"]
    elif kind == "longrope":
        short, long = (_factors(rope, f"{name}_factor", len(frequencies), path) for name in ("short", "long"))
        if not torch.equal(short, long):
            raise UserError(f"{path}: rope_type 'longrope' changes its frequencies with the length of the text")
        frequencies = torch.where(short.abs() < STILL, frequencies / short, 0.0)
        attention = _of_transformers(parsed, path)[1]
    elif kind in ("llama3", "yarn"):
        frequencies, attention = _of_transformers(parsed, path)
    elif kind != "default":
        raise UserError(f"{path}: rope_type '{kind}' cannot be imported: its frequencies are not fixed, or not known")
    if attention != 1.0:
        raise UserError(
            f"{path}: rope_type '{kind}' needs an attention temperature of {attention:.4g}, which no encoding here has"
        )
    if not torch.isfinite(frequencies).all() or (frequencies < 0).any():
        raise UserError(f"{path}: rope_parameters yield frequencies that are negative or not finite")
    whole = torch.zeros(half, dtype=torch.float64)
    whole[: len(frequencies)] = frequencies
    return whole, len(frequencies) if partial else None


def _of_transformers(parsed: Any, path: Path) -> tuple[Tensor, float]:
    """Return the frequencies that transformers computes, in float64, and the attention temperature.

    Raises:
        UserError: it cannot compute them.
    """
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    try:
        frequencies, attention = ROPE_INIT_FUNCTIONS[parsed.rope_parameters["rope_type"]](parsed, "cpu")
    except Exception as error:  # It checks little, and so raises many types.
        reason = short_reason(f"{type(error).__name__}: {error}")
        raise UserError(f"{path}: rope_parameters do not yield frequencies ({reason}); see the keys there") from None
    return frequencies.double(), attention


def _first_id(ids: int | list[int] | None) -> int | None:
    return (ids[0] if ids else None) if isinstance(ids, list) else ids
