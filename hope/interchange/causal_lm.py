"""A causal language model of transformers, read by the analysis and the evaluation as it is."""

import copy
import inspect
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.rotary import Rotary, turn
from hope.errors import UserError
from hope.interchange.attention_calls import IMPLEMENTATION, attending, showing, way_into
from hope.interchange.rotation_found import PROBES, Shown, Turn, find_turns, has_spectra
from hope.model.attention import LayerAttention, LayerEncoding, LayerWeights, Observer, attend
from hope.model.bounded_passes import report_within

CHECKED = 24
"""Tokens on which the attention that observers get is compared with that of transformers."""
AGREEMENT = 1e-4
"""Largest difference allowed between the two, in attention weights and, as a share of their spread, in logits."""


class CausalLM(nn.Module):
    """A model of transformers behind the interface of :class:`hope.model.language_model.LanguageModel`.

    Its attention is seen and changed from within its own forward pass (:mod:`hope.interchange.attention_calls`). With
    its own encoding it computes what transformers computes. Another encoding in that place gets queries and keys that
    are turned back first, in the layers of :attr:`turned_layers` alone.

    Attributes:
        stock: the model of transformers.
        way: the way into its attention.
        training_length: L, in tokens.
        shape: the sizes; those of the heads are as its attention shows them.
        turns: the rotation of each layer; empty where it is not known.
        turned_layers: the layers that turn by the frequencies of the encoding; others turn by other ones, or not.
        encoding: the rotation of these layers; an encoding without hooks where none is known.
        plain: an encoding without hooks, for layers that are left as they are.
    """

    def __init__(self, stock: PreTrainedModel, length: int, turns: list[Turn] | None = None) -> None:
        """Wrap a model on the CPU that has the ``attn_implementation`` of its way.

        Args:
            stock: the model.
            length: the training length L.
            turns: the rotation of each layer, as of another model of the same config; None to look for it.

        Raises:
            UserError: its attention cannot be looked into; the line gives the reason.
        """
        super().__init__()
        self.stock, self.way, self.training_length = stock.eval(), way_into(type(stock)), length
        self._given: ContextVar[Tensor | None] = ContextVar("given", default=None)
        self._let_in(self.inner, self._given)
        at_start = self._heads_at(0)
        config = stock.config.get_text_config()
        layers, width = config.num_hidden_layers, config.hidden_size
        if len(at_start) != layers:
            raise UserError(f"shows the attention of {len(at_start)} of its {layers} layers")
        heads, kv_heads, head_dim = _sizes(at_start, width)
        self.shape = EncodingShape(layers, width, heads, kv_heads, head_dim, length)
        self.plain = Encoding(self.shape)
        if turns is None and self.way != "weights":
            turns = find_turns(stock, {0: at_start} | {position: self._heads_at(position) for position in PROBES})
        self.turns = turns or []
        main = _main_turn(self.turns, getattr(config, "layer_types", None))
        self.turned_layers = [layer for layer, one in enumerate(self.turns) if main and one.same_as(main)]
        self.encoding = self._own = self.plain if main is None else Rotary(self.shape, main.frequencies.clone())
        if main is None and not self._reads(2 * length - 1):
            self.plain.longest = length

    @property
    def inner(self) -> nn.Module:
        """The model of transformers without its head."""
        decoder = self.stock.get_decoder()
        return self.stock.model if decoder is self.stock else decoder

    @staticmethod
    def _let_in(inner: nn.Module, given: ContextVar[Tensor | None]) -> None:
        """Let the inner model return given hidden states, so that the model's own head applies to any.

        Every other pass is computed as if it were the model's first.
        """
        own = inner.forward
        rotary = [module for module in inner.modules() if hasattr(module, "original_max_seq_len")]

        def forward(*arguments: Any, **options: Any) -> Any:
            hidden = given.get()
            if hidden is not None:
                return _GivenStates((hidden,))
            for module in rotary:
                _forget_longer_passes(module)
            return own(*arguments, **options)

        inner.forward = forward

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.stock.get_input_embeddings().weight.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.stock.get_input_embeddings().weight.device

    @property
    def no_components(self) -> str:
        """The reason why no frequency components are known, in words; empty if they are."""
        if self.turned_layers:
            return ""
        if self.way == "weights":
            return "the architecture hands out attention weights alone, neither queries nor keys"
        if has_spectra(self.stock) and not self.turns:
            return "its rotation of queries and keys is none that is known here"
        return "it turns no queries and keys"

    @property
    def learns_positions(self) -> bool:
        """Whether it has a table of positions."""
        tables = [module for module in self.stock.modules() if isinstance(module, nn.Embedding)]
        words = self.stock.get_input_embeddings()
        return any(table is not words and table.num_embeddings >= self.training_length for table in tables)

    @property
    def knows_positions(self) -> bool:
        """Whether queries or keys of a single token depend on its position."""
        one, other = self._heads_at(0), self._heads_at(PROBES[0])
        return any(
            not torch.equal(*pair) for pairs in zip(one, other, strict=True) for pair in zip(*pairs, strict=True)
        )

    def untrained(self, seed: int = 0) -> "CausalLM":
        """Return a model of the same config with the first weights that transformers gives it."""
        config = copy.deepcopy(self.stock.config)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            stock = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=IMPLEMENTATION[self.way]
            )
        return CausalLM(stock, self.training_length, self.turns)

    def forward(self, tokens: Tensor, observe: Observer | None = None, first: int = 0) -> Tensor:
        """Return the last hidden state of tokens ``first`` and later, ``[batch, tokens - first, width]``.

        Args:
            tokens: int64 ``[batch, tokens]``, from position 0 on.
            observe: is called with the attention of each layer.
            first: index of the first token whose hidden state is asked for.
        """
        if self.way == "weights":
            return self._stepwise(tokens, observe)[:, first:]
        attention = _Pass(self, tokens, observe)
        with attending(self.way, attention.attend):
            hidden = self.inner(input_ids=tokens, use_cache=False).last_hidden_state
        assert attention.calls == self.shape.layers, "a layer that was not seen"
        return hidden[:, first:]

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits ``[..., vocabulary]`` of hidden states ``[..., width]``, by the model's own head."""
        rows = hidden.reshape(1, -1, hidden.shape[-1])
        token = self._given.set(rows)
        try:
            logits = self.stock(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=hidden.device)).logits
        finally:
            self._given.reset(token)
        return logits.view(*hidden.shape[:-1], -1)

    @torch.inference_mode()
    def check(self) -> None:
        """Compare the attention that observers get, and the logits, with those of transformers on a few tokens.

        Raises:
            UserError: they differ, as they do where an architecture adds to its attention what no observer is shown.
        """
        tokens = torch.arange(CHECKED, device=self.device)[None] % self.vocabulary
        shown: list[Tensor] = []
        logits = self.logits(self(tokens, observe=lambda seen: shown.append(seen.logits(0, CHECKED).softmax(-1))))
        if not bool(torch.isfinite(logits).all()):
            raise UserError("yields values that are not finite, though its weights are: config.json does not fit them")
        gaps = {}
        for implementation in ("eager", "sdpa") if type(self.stock)._supports_sdpa else ("eager",):
            theirs = self._of_transformers(tokens, implementation)
            gaps[implementation] = _gap(logits, theirs.logits) / float(theirs.logits.std().clamp(min=1e-30))
            if implementation == "eager":
                weights = [one for one in theirs.attentions or () if one is not None]
        # In Falcon with ALiBi the two differ; the weights are those of the first.
        if gaps["eager"] <= AGREEMENT:
            if len(weights) != len(shown):
                raise UserError(f"hands out the attention of {len(weights)} layers, and shows that of {len(shown)}")
            gaps["eager"] = max(_gap(one, other) for one, other in zip(shown, weights, strict=True))
            gaps.pop("sdpa", None)
        if not min(gaps.values()) <= AGREEMENT:
            raise UserError("computes its attention in a way that is not known here")

    def _of_transformers(self, tokens: Tensor, implementation: str) -> Any:
        """Return what transformers itself computes; with its attention weights, if it is asked for the plain way."""
        config = self.stock.config.get_text_config()
        config._attn_implementation = implementation
        try:
            return self.stock(input_ids=tokens, use_cache=False, output_attentions=implementation == "eager")
        finally:
            config._attn_implementation = IMPLEMENTATION[self.way]

    def ordered(self, queries: Tensor, keys: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys with the dimensions of a head in the order of this project."""
        if not self.turns:
            return queries, keys
        order = list(self.turns[layer].order)
        return queries[..., order], keys[..., order]

    def turned_back(self, queries: Tensor, keys: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys as they are before the rotation, in the order of this project."""
        frequencies = self.turns[layer].frequencies.float().to(queries.device)
        # Angles in float32, as transformers computes them: what it turned is turned back.
        angles = torch.arange(queries.shape[2], device=queries.device).float()[:, None] * frequencies
        queries, keys = self.ordered(queries, keys, layer)
        return turn(queries, angles.cos(), -angles.sin()), turn(keys, angles.cos(), -angles.sin())

    @property
    def changed(self) -> bool:
        """Whether the encoding is another than the model's own."""
        if self.encoding is not self._own:
            return True
        return isinstance(self._own, Rotary) and not torch.equal(
            self._own.frequencies.cpu(), self.turns[self.turned_layers[0]].frequencies
        )

    def _stepwise(self, tokens: Tensor, observe: Observer | None) -> Tensor:
        """Return the last hidden state of a model that hands out weights alone."""
        if observe is None:
            return self.inner(input_ids=tokens, use_cache=False).last_hidden_state
        layer = iter(range(self.stock.config.get_text_config().num_hidden_layers))
        with showing(self.stock, lambda weights: observe(LayerWeights(next(layer), weights))):
            return self.inner(input_ids=tokens, use_cache=False, output_attentions=True).last_hidden_state

    @torch.inference_mode()
    def _heads_at(self, position: int) -> Shown:
        """Return each layer's queries and keys of a single token at a position, ``[heads, head_dim]``.

        Of a model that hands out weights alone they are empty, ``[heads, 0]``.
        """
        shown: list[tuple[Tensor, Tensor]] = []
        # The row of a padding token is 0 and stays so in training: whatever turns it, it does not move.
        token, place = self.stock.get_input_embeddings().weight.norm(dim=1).argmax().view(1, 1), {}
        if "position_ids" in inspect.signature(type(self.inner).forward).parameters:
            place = {"position_ids": torch.tensor([[position]])}
        if self.way == "weights":
            with showing(self.stock, lambda weights: shown.append((weights[0, :, 0, :0],) * 2)):
                self.inner(input_ids=token, use_cache=False, output_attentions=True, **place)
            return shown

        def keep(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, softcap: Any) -> Tensor:
            shown.append((query[0, :, 0], key[0, :, 0]))
            return value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)

        with attending(self.way, keep):
            self.inner(input_ids=token, use_cache=False, **place)
        return shown

    def _reads(self, position: int) -> bool:
        """Return whether the model has a position. One that takes no positions computes its bias for any number."""
        given = getattr(self.stock.config, "max_seq_len", None)
        if given is not None:  # MPT makes its bias for so many tokens.
            return position < given
        try:
            self._heads_at(position)
        except (IndexError, RuntimeError):
            return False
        return True


