"""Fixtures of the analysis tests: small models, planted attention, a token corpus."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from hope import config
from hope.analysis.stream import Scope
from hope.encodings.base import Encoding
from hope.encodings.rotary import Rotary
from hope.encodings.shape import encoding_shape
from hope.files import read_json, write_json
from hope.interchange.stock import stock_llama
from hope.model.attention import LayerAttention, LayerEncoding
from hope.model.decoder import Decoder
from hope.model.loading import save_model
from tests.token_folder import write_held_out

VOCABULARY = 64
LENGTH = 32
SPECIAL = {"start": 0, "end": 1, "separator": 2, "query": 3}


def small_stage(encoding: str, seed: int = 0, length: int = LENGTH, settings: dict | None = None) -> config.TrainStage:
    """Return what a tiny model with grouped keys is trained from."""
    arm = config.Arm(
        encodings=[encoding],
        definitions={encoding: config.EncodingDefinition(family=encoding, settings=settings or {})},
        model=config.Model(layers=2, width=64, heads=4, kv_heads=2, mlp_width=48),
        training=config.Training(length=length, batch_windows=4),
        extrapolation=config.Extrapolation(targets=8),
        retrieval=config.Retrieval(multiples=[1.0]),
        mixture=config.Mixture(share=0.3, tasks={"copy": 0.7, "recall": 0.3}, multiples=[1.0]),
    )
    return arm.train_stage(encoding, seed)


def sharpen(model: Decoder) -> Decoder:
    """Scale the projections up, so that attention is far from uniform and its errors would show."""
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight.mul_(3.0)
    return model.eval()


@pytest.fixture
def decoder() -> Callable[..., Decoder]:
    """Return a function that makes a tiny model with attention far from uniform."""

    def make(encoding: str = "rope", seed: int = 0, length: int = LENGTH) -> Decoder:
        stage = small_stage(encoding, seed, length)
        return sharpen(Decoder(stage.model, VOCABULARY, length, stage.encoding).initialise(seed))

    return make


@pytest.fixture
def stock() -> Callable[[Decoder], nn.Module]:
    """Return a function that makes the stock transformers model of a rotary decoder, with plain attention."""

    def make(model: Decoder) -> nn.Module:
        assert isinstance(model.encoding, Rotary)
        content, weights = stock_llama(model, model.encoding.frequencies)
        stock = LlamaForCausalLM(LlamaConfig(**content, attn_implementation="eager")).eval()
        missing, unexpected = stock.load_state_dict(weights, strict=False)
        assert set(missing) <= {"lm_head.weight"} and not unexpected  # a tied head is in the file once
        return stock

    return make


class Planted(nn.Module):
    """Stands in for a model: shows given queries and keys, as one layer, to whoever observes."""

    def __init__(self, queries: Tensor, keys: Tensor) -> None:
        """Keep ``[documents, heads, tokens, dim]``."""
        super().__init__()
        self.device = torch.device("cpu")
        self.queries, self.keys = queries, keys
        self.shape = config.Model(layers=1, width=queries.shape[1] * queries.shape[3], heads=queries.shape[1])

    def forward(self, tokens: Tensor, observe: Callable) -> None:
        """Show the planted vectors of the documents that ``tokens`` holds the numbers of."""
        rows, length = tokens[:, 0], tokens.shape[1]
        layer_encoding = LayerEncoding(Encoding(encoding_shape(self.shape, length)), 0, torch.arange(length))
        seen = self.queries[rows, :, :length], self.keys[rows, :, :length]
        observe(LayerAttention(*seen, layer_encoding, self.queries.shape[3] ** -0.5))

    def scope(self, ends: list[int], queries: int) -> Scope:
        """Return a scope over all that is planted."""
        return Scope(1, self.queries.shape[1], ends, queries, len(self.queries))

    def tokens(self) -> Tensor:
        """Return tokens that number the documents."""
        return torch.arange(len(self.queries))[:, None].expand(-1, self.queries.shape[2])


@pytest.fixture
def planted() -> Callable[[Tensor], Planted]:
    """Return a function that plants attention weights, ``[documents, heads, tokens, tokens]``."""

    def plant(weights: Tensor) -> Planted:
        size = weights.shape[-1]
        # With one-hot keys a query is its own row of logits; the model scales them by 1 / sqrt(dim).
        keys = torch.eye(size).expand(*weights.shape[:2], size, size)
        return Planted(weights.clamp(min=1e-30).log() * size**0.5, keys)

    return plant


@pytest.fixture
def attend_to() -> Callable[..., Tensor]:
    """Return a function that makes weights of one head: each query on one key, or an even share on all."""

    def weights(size: int, key: Callable[[int], int] | None) -> Tensor:
        found = torch.ones(size, size).tril()
        if key is not None:
            found = torch.zeros(size, size)
            for query in range(size):
                found[query, max(0, key(query))] = 1.0
        return (found / found.sum(dim=-1, keepdim=True))[None, None]

    return weights


def write_model(
    parent: Path,
    encoding: str,
    sharp: bool = True,
    vocabulary: int = VOCABULARY,
    windows: dict | None = None,
    settings: dict | None = None,
) -> Path:
    """Write the folder of a tiny model, as it was initialised or sharpened, and return it."""
    stage = small_stage(encoding, settings=settings)
    model = Decoder(stage.model, vocabulary, LENGTH, stage.encoding).initialise(stage.seed)
    model = sharpen(model) if sharp else model
    folder = parent / f"{encoding}-{sharp}-{vocabulary}"
    save_model(model, model.state_dict(), stage, "0" * 16, folder)
    if windows is not None:
        write_json(folder / "config.json", read_json(folder / "config.json") | {"windows": windows})
    return folder


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Return :func:`write_model` under the test's folder."""
    return partial(write_model, tmp_path)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with nine held-out documents, seven of them long."""
    lengths = [200, 40, 150, 190, 300, 20, 131, 170, 129]
    return write_held_out(tmp_path_factory.mktemp("data"), lengths, VOCABULARY, SPECIAL, seed=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for what a test writes."""
    return tmp_path / "written"
