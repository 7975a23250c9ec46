"""Near copies, against a comparison of every pair, and by script and edit."""

import itertools
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.near_copies import SCRIPTS, measure
from hope.data import duplicates
from hope.data.duplicates import COMMON, Passages, group_near_copies, shared_with_training
from hope.data.parts import write_passages
from hope.errors import UserError


def passages_of(documents: list[set[int]], folder: Path, **over: object) -> Passages:
    hashes = [np.array(sorted(document), dtype=np.uint64) for document in documents]
    write_passages(folder / "passages.parquet", hashes)
    sizes = np.array([len(document) for document in documents], dtype=float)
    return Passages([folder / "passages.parquet"], [np.arange(len(sizes))], sizes, np.ones(len(sizes)), **over)


def groups_of(documents: list[set[int]], share: float, folder: Path) -> list[int]:
    return group_near_copies([passages_of(documents, folder)], share, 200, folder).tolist()


def by_every_pair(documents: list[set[int]], share: float) -> list[int]:
    """Return the group of each document, by comparing all pairs until nothing changes."""
    groups = list(range(len(documents)))
    for first, second in itertools.combinations(range(len(documents)), 2):
        shared = len(documents[first] & documents[second])
        if shared > share * min(len(documents[first]), len(documents[second])):
            old, new = max(groups[first], groups[second]), min(groups[first], groups[second])
            groups = [new if group == old else group for group in groups]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return [numbers[group] for group in groups]


@given(
    st.lists(st.sets(st.integers(0, 30), max_size=12), min_size=1, max_size=COMMON),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
)
@settings(deadline=None, max_examples=25)
def test_groups_equal_those_of_every_pair_while_no_passage_is_common(
    tmp_path_factory: pytest.TempPathFactory, documents: list[set[int]], share: float
) -> None:
    assert groups_of(documents, share, tmp_path_factory.mktemp("pairs")) == by_every_pair(documents, share)


