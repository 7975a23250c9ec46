"""The benchmark of attention: its sides do the same work, and it ends in one line of JSON."""

import json
import sys

import pytest
import torch

from benchmarks import attention


@pytest.mark.parametrize("name", attention.BIASED)
def test_both_ways_to_a_bias_give_the_same(name):
    tokens = torch.zeros(1, 150, dtype=torch.int64)
    ours, whole = (attention.whole_or_not(f"{name}:{way}")(tokens) for way in ("ours", "whole"))
    attention.agree(ours, whole, name)
    with pytest.raises(SystemExit, match="differ by .*: their times say nothing"):
        attention.agree(ours, whole.roll(1), name)


def test_all_rotations_give_what_transformers_gives():
    sides, positions = attention.rotations(2, 40), torch.arange(40)
    for name in ("rope", "hope", "rope again"):
        stock = sides[f"transformers {name.split()[0]}"]
        torch.testing.assert_close(sides[name](positions), stock(positions), atol=1e-4, rtol=0)
    assert (sides["rope"](positions) - sides["hope"](positions)).abs().max() > 0.1


def test_the_last_line_is_json_with_what_was_found(monkeypatch, capsys):
    monkeypatch.setattr(attention, "ROTATED", ((2, 16),))
    monkeypatch.setattr(attention, "REPEATS", 1)
    monkeypatch.setattr(attention, "peaks_of", lambda name, options, lengths=None: [10.0 + len(name)] * 2)
    monkeypatch.setattr(sys, "argv", ["attention", "--lengths", "24", "32", "--rounds", "2"])
    threads = torch.get_num_threads()
    try:
        attention.main()
    finally:
        torch.set_num_threads(threads)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["benchmark"] == "attention" and found["goal"] and isinstance(found["met"], bool)
    assert found["ratio"] == min(found["rotation"][0][name]["ratio"] for name in ("rope", "hope"))
    assert found["memory_shares"]["kerple_log"] == pytest.approx(20 / 14, abs=1e-3)
    assert [row["tokens"] for row in found["layer"]] == [24, 32]
    assert all(row["alibi"]["ratio"] > 0 for row in found["bias"])
