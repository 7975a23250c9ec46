"""Encodings that each fail one check of the contract, by a mistake that a user might make."""

import math

import torch
from torch import nn

from hope.encodings.base import Encoding
from hope.errors import UserError


class Biased(Encoding):
    """A sound bias for others to break: linear in distance."""

    has_bias = True

    def bias(self, heads, queries, keys, layer):
        return -0.1 * (heads + 1) * (queries - keys).float()


class Turned(Encoding):
    """A sound rotation for others to break: by one angle a token."""

    angle = 0.3

    def prepare(self, positions):
        angles = positions.double()[:, None] * self.angle
        return angles.cos().float(), angles.sin().float()

    def rotate(self, queries, keys, prepared, hidden, layer):
        return self.turn(queries, *prepared), self.turn(keys, *prepared)

    def turn(self, heads, cosine, sine):
        first, second = heads.chunk(2, dim=-1)
        return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(heads.dtype)


class Undeclared(Biased):
    has_bias = False


class DeclaredWithoutHook(Encoding):
    has_logits = True


class Misspelt(Encoding):
    def rotated(self, queries, keys, prepared, hidden, layer):
        return -queries, keys


class SpanAlone(Turned):
    span = 8


class DoubleParameter(Encoding):
    def __init__(self, shape):
        super().__init__(shape)
        self.table = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def embed(self, embeddings, positions):
        return embeddings + self.table.sum().float()


class WrongHeads(Turned):
    """Gives every query head a key of its own: the cache would hold too many."""

    def rotate(self, queries, keys, prepared, hidden, layer):
        queries, keys = super().rotate(queries, keys, prepared, hidden, layer)
        return queries, keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)


class WrongWidths(Turned):
    def rotate(self, queries, keys, prepared, hidden, layer):
        queries, keys = super().rotate(queries, keys, prepared, hidden, layer)
        return torch.cat((queries, queries), dim=-1), keys


class WrongBias(Biased):
    def bias(self, heads, queries, keys, layer):
        return torch.zeros(3, 1, 1) - 0.1 * (queries - keys).float()


class WrongEmbeddings(Encoding):
    def embed(self, embeddings, positions):
        return embeddings + torch.zeros(2, 1, 1, 1)


class Widening(Turned):
    """Leaves queries and keys in float32."""

    def turn(self, heads, cosine, sine):
        first, second = heads.chunk(2, dim=-1)
        return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class CoarseAngles(Encoding):
    """Computes angles in the precision of the queries."""

    def prepare(self, positions):
        return positions

    def rotate(self, queries, keys, prepared, hidden, layer):
        phase = (prepared.to(queries.dtype) * 0.3).cos()[:, None]
        return queries * phase, keys * phase


class CoarseBias(Biased):
    """Computes distances in the precision of its parameter."""

    def __init__(self, shape):
        super().__init__(shape)
        self.slope = nn.Parameter(torch.ones(()))

    def bias(self, heads, queries, keys, layer):
        return -self.slope * (queries.to(self.slope.dtype) - keys.to(self.slope.dtype))


class RoundedBias(CoarseBias):
    def bias(self, heads, queries, keys, layer):
        return super().bias(heads, queries, keys, layer).float()


class NoNumberLater(Biased):
    """Is no number where the key comes after the query."""

    def bias(self, heads, queries, keys, layer):
        return -0.1 * (heads + 1) * (queries - keys).float().sqrt()


class NoGradientLater(Biased):
    """Hides what is no number, but not its gradient."""

    def __init__(self, shape):
        super().__init__(shape)
        self.power = nn.Parameter(torch.tensor(0.5))

    def bias(self, heads, queries, keys, layer):
        distance = (queries - keys).float()
        return torch.where(distance > 0, -(distance**self.power), 0.0) - 0.1 * heads


class WholeBias(Biased):
    """Looks at all positions at once."""

    def bias(self, heads, queries, keys, layer):
        return super().bias(heads, queries, keys, layer) / (1 + queries.max())


class BranchingBias(Biased):
    """Looks at the values of single numbers."""

    def bias(self, heads, queries, keys, layer):
        distance = (queries - keys).float()
        return -0.1 * (heads + 1) * (distance if bool((distance > -1000).all()) else 2 * distance)


class Overflowing(Biased):
    def bias(self, heads, queries, keys, layer):
        return -((queries - keys).float().clamp(min=0).exp()) * 1e-9 * (heads + 1)


class OverflowingPlaces(Encoding):
    def embed(self, embeddings, positions):
        return embeddings * (positions.float() / 2000).exp()[:, None]


class Peeking(Encoding):
    """Puts the mean of all tokens into each."""

    def embed(self, embeddings, positions):
        return embeddings + 0.1 * embeddings.mean(dim=1, keepdim=True)


class Counting(Turned):
    """Turns by a share of the number of tokens."""

    def prepare(self, positions):
        angles = 3 * positions.double()[:, None] / len(positions)
        return angles.cos().float(), angles.sin().float()