class _Pass:
    """The attention of one forward pass, layer by layer."""

    def __init__(self, model: CausalLM, tokens: Tensor, observe: Observer | None) -> None:
        """Begin before the first layer."""
        self.model, self.observe, self.calls = model, observe, 0
        self.positions = torch.arange(tokens.shape[1], device=tokens.device)
        self.changed = model.turned_layers if model.changed else []
        self.prepared = model.encoding.prepare(self.positions) if self.changed else None

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, softcap: float | None
    ) -> Tensor:
        """Return what the heads of the next layer read, after its queries and keys were shown."""
        model, layer, changed = self.model, self.calls, self.calls in self.changed
        self.calls += 1
        where = LayerEncoding(model.encoding if changed else model.plain, layer, self.positions, softcap, mask)
        if changed:
            query, key = model.turned_back(query, key, layer)
            query, key = model.encoding.rotate(query, key, self.prepared, query, layer)
        if self.observe is not None:
            shown = (query, key) if changed else model.ordered(query, key, layer)
            self.observe(LayerAttention(*shown, where, scale))
        read = attend(query, key, value, where, scale)
        report_within(self.calls / (model.shape.layers + 1))
        return read


class _GivenStates(tuple):
    """Stands in for what the inner model returns: hidden states, and None for all else."""

    @property
    def last_hidden_state(self) -> Tensor:
        """The hidden states."""
        return self[0]

    def __getattr__(self, name: str) -> None:
        """Return None for whatever else a head may pass on."""


