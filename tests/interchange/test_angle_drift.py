"""How far the angles of stock tools drift, and that the documentation says so."""

import math
import re

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from hope.encodings.base import EncodingShape
from hope.encodings.rotary import Rotary, rope_frequencies
from tests.conftest import ROOT


def largest_drift(head_dim: int, base: float, last: int) -> float:
    """Return by how much an angle of transformers differs from the exact one, in radians, near position ``last``."""
    rope = {"rope_type": "default", "rope_theta": base}
    table = LlamaRotaryEmbedding(LlamaConfig(hidden_size=head_dim, num_attention_heads=1, rope_parameters=rope))
    positions = torch.arange(last - 1024, last)
    cosine, sine = (part[0, :, : head_dim // 2].double() for part in table(torch.zeros(1), positions[None]))
    exact = positions[:, None].double() * rope_frequencies(head_dim, base)
    difference = torch.atan2(sine, cosine) - exact
    return float(((difference + math.pi) % (2 * math.pi) - math.pi).abs().max())


def test_the_documented_drift_is_the_measured_one():
    text = (ROOT / "docs" / "checkpoints.md").read_text()
    rows = re.findall(r"^\| ([\d,]+) \| (0\.\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 4
    for last, documented in rows:
        drifts = [largest_drift(dim, base, int(last.replace(",", ""))) for dim in (64, 128) for base in (1e4, 5e5)]
        assert 0.95 * float(documented) < max(drifts) < 1.05 * float(documented)


def test_our_angles_do_not_drift():
    frequencies = rope_frequencies(64, 500_000.0)
    shape = EncodingShape(layers=1, width=64, heads=1, kv_heads=1, head_dim=64, length=4096)
    positions = torch.tensor([8_191, 1_048_575])
    cosine, sine = Rotary(shape, frequencies).prepare(positions)
    for row, position in enumerate(positions.tolist()):
        for index, frequency in enumerate(frequencies.tolist()):
            angle = math.remainder(position * frequency, 2 * math.pi)
            assert abs(float(cosine[row, index]) - math.cos(angle)) < 1e-7
            assert abs(float(sine[row, index]) - math.sin(angle)) < 1e-7
