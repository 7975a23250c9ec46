"""The number of parameters of a study's models, and of their token ids."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from hope.catalogue import FAMILIES
from hope.config import Arm, EncodingSpec, Model
from hope.config.data import SPECIAL_TOKENS
from hope.encodings.shape import encoding_shape
from hope.errors import UserError

PUBLISHED = {"gpt2": 50_257, "openai-community/gpt2": 50_257}
"""Vocabularies of tokenizers on the hub (GPT-2: Radford et al. 2019, section 2.3)."""


@dataclass(frozen=True)
class Parameters:
    """Parameters of one model, by part.

    Attributes:
        embedding: the token embedding, which is also the output projection if the two are tied.
        head: the output projection, if it has its own matrix.
        layers: all decoder layers and the final norm.
        encoding: the positional encoding; None if only its class knows.
    """

    embedding: int
    head: int
    layers: int
    encoding: int | None

    @property
    def total(self) -> int:
        """Their sum, as far as known."""
        return self.embedding + self.head + self.layers + (self.encoding or 0)


def count_parameters(shape: Model, encoding: EncodingSpec, vocabulary: int, length: int) -> Parameters:
    """Return the parameters of a decoder, as :class:`hope.model.decoder.Decoder` makes them."""
    table = vocabulary * shape.width
    return Parameters(
        embedding=table,
        head=0 if shape.tied_embeddings else table,
        layers=shape.layers * layer_parameters(shape) + shape.width,
        encoding=_encoding_parameters(shape, encoding, length),
    )


def layer_parameters(shape: Model) -> int:
    """Return the parameters of one decoder layer: its matrices and its two norms."""
    return layer_matrices(shape) + 2 * shape.width


def layer_matrices(shape: Model) -> int:
    """Return the entries of one decoder layer's matrices: attention's four, the MLP's three."""
    queries, keys = attention_widths(shape)
    return shape.width * (2 * queries + 2 * keys + 3 * shape.mlp_width)


def attention_widths(shape: Model) -> tuple[int, int]:
    """Return the total width of the query heads, and of the key heads."""
    return shape.heads * shape.head_dim, (shape.kv_heads or shape.heads) * shape.head_dim


def _encoding_parameters(shape: Model, encoding: EncodingSpec, length: int) -> int | None:
    family = FAMILIES.get(encoding.family)
    return None if family is None else family.parameter_count(encoding_shape(shape, length))


def vocabulary_of(arm: Arm, given: int | None = None) -> int:
    """Return the number of token ids of an arm's models.

    Args:
        arm: the arm.
        given: the size if the user gives it, including special tokens.

    Raises:
        UserError: the tokenizer is on the hub and its size is unknown.
    """
    if not arm.reads_text:
        return arm.symbols + len(SPECIAL_TOKENS)
    if given is not None:
        return given
    tokens = arm.tokens
    if tokens.tokenizer == "bpe":
        return tokens.vocabulary
    assert tokens.pretrained
    place = Path(os.path.expanduser(tokens.pretrained))
    path = place / "tokenizer.json" if place.is_dir() else place
    if path.is_file():
        return _ids_in(path)
    if tokens.pretrained in PUBLISHED:
        return PUBLISHED[tokens.pretrained] + len(SPECIAL_TOKENS)
    raise UserError(
        f"tokens.pretrained: the size of '{tokens.pretrained}' is not known before it is loaded; "
        "give it with --vocabulary"
    )


def _ids_in(path: Path) -> int:
    """Return the number of token ids of a ``tokenizer.json`` with the special tokens: one more than the highest.

    The tokenizers library gives a new token the id after the added ones, or the number of tokens in the vocabulary,
    whichever is higher; in a vocabulary with gaps this may be below the highest id.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        vocabulary, added = content["model"]["vocab"], content.get("added_tokens", [])
        # A unigram model has a list of tokens, the others a map from tokens to ids.
        ids = range(len(vocabulary)) if isinstance(vocabulary, list) else vocabulary.values()
        next_id = max([len(ids), *(token["id"] + 1 for token in added)])
        return max(1 + max(ids), next_id + len(set(SPECIAL_TOKENS) - {token["content"] for token in added}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"tokens.pretrained: {path} is no tokenizer.json ({error}); give --vocabulary") from None
