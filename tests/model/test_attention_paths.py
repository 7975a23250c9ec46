"""Every way in which attention is computed gives what its formula says, and holds no more than it should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from hope.encodings.base import Encoding
from hope.model import attention, tiles
from hope.model.attention import LayerEncoding, attend, causal_logits
from tests.model.whole_attention import BIASED, DIM, HEADS, assert_close, both, drawn, encoding_of, whole_attention

SCALE = 0.3


@pytest.fixture
def small_tiles(monkeypatch):
    """Nothing is small enough for one piece, and a tile is of 8 queries and 8 keys."""
    monkeypatch.setattr(attention, "WHOLE", 0)
    monkeypatch.setattr(tiles, "SHORTEST_SIDE", 8)
    monkeypatch.setattr(tiles, "TILE_ON_CPU", 1)


@pytest.fixture(params=["fused", "plain"])
def kernel(request, monkeypatch):
    """Tiles by the CPU's fused kernel, and as on a GPU."""
    if request.param == "plain":
        monkeypatch.setattr(tiles, "_is_fused", lambda queries: False)


def compared(name: str, count: int, total: int, kv_heads: int = 2, start: int = 0) -> list:
    encoding = encoding_of(name, kv_heads=kv_heads)
    layer_encoding = LayerEncoding(encoding, 1, torch.arange(total) + start)
    inputs, gradient = drawn(count, total, kv_heads)
    found = attend(*inputs, layer_encoding, SCALE)
    return both(found, whole_attention(*inputs, layer_encoding, SCALE), gradient, [*inputs, *encoding.parameters()])


@pytest.mark.parametrize("count", [43, 19, 1])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("name", BIASED)
def test_tiles_and_their_gradients_equal_the_formula(name, kv_heads, count, small_tiles, kernel):
    assert_close(compared(name, count, 43, kv_heads, start=5), 1e-4 if name == "fire" else 2e-5)


@pytest.mark.parametrize("name", [*BIASED, "none"])
@pytest.mark.parametrize("count", [43, 19, 1])
def test_one_piece_and_its_gradients_equal_the_formula(name, count):
    assert_close(compared(name, count, 43, start=5), 1e-4 if name == "fire" else 2e-5)


def test_no_bias_in_tiles_equals_the_formula(small_tiles):
    assert_close(compared("none", 19, 43))


class Window(Encoding):
    """A bias that is the same for all heads, and leaves whole tiles without weight."""

    has_bias = True

    def bias(self, heads, queries, keys, layer):
        return torch.where(queries - keys < 11, 0.0, -1e4)


@pytest.mark.parametrize("count", [43, 19, 1])
def test_a_bias_of_no_head_in_tiles_equals_the_formula(count, small_tiles, kernel):
    layer_encoding = LayerEncoding(Window(encoding_of("none").shape), 0, torch.arange(43))
    inputs, gradient = drawn(count, 43)
    found = attend(*inputs, layer_encoding, SCALE)
    assert_close(both(found, whole_attention(*inputs, layer_encoding, SCALE), gradient, inputs))


@pytest.mark.parametrize("name", ["kerple_log", "kerple_power"])
def test_gradients_equal_differences(name, small_tiles):
    """In float64, by finite differences, of the parameters of the bias too."""
    encoding = encoding_of(name).double()
    layer_encoding, parameters = LayerEncoding(encoding, 0, torch.arange(19)), list(encoding.parameters())
    inputs, _ = drawn(12, 19, dtype=torch.float64)
    torch.autograd.gradcheck(lambda *_: attend(*inputs, layer_encoding, SCALE), [*inputs, *parameters], fast_mode=True)


@pytest.mark.parametrize("whole", [0, attention.WHOLE])
@pytest.mark.parametrize("name", ["alibi", "t5", "none"])
def test_in_float64_nothing_is_lost_but_what_the_bias_rounds(name, whole, small_tiles, kernel, monkeypatch):
    monkeypatch.setattr(attention, "WHOLE", whole)
    layer_encoding = LayerEncoding(encoding_of(name), 0, torch.arange(43))
    inputs, gradient = drawn(19, 43, dtype=torch.float64)
    found = attend(*inputs, layer_encoding, SCALE)
    assert found.dtype == torch.float64
    assert_close(both(found, whole_attention(*inputs, layer_encoding, SCALE), gradient, inputs), 1e-12)