class Forgotten(Biased):
    def __init__(self, shape):
        super().__init__(shape)
        self.slopes = nn.Parameter(torch.ones(shape.heads))
        self.unused = nn.Parameter(torch.ones(shape.heads))

    def bias(self, heads, queries, keys, layer):
        return -self.slopes[heads] * (queries - keys).float()


class Cutting(Turned):
    """Cuts queries and keys off the graph."""

    def turn(self, heads, cosine, sine):
        return super().turn(heads.detach(), cosine, sine)


class InfiniteGradient(Encoding):
    def __init__(self, shape):
        super().__init__(shape)
        self.scale = nn.Parameter(torch.zeros(()))

    def embed(self, embeddings, positions):
        return embeddings * (1 + self.scale.abs().sqrt())


class Table(Encoding):
    """A table of as many positions as the training length."""

    def __init__(self, shape):
        super().__init__(shape)
        self.table = nn.Parameter(torch.ones(shape.length, shape.width))

    def embed(self, embeddings, positions):
        return embeddings + self.table[positions].to(embeddings.dtype)


class Ending(Table):
    """Ends well, but does not say so."""

    def embed(self, embeddings, positions):
        if int(positions.max()) >= len(self.table):
            raise UserError("the table has ended")
        return super().embed(embeddings, positions)


class Bounded(Table):
    """Says that it ends, and ends with an error of torch's."""

    def __init__(self, shape):
        super().__init__(shape)
        self.longest = shape.length


class Wrapping(Bounded):
    """Says that it ends, and begins again."""

    def embed(self, embeddings, positions):
        return super().embed(embeddings, positions % len(self.table))


class TwoLines(Bounded):
    def embed(self, embeddings, positions):
        if int(positions.max()) >= len(self.table):
            raise UserError("the table\nhas ended")
        return super().embed(embeddings, positions)


class Recounting(Turned):
    """Counts tokens from 0 in every call."""

    def prepare(self, positions):
        return super().prepare(torch.arange(len(positions)))


class Remembering(Turned):
    """Leaves its tables on itself."""

    def prepare(self, positions):
        self.tables = super().prepare(positions)

    def rotate(self, queries, keys, prepared, hidden, layer):
        return super().rotate(queries, keys, self.tables, hidden, layer)


class Gated(Encoding):
    """Keeps a gate from the embeddings for the layers."""

    def embed(self, embeddings, positions):
        self.gate = embeddings.mean(-1).sigmoid().detach()
        return embeddings

    def rotate(self, queries, keys, prepared, hidden, layer):
        return queries * self.gate[:, None, :, None].to(queries.dtype), keys


KEPT = {}


class ByContent(Biased):
    """Keeps what a layer reads, by its number and outside the class, for the bias of that layer."""

    def rotate(self, queries, keys, prepared, hidden, layer):
        KEPT[layer] = hidden.detach().float().mean()
        return queries, keys

    def bias(self, heads, queries, keys, layer):
        return super().bias(heads, queries, keys, layer) * KEPT[layer]


class Again(Turned):
    """Takes the last table again if it has as many rows."""

    tables = None

    def prepare(self, positions):
        if self.tables is None or len(self.tables[0]) != len(positions):
            self.tables = super().prepare(positions)
        return self.tables


class Clipped(Turned):
    """Has a table of 4,096 positions; later ones count as its last."""

    def prepare(self, positions):
        return super().prepare(positions.clamp(max=4095))


class ClippedPlaces(Encoding):
    def embed(self, embeddings, positions):
        places = positions.clamp(max=1023).double()[:, None] * torch.linspace(0.1, 1, embeddings.shape[-1])
        return embeddings + places.sin().to(embeddings.dtype)


class ClippedBias(Biased):
    def bias(self, heads, queries, keys, layer):
        return super().bias(heads, queries.clamp(max=4095), keys.clamp(max=4095), layer)


class BeginningAgain(Turned):
    """Has a table of 4,096 positions that begins again after the last."""

    shift_invariant = True

    def prepare(self, positions):
        return super().prepare(positions % 4096)


class ShortSpan(Turned):
    recodes = True
    span = 8


class Normalising(Encoding):
    """Divides by what it finds in the whole batch."""

    def embed(self, embeddings, positions):
        return embeddings / (1 + embeddings[:, :1].abs().amax())


class Writing(Encoding):
    """Counts from 1, in the tensor that it was given."""

    def embed(self, embeddings, positions):
        return embeddings * positions.add_(1).float().log1p()[:, None]


class Placed(Encoding):
    """Depends on places, but says that it does not."""

    shift_invariant = True

    def embed(self, embeddings, positions):
        return embeddings + 0.1 * (positions % 7).to(embeddings.dtype)[:, None]


class SingleAngles(Turned):
    """Depends on distances alone, but computes angles in float32."""

    shift_invariant = True

    def prepare(self, positions):
        angles = positions.float()[:, None] * self.angle
        return angles.cos(), angles.sin()


