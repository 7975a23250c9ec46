"""Checks that call an encoding's hooks one by one."""

import torch
from torch import Tensor

from hope.contract.subject import Subject, demand, difference
from hope.encodings.base import Encoding
from hope.model.attention import LayerEncoding
from hope.model.decoder import Decoder

FAR_POSITION = 2**20
"""A position far past any training length."""
HALF = 2**-6
"""Largest difference of a hook's result in bfloat16, as a share of its largest value: eight bits, a rounding or two."""
HOOKS = {"embed": "embeddings", "rotate": "queries and keys", "bias": "a bias", "logits": "logits of its own"}
"""Where each hook puts positions."""


def declarations(subject: Subject) -> str:
    """The attributes of the class agree with the hooks that it overrides."""
    encoding = subject.fresh().encoding
    kind = type(encoding)
    for hook, flag in (("bias", "has_bias"), ("logits", "has_logits")):
        overridden, declared = hook in kind.own_hooks(), getattr(encoding, flag)
        demand(overridden or not declared, f"{flag} is set, but there is no {hook}()")
        demand(declared or not overridden, f"there is a {hook}(), but {flag} is not set: it is never called")
    if encoding.span is not None:
        demand(encoding.recodes, "span is set, but recodes is not: all tokens would be encoded together")
        demand(encoding.span >= subject.length, f"span is {encoding.span}, below the training length")
    if encoding.longest is not None:
        demand(encoding.longest >= subject.length, f"longest is {encoding.longest}, below the training length")
    for name, parameter in encoding.named_parameters():
        demand(parameter.dtype == torch.float32, f"parameter {name} is {parameter.dtype}; make it float32")
    used = [where for hook, where in HOOKS.items() if hook in kind.own_hooks()]
    others = [name for name, one in vars(kind).items() if callable(one) and not hasattr(Encoding, name)]
    demand(bool(used) or not others, f"overrides none of {', '.join(HOOKS)}, but has {', '.join(others)}")
    return " and ".join(used) or "nothing: no hook is overridden"


def shapes(subject: Subject) -> str:
    """Every hook returns the right shape, for any number of key and value heads."""
    heads = subject.shape.heads
    for kv_heads in (1, subject.shape.kv_heads or heads, heads):
        changed = subject.with_kv_heads(kv_heads)
        encoding = changed.trained().encoding
        for count in (1, 7):
            _shapes_of(changed, encoding, kv_heads, count)
        hidden = changed.trained()(changed.tokens(7))
        demand(hidden.shape == (2, 7, subject.shape.width), f"a pass returns {list(hidden.shape)}")
    return f"with 1, 2 and {heads} key and value heads"