def _sizes(shown: Shown, width: int) -> tuple[int, int, int]:
    """Return the number of query and key heads and their width.

    Raises:
        UserError: they differ between layers.
    """
    sizes = {(query.shape[0], key.shape[0], query.shape[-1]) for query, key in shown}
    if len(sizes) > 1:
        raise UserError("has heads of other numbers or widths in some layers")
    ((heads, kv_heads, head_dim),) = sizes
    return heads, kv_heads, head_dim or width // heads


def _forget_longer_passes(rotary: nn.Module) -> None:
    """Give a rotary module of type ``dynamic`` the frequencies back that it had before longer texts.

    transformers itself does so for texts shorter than the training length alone.
    """
    end = "max_seq_len_cached"
    for key in [key for key in vars(rotary) if key.endswith(end)]:  # one, or one per kind of layer
        if getattr(rotary, key) > rotary.original_max_seq_len:
            name = key.removesuffix(end) + "inv_freq"
            original = getattr(rotary, key.removesuffix(end) + "original_inv_freq")
            rotary.register_buffer(name, original.to(getattr(rotary, name).device), persistent=False)
            setattr(rotary, key, rotary.original_max_seq_len)


def _gap(one: Tensor, other: Tensor) -> float:
    """Return the largest difference; infinite if one is not a number."""
    gap = float((one - other).abs().max())
    return gap if gap == gap else float("inf")


def _main_turn(turns: list[Turn], kinds: list[str] | None) -> Turn | None:
    """Return the rotation to look into: that of most layers with full attention, or else of most layers.

    Args:
        turns: the rotation of each layer.
        kinds: the kind of attention of each layer, if the config names it.
    """
    full = [one for one, kind in zip(turns, kinds or [], strict=False) if kind == "full_attention"]
    for some in (full, turns):
        moving = [one for one in some if not one.still]
        if moving:
            return max(moving, key=lambda one: sum(one.same_as(other) for other in moving))
    return None