class DrawnEarly(Encoding):
    """Draws its parameter where it is made, from whatever generator there is."""

    def __init__(self, shape):
        super().__init__(shape)
        self.table = nn.Parameter(torch.randn(shape.width))

    def embed(self, embeddings, positions):
        return embeddings + self.table.to(embeddings.dtype)


class DrawnTwice(Encoding):
    def __init__(self, shape):
        super().__init__(shape)
        self.one = nn.Parameter(torch.zeros(shape.width))
        self.other = nn.Parameter(torch.zeros(shape.width))

    def initialise(self, generator):
        with torch.no_grad():
            for parameter in (self.one, self.other):
                parameter.normal_(generator=generator("table"))

    def embed(self, embeddings, positions):
        return embeddings + self.one + self.other


class Dropping(Encoding):
    """Draws in every pass of a training."""

    def embed(self, embeddings, positions):
        return nn.functional.dropout(embeddings, 0.1, self.training)


class Unsaved(Turned):
    """Draws an angle that no file will hold."""

    def initialise(self, generator):
        self.angle = 1 + torch.rand((), generator=generator("angle")).item()


class OnMeta(Turned):
    """Makes its table on whatever device a model is made on."""

    def __init__(self, shape):
        super().__init__(shape)
        self.angle = torch.full((), 0.3)


class Shared(Encoding):
    """Has one parameter under two names."""

    def __init__(self, shape):
        super().__init__(shape)
        self.one = nn.Parameter(torch.zeros(shape.width))
        self.other = self.one

    def embed(self, embeddings, positions):
        return embeddings + self.one + self.other


class OnTheHost(Turned):
    """Keeps its table on the CPU."""

    def __init__(self, shape):
        super().__init__(shape)
        self.angles = torch.full((shape.head_dim // 2,), math.pi / 7, device="cpu")

    def prepare(self, positions):
        angles = positions[:, None] * self.angles
        return angles.cos(), angles.sin()


BROKEN = {
    "declarations": {
        Undeclared: "bias(), but has_bias is not set",
        DeclaredWithoutHook: "has_logits is set, but there is no logits()",
        Misspelt: "overrides none of embed, rotate, bias, logits, but has rotated",
        SpanAlone: "span is set, but recodes is not",
        ShortSpan: "span is 8, below the training length",
        DoubleParameter: "parameter table is torch.float64",
    },
    "shapes": {
        WrongHeads: "keys [2, 4, 1, 16] for [2, 1, 1, 16]",
        WrongWidths: "queries of 32 dimensions and keys of 16",
        WrongBias: "does not broadcast to [heads, queries, keys]",
        WrongEmbeddings: "embed() returns [2, 2, 1, 64] for [2, 1, 64]",
    },
    "dtypes": {
        Widening: "the queries of rotate() are torch.float32",
        CoarseAngles: "the queries of rotate() are off by",
        CoarseBias: "bias() is torch.bfloat16",
        RoundedBias: "bias() is off by",
    },
    "bias": {
        NoNumberLater: "is not finite where the key comes after the query",
        NoGradientLater: "the gradient of bias() is not finite where the key comes after",
        WholeBias: "bias() of single numbers is off by",
        BranchingBias: "cannot be compiled into a kernel",
    },
    "far": {
        Overflowing: "over a distance of 1,048,576",
        OverflowingPlaces: "not finite at positions from 1,048,576",
        Clipped: "positions from 1,048,576 on count as one and the same, those from 16 on do not: a table is clipped",
        ClippedPlaces: "a table is clipped",
        ClippedBias: "a table is clipped",
    },
    "causality": {Peeking: "other tokens from position 32 on", Counting: "more tokens change the result"},
    "gradients": {
        Forgotten: "no gradient reaches unused",
        Cutting: "no gradient reaches the queries of layer 0, the keys of layer 0",
        InfiniteGradient: "the gradient is not finite: encoding.scale",
    },
    "lengths": {
        Ending: "but does not set `longest`",
        Bounded: "position 32 raises IndexError",
        Wrapping: "position 32 gives a result: it wraps",
        TwoLines: "has more than one line",
    },
    "cache": {Recounting: "token by token with a cache differs from one pass by"},
    "batch": {Normalising: "a row alone differs"},
    "positions": {Writing: "writes into the positions"},
    "independence": {
        Remembering: "two passes at the same time disturb each other by",
        Gated: "keep nothing between hooks, return it from prepare()",
        ByContent: "two passes at the same time disturb each other by",
        Again: "two passes at the same time disturb each other by",
    },
    "shift": {
        Placed: "moving position 0 to 1 changes",
        SingleAngles: "moving position 0 to 1,000 changes",
        BeginningAgain: "moving position 0 to 1,048,560 changes",
    },
    "determinism": {
        DrawnEarly: "table differs between two models of one seed",
        DrawnTwice: "uses the generator of table twice",
        Dropping: "two passes over the same tokens differ",
    },
    "state": {
        Unsaved: "state that is neither parameter nor setting",
        OnMeta: "a table is lost on the meta device",
        Shared: "cannot be saved as safetensors",
    },
    "gpu": {OnTheHost: "cuda"},
}
"""The classes that fail each check, with words of the message."""