def test_far_positions_keep_their_distances_beside_bfloat16(small_tiles, kernel):
    """In bfloat16 a bias of ALiBi would lose whole tokens from distance 256 on."""
    layer_encoding = LayerEncoding(encoding_of("alibi"), 0, torch.arange(24) * 41 + 1_000_000)
    inputs, _ = drawn(24, 24, dtype=torch.bfloat16)
    found = attend(*inputs, layer_encoding, SCALE)
    assert found.dtype == torch.bfloat16
    assert_close([(found, whole_attention(*inputs, layer_encoding, SCALE))], 0.02)


def test_nothing_is_recorded_where_no_gradient_is_wanted(small_tiles):
    inputs, _ = drawn(20, 20)
    layer_encoding = LayerEncoding(encoding_of("kerple_log"), 0, torch.arange(20))
    with torch.inference_mode():
        found = attend(*inputs, layer_encoding, SCALE)
    assert found.is_inference()
    assert_close([(found, whole_attention(*inputs, layer_encoding, SCALE))])


class Spread(dict):
    """Parameters as ZeRO's third stage keeps them: empty until one is asked for by its name."""

    def __init__(self, parameters: dict) -> None:
        super().__init__(parameters)
        self.whole = {name: one.data for name, one in parameters.items()}
        for one in parameters.values():
            one.data = torch.empty(0)

    def __getitem__(self, name: str) -> torch.nn.Parameter:
        found = super().__getitem__(name)
        found.data = self.whole[name]
        return found


@pytest.mark.parametrize("name", ["t5", "kerple_log", "fire"])
def test_parameters_that_are_spread_out_are_gathered_first(name, small_tiles):
    encoding, positions = encoding_of(name), torch.arange(20)
    inputs, gradient = drawn(20, 20)
    expected = whole_attention(*inputs, LayerEncoding(encoding_of(name), 0, positions), SCALE)
    encoding.__dict__["_parameters"] = Spread(encoding._parameters)
    found = attend(*inputs, LayerEncoding(encoding, 0, positions), SCALE)
    found.backward(gradient)
    assert_close([(found, expected)])
    assert all(one.grad.shape == one.shape for one in encoding.parameters())


@settings(deadline=None, max_examples=200)
@given(total=st.integers(1, 400), share=st.floats(0, 1), area=st.integers(1, 40_000))
def test_tiles_hold_every_pair_once_and_begin_with_a_key_that_is_seen(total, share, area):
    count = max(1, round(total * share))
    met = torch.zeros(count, total, dtype=torch.int64)
    for block in tiles.tiles(count, total, area):
        for tile in block:
            rows, columns = torch.arange(count)[tile.rows], torch.arange(total)[tile.columns]
            assert tile.rows == block[0].rows
            assert len(rows) * len(columns) <= 2 * max(area, tiles.SHORTEST_SIDE**2)
            last_seen = rows + total - count
            assert (columns[0] <= last_seen).all()
            assert tile.diagonal == bool((columns[-1] > last_seen).any())
            met[tile.rows, tile.columns] += 1
    seen = torch.arange(total) <= torch.arange(total - count, total)[:, None]
    assert (met[seen] == 1).all() and met.max() == 1


class Operators(TorchDispatchMode):
    """Notes which operators run, and the largest tensor that any of them returns."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.largest = set(), 0

    def __torch_dispatch__(self, operator, types, arguments=(), others=None):
        found = operator(*arguments, **(others or {}))
        self.names.add(operator.__name__)
        for one in found if isinstance(found, tuple) else (found,):
            if isinstance(one, torch.Tensor):
                self.largest = max(self.largest, one.untyped_storage().nbytes() // one.element_size())
        return found


def operators(count: int, total: int, name: str, kv_heads: int = 2, value_dim: int = DIM) -> Operators:
    encoding = encoding_of(name, kv_heads=kv_heads)
    inputs, gradient = drawn(count, total, kv_heads, value_dim)
    with Operators() as seen:
        found = attend(*inputs, LayerEncoding(encoding, 0, torch.arange(total)), SCALE)
        torch.autograd.grad(found, inputs, gradient)
    return seen


@pytest.mark.parametrize(("kv_heads", "value_dim"), [(4, DIM), (1, DIM), (2, DIM // 2), (2, 33)])
def test_without_a_bias_the_fused_kernel_runs_forward_and_backward(kv_heads, value_dim):
    """For grouped heads too, and for values of another width, as PoPE's are."""
    seen = operators(40, 40, "none", kv_heads, value_dim)
    assert {f"_scaled_dot_product_flash_attention_for_cpu{way}.default" for way in ("", "_backward")} <= seen.names
    assert not any("softmax" in name or "bmm" in name for name in seen.names)


