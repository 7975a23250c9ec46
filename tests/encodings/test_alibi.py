"""ALiBi against the slopes that its paper prints, and against transformers."""

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from hope.encodings.alibi import Alibi, alibi_slopes
from hope.encodings.base import EncodingShape


def test_slopes_of_eight_heads_are_the_papers():
    assert alibi_slopes(8).tolist() == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12, 16])
def test_bias_equals_blooms_up_to_a_constant_of_each_row(heads):
    tokens = 9
    alibi = Alibi(EncodingShape(layers=1, width=heads * 4, heads=heads, kv_heads=heads, head_dim=4, length=8))
    positions = torch.arange(tokens)
    ours = alibi.bias(positions, positions, layer=0)
    theirs = build_alibi_tensor(torch.ones(1, tokens), heads, torch.float32).view(heads, 1, tokens)
    difference = ours - theirs
    torch.testing.assert_close(difference, difference[:, :, :1].expand_as(difference), atol=1e-5, rtol=0)


def test_distances_are_exact_far_out():
    alibi = Alibi(EncodingShape(layers=1, width=8, heads=2, kv_heads=2, head_dim=4, length=8))
    far = torch.tensor([1_048_575])
    bias = alibi.bias(far, far - 3, layer=0)
    assert bias.flatten().tolist() == pytest.approx([-3 / 16, -3 / 256], abs=0)
