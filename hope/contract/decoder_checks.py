"""Checks that compare passes of a small decoder with the encoding in it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from hope.contract.hook_checks import FAR_POSITION
from hope.contract.subject import TOLERANCE, Broken, Subject, demand, difference
from hope.errors import UserError
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder


@torch.inference_mode()
def causality(subject: Subject) -> str:
    """The result at a token does not depend on later tokens, neither on their ids nor on their number."""
    decoder, count = subject.trained(), subject.most(2 * subject.length)
    cut = count // 2
    ids = subject.tokens(count)
    changed = ids.clone()
    changed[:, cut:] = (changed[:, cut:] + 1) % decoder.vocabulary
    whole = decoder(ids)
    off = difference(whole[:, :cut], decoder(changed)[:, :cut])
    demand(off <= TOLERANCE, f"other tokens from position {cut} on change the result before them by {off:.2g}")
    without = difference(whole[:, :cut], decoder(ids[:, :cut]))
    demand(without <= TOLERANCE, f"more tokens change the result of those before them by {without:.2g}")
    return f"later tokens change nothing (to {max(off, without):.1g})"


@torch.inference_mode()
def batch(subject: Subject) -> str:
    """A batch equals its rows."""
    decoder, ids = subject.trained(), subject.tokens(subject.most(subject.length), rows=3)
    whole = decoder(ids)
    off = max(difference(decoder(ids[row : row + 1])[0], whole[row]) for row in range(3))
    demand(off <= TOLERANCE, f"a row alone differs from the same row in a batch by {off:.2g}")
    return f"equals its rows (to {off:.1g})"


@torch.inference_mode()
def positions(subject: Subject) -> str:
    """Passing the default positions explicitly changes nothing, and no hook writes into them."""
    decoder, ids = subject.trained(), subject.tokens(subject.most(subject.length))
    given = torch.arange(ids.shape[1])
    off = difference(decoder(ids), decoder(ids, positions=given))
    demand(torch.equal(given, torch.arange(ids.shape[1])), "a hook writes into the positions that it is given")
    demand(off == 0, f"passing positions 0, 1, 2, ... changes the result by {off:.2g}")
    return "passing the default ones changes nothing"


@torch.inference_mode()
def independence(subject: Subject) -> str:
    """Two passes at the same time, as in two threads, each give what they give alone: hooks keep nothing."""
    count = subject.most(subject.length) // 2
    ids, places = subject.tokens(2 * count), torch.arange(2 * count)
    # At every second place: a rotation does not see a mere shift.
    ours, others = (ids[:, :count], places[:count]), (ids[:, count:], places[::2])
    expected, expected_others = (subject.trained()(*text) for text in (ours, others))
    decoder, within, worst = subject.trained(), False, 0.0

    def interrupted(hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``hook`` with a pass over the other text before each of its calls."""

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal within, worst
            if not within:
                within = True
                worst = max(worst, difference(decoder(*others), expected_others))
                within = False
            return hook(*arguments, **named)

        return call

    for name in type(decoder.encoding).own_hooks():
        setattr(decoder.encoding, name, interrupted(getattr(decoder.encoding, name)))
    message = "two passes at the same time disturb each other{}: keep nothing between hooks, return it from prepare()"
    try:
        off = difference(decoder(*ours), expected)
    except Exception as error:
        raise Broken(message.format(f" ({type(error).__name__})")) from error
    off = max(off, worst)
    demand(off <= TOLERANCE, message.format(f" by {off:.2g}"))
    return "two passes at the same time do not disturb each other"