def test_a_bias_that_is_not_learned_runs_in_the_fused_kernel_tile_by_tile(small_tiles):
    seen = operators(40, 40, "alibi")
    assert {f"_scaled_dot_product_flash_attention_for_cpu{way}.default" for way in ("", "_backward")} <= seen.names
    assert not any("softmax" in name or "bmm" in name for name in seen.names)


def test_values_of_another_width_equal_the_formula():
    for value_dim in (DIM // 2, 33):
        inputs, gradient = drawn(20, 20, value_dim=value_dim)
        for name in ("none", "alibi"):
            layer_encoding = LayerEncoding(encoding_of(name), 0, torch.arange(20))
            assert_close(
                both(
                    attend(*inputs, layer_encoding, SCALE),
                    whole_attention(*inputs, layer_encoding, SCALE),
                    gradient,
                    inputs,
                )
            )


@pytest.mark.parametrize("name", ["alibi", "kerple_log", "t5"])
def test_what_is_held_grows_with_the_length_alone(name):
    """Of 2,048 tokens no tensor is larger than a tile or than the inputs, in either direction."""
    largest = operators(2048, 2048, name).largest
    assert largest <= max(tiles.TILE_ON_CPU, 2 * HEADS * 2048 * DIM) < HEADS * 2048**2 / 50


class Own(Encoding):
    """Logits of its own: inner products with a learned factor."""

    has_logits = True

    def __init__(self, shape) -> None:
        super().__init__(shape)
        self.factor = torch.nn.Parameter(torch.tensor(0.7))

    def logits(self, queries, keys, positions, layer):
        assert keys.shape[1] == queries.shape[1] and len(positions) == keys.shape[2]
        return self.factor * (queries @ keys.transpose(2, 3))


@pytest.mark.parametrize("name", [*BIASED, "own"])
def test_what_is_kept_for_the_backward_pass_grows_with_the_length_alone(name, monkeypatch):
    monkeypatch.setattr(attention, "HELD_ON_CPU", 2**18)
    kept = {}
    for total in (512, 1024):
        storages = {}

        def keep(one: torch.Tensor, storages: dict = storages) -> torch.Tensor:
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
            return one

        encoding = Own(encoding_of("none").shape) if name == "own" else encoding_of(name)
        inputs, _ = drawn(total, total)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
            attend(*inputs, LayerEncoding(encoding, 0, torch.arange(total)), SCALE)
        kept[total] = sum(storages.values())
    assert kept[1024] <= 2.05 * kept[512]


@pytest.mark.parametrize("count", [43, 19, 1])
def test_logits_of_an_encodings_own_are_made_in_blocks(count, monkeypatch):
    monkeypatch.setattr(attention, "HELD_ON_CPU", 2 * HEADS * 43 * 5)
    own = Own(encoding_of("none").shape)
    positions = torch.arange(43)
    inputs, gradient = drawn(count, 43)
    rows = []
    monkeypatch.setattr(
        attention, "causal_logits", lambda *where: rows.append(where[0].shape[2]) or causal_logits(*where)
    )
    found = attend(*inputs, LayerEncoding(own, 0, positions), SCALE)
    assert max(rows) == min(count, 5) and sum(rows) == count
    expected = whole_attention(
        inputs[0] * own.factor, *inputs[1:], LayerEncoding(encoding_of("none"), 0, positions), SCALE
    )
    assert_close(both(found, expected, gradient, [*inputs, own.factor]))


def test_logits_whole_equal_the_formula():
    inputs, _ = drawn(9, 20)
    for name in ("none", "alibi", "t5"):
        layer_encoding = LayerEncoding(encoding_of(name), 1, torch.arange(20) + 3)
        logits = causal_logits(*inputs[:2], layer_encoding, SCALE)
        weights = logits.softmax(-1).double() @ inputs[2].double().repeat_interleave(2, 1)
        assert_close([(weights, whole_attention(*inputs, layer_encoding, SCALE))])
        assert torch.equal(logits.isinf(), (torch.arange(20) > torch.arange(11, 20)[:, None]).expand_as(logits))
