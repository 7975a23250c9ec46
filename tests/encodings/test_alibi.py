"""ALiBi against the slopes that its paper prints, and against transformers."""

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from hope.catalogue.families.alibi import slopes
from hope.encodings.base import EncodingShape
from tests.encodings.logits_of import built


def shape(heads: int) -> EncodingShape:
    return EncodingShape(layers=1, width=heads * 4, heads=heads, kv_heads=heads, head_dim=4, length=8)


def test_slopes_of_eight_heads_are_the_papers():
    assert slopes(torch.arange(8), 8).tolist() == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]


def test_slopes_of_twelve_heads_take_every_second_of_sixteen():
    of_eight, of_sixteen = ([2 ** (-8 * h / n) for h in range(1, n + 1)] for n in (8, 16))
    assert slopes(torch.arange(12), 12).tolist() == pytest.approx(of_eight + of_sixteen[0:8:2], rel=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12, 16])
def test_bias_equals_blooms_up_to_a_constant_of_each_row(heads):
    tokens = 9
    positions = torch.arange(tokens)
    ours = built("alibi", shape(heads)).bias(torch.arange(heads)[:, None, None], positions[:, None], positions, layer=0)
    theirs = build_alibi_tensor(torch.ones(1, tokens), heads, torch.float32).view(heads, 1, tokens)
    difference = ours - theirs
    torch.testing.assert_close(difference, difference[:, :, :1].expand_as(difference), atol=1e-5, rtol=0)


def test_distances_are_exact_far_out():
    far = torch.tensor([1_048_575])
    bias = built("alibi", shape(2)).bias(torch.arange(2)[:, None, None], far[:, None], far - 3, layer=0)
    assert bias.flatten().tolist() == pytest.approx([-3 / 16, -3 / 256], abs=0)
