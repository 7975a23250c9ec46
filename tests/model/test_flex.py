"""FlexAttention: its definition, on a CPU, and its kernel, where there is a GPU, against the formula."""

import pytest
import torch
from torch.nn.attention import flex_attention

from hope.catalogue import FAMILIES
from hope.model import flex
from hope.model.attention import LayerEncoding, attend, flexible
from tests.model.whole_attention import BIASED, DIM, assert_close, both, drawn, encoding_of, whole_attention

SCALE = 0.3
COMPILED = [name for name in BIASED if name != "fire"]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", COMPILED)
def test_the_definition_and_its_gradients_equal_the_formula(name, monkeypatch):
    """The definition has a backward pass on a CPU, which the front door refuses."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)
    encoding = encoding_of(name)
    layer_encoding = LayerEncoding(encoding, 1, torch.arange(150) + 7)
    inputs, gradient = drawn(150, 150)
    found = flex.attend_flex(*inputs, layer_encoding.single_bias, layer_encoding.positions, SCALE)
    expected = whole_attention(*inputs, layer_encoding, SCALE)
    assert_close(both(found, expected, gradient, [*inputs, *encoding.parameters()]))


@pytest.mark.filterwarnings("ignore:.*lru_cache")
def test_the_kernel_and_a_compiled_model_are_traced_whole(monkeypatch):
    """Both by the compiler's first stage, which needs neither a GPU nor a compiler of C++."""
    layer_encoding, (inputs, _) = LayerEncoding(encoding_of("kerple_log"), 0, torch.arange(150)), drawn(150, 150)
    inputs = [one.detach() for one in inputs]
    whole = torch.compile(flex.attend_flex, fullgraph=True, backend="eager")
    kernel = torch.compile(flex_attention.flex_attention, fullgraph=True, backend="eager")
    monkeypatch.setattr(flex, "_compiled_kernel", lambda: kernel)
    monkeypatch.setattr(flex, "flex_attention", flex._compiled)
    with torch.no_grad():
        expected = whole_attention(*inputs, layer_encoding, SCALE)
        found = flex.attend_flex(*inputs, layer_encoding.single_bias, layer_encoding.positions, SCALE)
        monkeypatch.undo()
        assert_close([(found, expected)])
        found = whole(*inputs, layer_encoding.single_bias, layer_encoding.positions, SCALE)
        assert_close([(found, expected)])


@pytest.mark.parametrize("tokens", [1, 127, 128, 129, 300, 640])
def test_blocks_equal_those_that_a_look_at_every_pair_finds(tokens):
    ours = flex.causal_blocks(tokens, torch.device("cpu"))
    theirs = flex_attention.create_block_mask(
        lambda batch, head, query, key: query >= key, None, None, tokens, tokens, device="cpu"
    )
    assert ours.shape == theirs.shape
    for kind in ("", "full_"):
        for side, other in (("kv", "q"), ("q", "kv")):
            numbers = getattr(theirs, f"{kind}{side}_num_blocks")
            assert torch.equal(getattr(ours, f"{kind}{side}_num_blocks"), numbers)
            for row, number in enumerate(numbers.flatten().tolist()):
                found, expected = (
                    set(getattr(mask, f"{kind}{side}_indices")[0, 0, row, :number].tolist()) for mask in (ours, theirs)
                )
                assert found == expected, (kind, side, other, row)


def test_what_can_be_compiled():
    assert [name for name in FAMILIES if not encoding_of(name).compiles] == ["fire"]
    assert flexible(encoding_of("alibi"), 16) and not flexible(encoding_of("alibi"), 8)
    assert not flexible(encoding_of("fire"), 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "total"), [(150, 150), (20, 150), (1, 150)])
@pytest.mark.parametrize("name", [*BIASED, "none"])
def test_a_gpu_gives_what_the_formula_says(name, count, total, dtype):
    encoding = encoding_of(name)
    inputs, gradient = drawn(count, total, dtype=dtype)
    expected = whole_attention(*inputs, LayerEncoding(encoding, 1, torch.arange(total)), SCALE)
    theirs = torch.autograd.grad(expected, [*inputs, *encoding.parameters()], gradient.double(), allow_unused=True)
    there = [one.detach().cuda().requires_grad_() for one in inputs]
    moved = encoding_of(name).cuda()
    found = attend(*there, LayerEncoding(moved, 1, torch.arange(total, device="cuda")), SCALE)
    ours = torch.autograd.grad(found, [*there, *moved.parameters()], gradient.cuda(), allow_unused=True)
    pairs = [(found, expected), *zip(ours, theirs, strict=True)]
    pairs = [(None if one is None else one.cpu(), other) for one, other in pairs]
    assert_close(pairs, 5e-3 if dtype == torch.float32 else 0.1)


def test_heads_of_the_tests_are_wide_enough_for_the_kernel():
    assert flexible(encoding_of("alibi"), DIM)