def _shapes_of(subject: Subject, encoding: Encoding, kv_heads: int, count: int) -> None:
    """Check the shapes for ``count`` tokens, and with fewer queries than keys where the encoding recodes."""
    shape, positions = subject.shape, torch.arange(count)
    embeddings = torch.randn(2, count, shape.width)
    embedded = encoding.embed(embeddings, positions)
    demand(embedded.shape == embeddings.shape, f"embed() returns {list(embedded.shape)} for {list(embeddings.shape)}")
    prepared = encoding.prepare(positions)
    for fewer in {count, 1 if encoding.recodes else count}:
        for layer in range(shape.layers):
            queries, keys = _queries_and_keys(subject, kv_heads, fewer, count)
            turned, others = encoding.rotate(queries, keys, prepared, torch.randn(2, fewer, shape.width), layer)
            for name, before, after in (("queries", queries, turned), ("keys", keys, others)):
                message = f"rotate() returns {name} {list(after.shape)} for {list(before.shape)}"
                demand(after.dim() == 4 and after.shape[:3] == before.shape[:3], message)
            message = f"rotate() returns queries of {turned.shape[-1]} dimensions and keys of {others.shape[-1]}"
            demand(turned.shape[-1] == others.shape[-1], message)
            if encoding.has_bias:
                _bias(encoding, positions[-fewer:], positions, shape.heads, layer)
            if encoding.has_logits:
                repeated = others.repeat_interleave(shape.heads // kv_heads, dim=1)
                logits = encoding.logits(turned, repeated, positions, layer)
                due = [2, shape.heads, fewer, count]
                demand(list(logits.shape) == due, f"logits() returns {list(logits.shape)}, not {due}")


def _queries_and_keys(subject: Subject, kv_heads: int, queries: int, keys: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    dim = subject.shape.head_dim
    return (
        torch.randn(2, subject.shape.heads, queries, dim, generator=random),
        torch.randn(2, kv_heads, keys, dim, generator=random),
    )


def _bias(encoding: Encoding, queries: Tensor, keys: Tensor, heads: int, layer: int) -> Tensor:
    """Return the bias ``[heads, queries, keys]`` as attention on a CPU computes it."""
    bias = LayerEncoding(encoding, layer, keys).bias(heads)
    assert bias is not None
    try:
        return bias(queries, keys)
    except RuntimeError as error:
        demand("expand" not in str(error), f"bias() does not broadcast to [heads, queries, keys]: {error}")
        raise


def dtypes(subject: Subject) -> str:
    """In bfloat16 the hooks keep the dtype of their arguments, and are precise at far positions."""
    start = 0 if subject.blank().encoding.longest is not None else 4096
    positions = torch.arange(start, start + subject.most(16))
    exact, half = subject.trained().encoding, subject.trained().encoding.bfloat16()
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(parameter.bfloat16())
    count, kv_heads = len(positions), subject.shape.kv_heads or subject.shape.heads
    embeddings = torch.randn(2, count, subject.shape.width, generator=torch.Generator().manual_seed(2)).bfloat16()
    _agree("embed()", half.embed(embeddings, positions), exact.embed(embeddings.float(), positions))
    for layer in range(subject.shape.layers):
        queries, keys = (part.bfloat16() for part in _queries_and_keys(subject, kv_heads, count, count))
        rotated = half.rotate(queries, keys, half.prepare(positions), embeddings, layer)
        prepared = exact.prepare(positions)
        expected = exact.rotate(queries.float(), keys.float(), prepared, embeddings.float(), layer)
        _agree("the queries of rotate()", rotated[0], expected[0])
        _agree("the keys of rotate()", rotated[1], expected[1])
        if exact.has_bias:
            bias = _bias(half, positions, positions, subject.shape.heads, layer)
            demand(bias.dtype == torch.float32, f"bias() is {bias.dtype}; compute it in float32")
            due = _bias(exact, positions, positions, subject.shape.heads, layer)
            scale = due.abs().max().item()
            off = difference(bias.tril(), due.tril())
            demand(off <= 1e-3 * scale, f"bias() is off by {off:.2g} of {scale:.2g} under bfloat16 parameters")
    decoder, ids = subject.fresh().bfloat16(), subject.tokens(subject.most(subject.length))
    logits = decoder.logits(decoder(ids))
    demand(bool(logits.isfinite().all()), "a pass in bfloat16 is not finite")
    logits.float().logsumexp(-1).mean().backward()
    wrong = [name for name, one in decoder.named_parameters() if one.grad is None or not one.grad.isfinite().all()]
    demand(not wrong, f"no finite gradient in bfloat16: {', '.join(wrong)}")
    return f"in bfloat16, at positions from {start}"


def _agree(what: str, half: Tensor, exact: Tensor) -> None:
    demand(half.dtype == torch.bfloat16, f"{what} are {half.dtype} for bfloat16; cast the result back")
    off, scale = difference(half, exact), exact.abs().max().item()
    demand(off <= HALF * scale, f"{what} are off by {off:.2g} of {scale:.2g} in bfloat16; compute them in float32")


def bias(subject: Subject) -> str:
    """The bias is the same for single numbers as for tensors, and finite everywhere, as a GPU kernel needs."""
    encoding = subject.trained().encoding
    if not encoding.has_bias:
        return "none"
    heads, count = subject.shape.heads, subject.most(2 * subject.length)
    positions = torch.arange(count)
    for layer in range(subject.shape.layers):
        whole = _bias(encoding, positions, positions, heads, layer)
        later = torch.ones(count, count, dtype=torch.bool).triu(1)
        message = "is not finite where the key comes {} the query"
        demand(bool(whole[:, ~later].isfinite().all()), f"bias() {message.format('before')}")
        demand(bool(whole[:, later].isfinite().all()), f"bias() {message.format('after')}; clamp the distance at 0")
        if whole.requires_grad:
            gradients = torch.autograd.grad(whole.sum(), list(encoding.parameters()), allow_unused=True)
            finite = all(gradient is None or gradient.isfinite().all() for gradient in gradients)
            demand(finite, f"the gradient of bias() {message.format('after')}")
        with torch.no_grad():
            for place in ((0, 0, 0), (heads - 1, count - 1, 0), (1, count // 2, 3), (heads // 2, 2, count - 1)):
                head, query, key = (torch.tensor(number) for number in place)
                one = encoding.bias(head, query, key, layer)
                demand(one.numel() == 1, f"bias() of single numbers returns {list(one.shape)}")
                off = difference(one.reshape(()), whole[place])
                demand(off <= 1e-5 * _scale(whole), f"bias() of single numbers is off by {off:.2g}")
            if encoding.compiles:
                _compiles(encoding, heads, positions[:5], whole[:, :5, :5], layer)
    return "the same for tensors and for single numbers" + ("" if encoding.compiles else "; not compiled on a GPU")


def _compiles(encoding: Encoding, heads: int, positions: Tensor, expected: Tensor, layer: int) -> None:
    """Check that the bias is arithmetic of single numbers that does not branch on their values."""

    def one(head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return encoding.bias(head, query, key, layer)

    try:
        over_keys = torch.vmap(one, in_dims=(None, None, 0))
        over_queries = torch.vmap(over_keys, in_dims=(None, 0, None))
        mapped = torch.vmap(over_queries, in_dims=(0, None, None))(torch.arange(heads), positions, positions)
    except Exception as error:
        reason = str(error).splitlines()[0]
        demand(False, f"bias() cannot be compiled into a kernel ({reason}); change it, or set compiles = False")
    off = difference(mapped, expected)
    demand(off <= 1e-5 * _scale(expected), f"bias() is off by {off:.2g} in a kernel")


def _scale(tensor: Tensor) -> float:
    return max(1.0, tensor.abs().max().item())


def far(subject: Subject) -> str:
    """Everything is finite at positions above a million, and they are told apart."""
    decoder = subject.trained()
    if decoder.encoding.longest is not None:
        return f"skipped: it has {decoder.encoding.longest} positions"
    positions = torch.arange(FAR_POSITION, FAR_POSITION + 8)
    with torch.inference_mode():
        finite = bool(decoder(subject.tokens(8), positions).isfinite().all())
        demand(finite, f"a pass is not finite at positions from {FAR_POSITION:,}")
        if decoder.encoding.has_bias:
            for layer in range(subject.shape.layers):
                queries, keys = torch.tensor([FAR_POSITION]), torch.tensor([0, 1, FAR_POSITION // 2, FAR_POSITION])
                bias = decoder.encoding.bias(torch.arange(4)[:, None, None], queries[:, None], keys, layer)
                demand(bool(bias.isfinite().all()), f"bias() is not finite over a distance of {FAR_POSITION:,}")
        near = subject.length // 2
        message = (
            f"positions from {FAR_POSITION:,} on count as one and the same, those from {near} on do not: "
            "a table is clipped; compute it for the positions given, or set `longest`"
        )
        demand(_told_apart(subject, decoder, FAR_POSITION) or not _told_apart(subject, decoder, near), message)
    return f"finite at positions from {FAR_POSITION:,}"


def _told_apart(subject: Subject, decoder: Decoder, first: int) -> bool:
    """Return whether eight positions from ``first`` on give another result than every second one of sixteen."""
    ids, steps = subject.tokens(8), torch.arange(8)
    return not torch.equal(decoder(ids, first + steps), decoder(ids, first + 2 * steps))
