"""T5's buckets against transformers, its bias against the table."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.t5.modeling_t5 import T5Attention

from hope.encodings.base import EncodingShape
from hope.encodings.t5 import T5, t5_bucket

SHAPE = EncodingShape(layers=2, width=64, heads=3, kv_heads=3, head_dim=16, length=64)
FARTHEST = 1_048_576


def theirs(distance: torch.Tensor, buckets: int = 32, longest: int = 128) -> torch.Tensor:
    """Return the decoder's buckets; transformers counts from the query to the key."""
    return T5Attention._relative_position_bucket(
        -distance, bidirectional=False, num_buckets=buckets, max_distance=longest
    )


def test_every_near_distance_has_the_bucket_of_transformers():
    distance = torch.arange(-50, 5000)
    assert torch.equal(t5_bucket(distance, 32, 128), theirs(distance))


def test_the_buckets_of_the_paper():
    """32 buckets: 0 to 15 hold one distance each, then ever wider ones, all from 128 on in the last."""
    assert t5_bucket(torch.tensor([0, 1, 15, 16, 17, 18, 19, 113, 127, 128, 10_000]), 32, 128).tolist() == [
        *(0, 1, 15, 16, 16, 16, 17, 31, 31, 31, 31),
    ]


@settings(deadline=None, max_examples=200)
@given(
    distance=st.integers(-FARTHEST, FARTHEST), buckets=st.sampled_from([4, 8, 32, 64]), longest=st.integers(40, 4096)
)
def test_any_distance_has_the_bucket_of_transformers(distance, buckets, longest):
    one = torch.tensor([distance])
    assert torch.equal(t5_bucket(one, buckets, longest), theirs(one, buckets, longest))


@settings(deadline=None, max_examples=50)
@given(distance=st.integers(0, FARTHEST), key=st.integers(0, FARTHEST), layer=st.integers(0, 1))
def test_bias_is_the_tables_number_for_the_distance_alone_in_every_layer(distance, key, layer):
    t5 = T5(SHAPE, 128)
    t5.initialise(lambda name: torch.Generator().manual_seed(0))
    bias = t5.bias(torch.arange(3), torch.tensor(key + distance), torch.tensor(key), layer)
    assert bias.dtype == torch.float32
    assert torch.equal(bias, t5.table[:, theirs(torch.tensor(distance))])


def test_the_table_is_drawn_as_in_transformers():
    t5 = T5(EncodingShape(layers=1, width=64, heads=400, kv_heads=400, head_dim=16, length=64), 128)
    t5.initialise(lambda name: torch.Generator().manual_seed(0))
    assert t5.table.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert t5.table.mean().item() == pytest.approx(0, abs=0.01)
