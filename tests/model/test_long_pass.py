"""Reading a long text in pieces, against the plain forward pass."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from hope import config
from hope.catalogue import FAMILIES, family_settings
from hope.encodings.extensions import extended
from hope.encodings.rotary import Rotary
from hope.model import bounded_passes
from hope.model.decoder import Decoder
from hope.model.long_pass import in_pieces, last_hidden
from hope.model.loss import token_losses
from tests.conftest import ROOT

LENGTH = 24


def loud_decoder(family: str, kv_heads: int | None = 2) -> Decoder:
    """Return a decoder in float64 with weights so large that a fault in the attention shows."""
    shape = config.Model(layers=2, width=64, heads=4, kv_heads=kv_heads, mlp_width=48)
    encoding = config.EncodingSpec(name=family, family=family, settings=family_settings(family, {}))
    model = Decoder(shape, 64, LENGTH, encoding).initialise(0).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "embedding" not in name else 20)
    return model


def ids(count: int, rows: int = 2) -> torch.Tensor:
    return torch.randint(64, (rows, count), generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_equal_one_pass(family: str) -> None:
    model = loud_decoder(family)
    count = LENGTH if FAMILIES[family].bounded else 3 * LENGTH + 5
    with torch.inference_mode():
        whole = model(ids(count))
        for size in (1, 7, count - 1, count, 2 * count):
            torch.testing.assert_close(in_pieces(model, ids(count), size), whole, atol=1e-4, rtol=1e-4)
    assert whole.std() > 0.5


@pytest.mark.parametrize("content", [dict(kind="dynamic-ntk"), dict(kind="yarn", factor=4.0), dict(kind="rerope")])
def test_pieces_and_the_last_states_of_an_extended_model_equal_one_pass(content: dict[str, Any]) -> None:
    model, plain = loud_decoder("rope"), loud_decoder("rope")(ids(60))
    with torch.inference_mode(), extended(model, TypeAdapter(config.Extension).validate_python(content)):
        whole = model(ids(60))
        assert (whole - plain).abs().max() > 1e-2
        torch.testing.assert_close(model(ids(60), first=50), whole[:, 50:], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(in_pieces(model, ids(60), 7), whole, atol=1e-4, rtol=1e-4)


class Renewed(Rotary):
    """A user's RoPE whose keys are encoded anew with each token, from the last position back."""

    recodes = True

    def prepare(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return Rotary.prepare(self, positions - positions[-1] // 2)


@pytest.mark.parametrize("span", [None, 10])
def test_pieces_of_an_encoding_that_recodes_equal_one_pass(span: int | None) -> None:
    model = loud_decoder("rope")
    model.encoding = Renewed(model.encoding.shape, model.encoding.frequencies)
    model.encoding.span = span
    with torch.inference_mode():
        whole = model(ids(64))
        torch.testing.assert_close(model(ids(64), first=45), whole[:, 45:], atol=1e-4, rtol=1e-4)
        for size in (7, 30, 64):
            torch.testing.assert_close(in_pieces(model, ids(64), size), whole, atol=1e-4, rtol=1e-4)


def test_a_text_longer_than_a_pass_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loud_decoder("hope", kv_heads=None)
    with torch.inference_mode():
        expected, losses = model(ids(50)), token_losses(model, ids(51))
    calls = []

    def plain(tokens: torch.Tensor, **rest: Any) -> torch.Tensor:
        calls.append(tokens.numel())
        return Decoder.forward(model, tokens, **rest)

    monkeypatch.setattr(model, "forward", plain)
    assert torch.equal(last_hidden(model, ids(50)), expected) and calls == [100]
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 60)
    torch.testing.assert_close(last_hidden(model, ids(50)), expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(last_hidden(model, ids(50), 20), expected[:, 20:], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(token_losses(model, ids(51)), losses, atol=1e-6, rtol=1e-6)
    assert calls == [100]


MEASURED = """
import torch
from pathlib import Path
from hope import config
from hope.model.decoder import Decoder
from hope.model.loss import token_losses

def resident(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) / 1024

torch.set_num_threads(1)
shape = config.Model(layers=2, width=32, heads=1, mlp_width=4096)
model = Decoder(shape, 8192, 64, config.EncodingSpec(name="hope", family="hope", settings={})).initialise(0).eval()
token_losses(model, torch.zeros(1, 3000, dtype=torch.int64))
before = resident("VmRSS")
token_losses(model, torch.zeros(1, 12289, dtype=torch.int64))
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the resident peak is read from /proc")
def test_a_long_text_takes_no_memory_for_the_mlp_nor_for_the_vocabulary() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, cwd=ROOT)
    # Plainly the MLP's inner layer takes 12,288 x (8,192 + 2 x 4,096) x 4 bytes = 768 MiB; in pieces of 2,048, 128.
    assert float(done.stdout.split()[-1]) < 192  # lines of progress come before it