@torch.inference_mode()
def cache(subject: Subject) -> str:
    """One pass equals token by token, and piece by piece, with a cache."""
    decoder, ids = subject.trained(), subject.tokens(subject.most(2 * subject.length))
    whole, count = decoder(ids), ids.shape[1]
    worst = 0.0
    for name, sizes in (("token by token", [1] * count), ("piece by piece", [5, 1, 6, 2, count - 14])):
        growing = GrowingCache()
        pieces = torch.cat([decoder(part, cache=growing) for part in ids.split(sizes, dim=1)], dim=1)
        off = difference(pieces, whole)
        if off > TOLERANCE:
            first = int(((pieces - whole).abs().amax((0, 2)) > TOLERANCE).nonzero()[0]) if off < float("inf") else 0
            demand(False, f"{name} with a cache differs from one pass by {off:.2g}, first at position {first}")
        worst = max(worst, off)
    return f"token by token equals one pass of {count} (to {worst:.1g})"


def gradients(subject: Subject) -> str:
    """Every parameter gets a gradient, through queries and keys too, and all gradients are finite."""
    reached: set[str] = set()
    by_name: dict[str, Tensor] = {}
    for decoder in (subject.fresh(), subject.trained()):
        ids = subject.tokens(subject.most(subject.length))
        logits = decoder.logits(decoder(ids[:, :-1]))
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        by_name = _gradients(decoder)
        wrong = [name for name, gradient in by_name.items() if not gradient.isfinite().all()]
        demand(not wrong, f"the gradient is not finite: {', '.join(wrong)}")
        reached |= {name for name, gradient in by_name.items() if gradient.any()}
    own = {name for name in by_name if name.startswith("encoding.")}
    missed = [name.removeprefix("encoding.") for name in by_name if name not in reached]
    demand(not missed, f"no gradient reaches {', '.join(missed)}")
    return f"finite; parameters reached: {len(own)}" if own else "finite; no parameters"


def _gradients(decoder: Decoder) -> dict[str, Tensor]:
    """Return gradients by the parameter's name, 0 where there is none; queries, keys and values are listed apart."""
    named = decoder.named_parameters()
    gradients = {name: torch.zeros_like(one) if one.grad is None else one.grad for name, one in named}
    shape = decoder.shape
    sizes = [number * shape.head_dim for number in (shape.heads, *2 * (shape.kv_heads or shape.heads,))]
    for layer in range(shape.layers):
        parts = gradients.pop(f"blocks.{layer}.attention.qkv.weight").split(sizes)
        gradients |= dict(
            zip((f"the {name} of layer {layer}" for name in ("queries", "keys", "values")), parts, strict=True)
        )
    return gradients


def lengths(subject: Subject) -> str:
    """It works past the training length, or sets ``longest`` and raises a UserError of one line there."""
    decoder = subject.trained()
    longest = decoder.encoding.longest
    if longest is None:
        count = 4 * subject.length
        try:
            hidden = _pass(decoder, subject.tokens(count))
        except UserError as error:
            demand(False, f"ends past the training length ({error}), but does not set `longest`")
        demand(bool(hidden.isfinite().all()), f"a pass of {count} tokens is not finite")
        return f"no end within {count // subject.length} times the training length"
    # The last positions alone: over all of them a pass takes hours where there are many.
    first = max(0, longest - 4 * subject.length)
    hidden = _pass(decoder, subject.tokens(longest - first), torch.arange(first, longest))
    demand(bool(hidden.isfinite().all()), f"a pass up to position {longest - 1} is not finite")
    try:
        _pass(decoder, subject.tokens(longest + 1 - first), torch.arange(first, longest + 1))
    except UserError as error:
        demand("\n" not in str(error), "the error past its last position has more than one line")
        return f"ends at position {longest - 1}: {error}"
    except Exception as error:
        demand(False, f"position {longest} raises {type(error).__name__}, not a UserError of one line")
    demand(False, f"longest is {longest}, but position {longest} gives a result: it wraps or is clipped")
    return ""