def test_common_passages_join_copies_but_a_shared_licence_joins_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    own = [set(range(100 * index, 100 * index + 10)) for index in range(200)]
    licence = set(range(90_000, 90_005))
    copies = [{100_000 + line for line in range(40) if rng.random() < 0.9} for _ in range(4 * COMMON)]
    documents = [document | licence for document in [*own, *copies]]
    order = rng.permutation(len(documents))
    groups = np.array(groups_of([documents[index] for index in order], 0.5, tmp_path))
    assert len(set(groups[order >= len(own)])) == 1
    assert len(set(groups)) == len(own) + 1
    # Neighbours by the licence share 5 of 20 passages, exactly the share; every second document shares 5 more.
    halves = [document | licence | set(range(80_000 + index % 2, 80_010, 2)) for index, document in enumerate(own)]
    assert groups_of(halves, 0.25, tmp_path) == [0, 1] * (len(own) // 2)


def test_a_passage_by_chance_makes_nobody_compare_two_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, shared = [], duplicates._shared
    monkeypatch.setattr(duplicates, "_shared", lambda pairs, *rest: (compared.append(pairs), shared(pairs, *rest))[1])
    documents = [set(range(100 * index, 100 * index + 100)) for index in range(30)]
    for one, other in itertools.combinations(range(30), 2):
        documents[one] |= {10_000 + 30 * one + other}
        documents[other] |= {10_000 + 30 * one + other}
    documents += [set(range(60)) | set(range(20_000, 20_040))]  # of the first one
    assert groups_of(documents, 0.4, tmp_path) == [*range(30), 0]
    assert [pairs.tolist() for pairs in compared] == [[[0], [30]]]


def test_slices_of_the_passages_join_the_same_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    # Some passages are common, some pairs lie near the share.
    documents = [set(np.flatnonzero(rng.random(400) < 0.1).tolist()) | set(range(index % 30)) for index in range(90)]
    documents += [documents[index] | {1_000 + index} for index in range(0, 90, 7)]
    whole = groups_of(documents, 0.6, tmp_path)
    monkeypatch.setattr("hope.data.duplicates.SLICE_PASSAGES", 1)
    passages = passages_of(documents, tmp_path)
    assert sum(map(len, documents)) > 10 * 200
    assert group_near_copies([passages], 0.6, 200, tmp_path).tolist() == whole
    assert 1 < len(set(whole)) < len(documents)


def test_a_sample_that_leaves_a_pair_undecided_is_followed_by_a_finer_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.choice(2**40, 400, replace=False)
    documents = []
    for share in (0.3, 0.45, 0.55, 0.8):  # in common with the first one of each pair
        other = rng.choice(2**40, 400, replace=False) + 2**41
        documents += [set(base.tolist()), {*base[: int(share * 400)].tolist(), *other[int(share * 400) :].tolist()}]
        base = base + 2**42
    rate, asked = 0.1, []

    def finer(numbers: np.ndarray) -> Passages:
        asked.extend(numbers.tolist())
        (tmp_path / "finer").mkdir()
        whole = passages_of(documents, tmp_path / "finer")
        return whole

    sampled = [{passage for passage in document if hash((passage, 7)) % 10 == 0} for document in documents]
    sample = passages_of(sampled, tmp_path, finer=finer)._replace(sizes=np.full(8, 400.0), rates=np.full(8, rate))
    assert group_near_copies([sample], 0.5, 200, tmp_path).tolist() == [0, 1, 2, 3, 4, 4, 5, 5]
    assert {2, 3, 4, 5} <= set(asked)


def test_what_chance_shares_does_not_count(tmp_path: Path) -> None:
    documents = [set(range(100)), set(range(45, 145))]  # 55 of 100
    for by_chance, groups in ((0.0, [0, 0]), (0.2, [0, 1])):  # 0.2 + 0.8 * 0.5 is asked for
        passages = passages_of(documents, tmp_path, by_chance=by_chance)
        assert group_near_copies([passages], 0.5, 200, tmp_path).tolist() == groups


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's [odd] *?"
    folder.mkdir()
    assert groups_of([{1, 2, 3}, {1, 2, 3, 4}, {5}], 0.5, folder) == [0, 0, 1]


def test_overlap_is_the_share_of_passages_that_the_training_side_has(tmp_path: Path) -> None:
    documents = [{1, 2, 3, 4}, {3, 4, 5}, {6, 7}, {1, 6}, {9}]
    held_out = np.array([True, False, False, True, True])
    shared = shared_with_training(passages_of(documents, tmp_path), held_out, 200, tmp_path)
    assert shared.tolist() == [0.5, 0.5, 0.0]


def test_overlap_of_samples_is_that_of_all_passages_on_average(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 44_000, dtype=np.uint64) * np.uint64(2)
    long, own = hashes[:40_000], hashes[40_000:].reshape(40, 100)
    # Each held-out document shares 40 of 140 passages with the long one, of which one in 32 is known.
    short = [np.concatenate([each, long[1_000 * index : 1_000 * index + 40]]) for index, each in enumerate(own)]
    rates = np.array([1.0] * 40 + [1 / 32])
    sampled = [set(short[index].tolist()) for index in range(40)] + [set(long[long <= np.uint64(2**59)].tolist())]
    passages = passages_of(sampled, tmp_path)._replace(rates=rates)
    shared = shared_with_training(passages, rates == 1.0, 200, tmp_path)
    # Of 1,600 shared passages 50 are known: three standard deviations are 42 percent.
    assert shared.mean() == pytest.approx(40 / 140, rel=0.42)
    assert shared.mean() > 10 * 40 / 140 / 32


def test_memory_and_disk_that_do_not_suffice_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    passages = passages_of([set(rng.integers(0, 2**20, 300).tolist()) for _ in range(300)], tmp_path)
    asked = []
    connect = duckdb.connect
    monkeypatch.setattr("duckdb.connect", lambda config: (asked.append(config["threads"]), connect(config=config))[1])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    with pytest.raises(UserError, match=r"^corpus\.memory_mb: too little[^\n]*raise it$"):
        group_near_copies([passages], 0.5, 1, tmp_path)
    group_near_copies([passages], 0.5, 250, tmp_path)
    assert asked[0] == 1 and set(asked[1:]) == {2}
    (tmp_path / "passages.parquet").unlink()
    with pytest.raises(UserError, match=rf"^{tmp_path.parent}: cannot be used[^\n]*free some disk space$"):
        group_near_copies([passages], 0.5, 250, tmp_path)


def test_copies_in_six_scripts_and_in_source_code_are_found_and_templates_are_none() -> None:
    found = measure([*SCRIPTS, "code"], 12)
    assert list(found) == [*SCRIPTS, "code"]
    for script, shares in found.items():
        recall = {edit: share for edit, share in shares.items() if edit != "precision"}
        assert len(recall) >= 5 and min(recall.values()) == 1.0, (script, recall)
        assert shares["precision"] >= (0.9 if script == "code" else 1.0), script