@torch.inference_mode()
def shift(subject: Subject) -> str:
    """If ``shift_invariant`` is set, moving all positions changes nothing."""
    decoder, count = subject.trained(), subject.most(subject.length)
    declared = bool(getattr(decoder.encoding, "shift_invariant", subject.shift_invariant))
    if decoder.encoding.longest is not None:
        demand(not declared, "shift_invariant is set, but so is `longest`: positions cannot be moved past it")
        return "not shift-invariant: it sets `longest`"
    ids, off = subject.tokens(count), 0.0
    expected = decoder(ids)
    # A table that begins again does so at a multiple of its length, mostly a power of two.
    for start in (1, 1000, FAR_POSITION - count // 2):
        change = difference(decoder(ids, torch.arange(start, start + count)), expected)
        message = f"shift_invariant is set, but moving position 0 to {start:,} changes the result by {change:.2g}"
        demand(change <= TOLERANCE or not declared, message)
        off = max(off, change)
    if declared:
        return f"depends on distances alone (to {off:.1g}, up to position {FAR_POSITION:,})"
    alone = "distances alone, but shift_invariant is not set" if off <= TOLERANCE else "positions, not distances alone"
    return f"depends on {alone} (a shift changes the result by {off:.1g})"


def determinism(subject: Subject) -> str:
    """The first parameters depend on the seed alone, and a pass draws no random numbers."""
    models = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            models.append(subject.fresh())
    first, second = (model.encoding.state_dict() for model in models)
    for name, one in first.items():
        message = f"{name} differs between two models of one seed; draw it in initialise(), from the generator given"
        demand(torch.equal(one, second[name]), message)
    drawn: list[str] = []

    def generator(name: str) -> torch.Generator:
        drawn.append(name)
        return torch.Generator().manual_seed(0)

    subject.blank().encoding.initialise(generator)
    twice = sorted({name for name in drawn if drawn.count(name) > 1})
    demand(not twice, f"initialise() uses the generator of {', '.join(twice)} twice: both draw the same bits")
    decoder, ids = subject.trained().train(), subject.tokens(subject.most(subject.length))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        off = difference(decoder(ids), decoder(ids))
    demand(off == 0, f"two passes over the same tokens differ by {off:.2g}")
    return "the same bits from the same seed" + (f"; draws {', '.join(drawn)}" if drawn else "")


@torch.no_grad()
def state(subject: Subject) -> str:
    """Saving and loading, also into a model on the meta device, changes no bit."""
    decoder, ids = subject.trained(), subject.tokens(subject.most(subject.length))
    expected = decoder(ids)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        try:
            save_file({name: one.contiguous() for name, one in decoder.state_dict().items()}, path)
        except RuntimeError as error:
            demand(False, f"cannot be saved as safetensors: {str(error).splitlines()[0]}")
        weights = load_file(path)
    for name, device in (("into a new model", "cpu"), ("into a model on the meta device", "meta")):
        with torch.device(device):
            other = subject.blank()
        other.load_state_dict(weights, assign=device == "meta")
        try:
            off = difference(other(ids), expected)
        except (RuntimeError, NotImplementedError) as error:
            if device != "meta":
                raise
            reason = str(error).splitlines()[0]
            demand(False, f"a table is lost on the meta device ({reason}); make tables with device='cpu'")
        message = f"saved and loaded {name} it differs by {off:.2g}: it has state that is neither parameter nor setting"
        demand(off == 0, message)
    return f"{sum(name.startswith('encoding.') for name in weights)} tensors of its own, saved and loaded"


@torch.inference_mode()
def gpu(subject: Subject) -> str:
    """A pass gives the same on a GPU as on the CPU."""
    if not torch.cuda.is_available():
        return "skipped: this machine has none"
    decoder, ids = subject.trained(), subject.tokens(subject.most(2 * subject.length))
    expected = decoder(ids)
    off = difference(decoder.cuda()(ids.cuda()).cpu(), expected)
    demand(off <= 10 * TOLERANCE, f"a pass on the GPU differs from one on the CPU by {off:.2g}")
    return f"the same as on the CPU (to {off:.1g})"


@torch.inference_mode()
def _pass(decoder: Decoder, ids: Tensor, positions: Tensor | None = None) -> Tensor:
    return decoder(ids, positions)
