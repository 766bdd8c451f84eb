"""Subnetworks as sets of attention heads: joins, overlaps, controls, and files that a person can read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sublingual.errors import SubnetworkError
from sublingual.subnetworks.gates import (
    Subnetwork,
    bad,
    full,
    intersection,
    overlap,
    random_off,
    read_subnetwork,
    refuse_foreign,
    shuffled,
    union,
    write_subnetwork,
)
from sublingual.subnetworks.heatmap import heat_map, text_map

GATES = arrays.arrays(bool, (3, 4))


def subnetwork(gates: np.ndarray, language: str = "fo", **values: object) -> Subnetwork:
    return Subnetwork(gates, language=language, method="pruned", **values)  # type: ignore[arg-type]


def on(s: Subnetwork) -> set[tuple[int, int]]:
    return {(i, j) for i, row in enumerate(s.gates.tolist()) for j, gate in enumerate(row) if gate}


@given(st.lists(GATES, min_size=1, max_size=4))
def test_union_and_intersection_are_those_of_sets(several: list[np.ndarray]) -> None:
    found = [subnetwork(gates, seeds=(i,)) for i, gates in enumerate(several)]
    assert on(union(found)) == set.union(*map(on, found))
    assert on(intersection(found)) == set.intersection(*map(on, found))
    assert union(found).seeds == tuple(range(len(found)))


@given(GATES, GATES)
def test_overlap_is_jaccards_index_of_sets(first: np.ndarray, second: np.ndarray) -> None:
    a, b = subnetwork(first), subnetwork(second)
    every = {(i, j) for i in range(3) for j in range(4)}
    shared = overlap(a, b)
    for found, x, y in [(shared.jaccard_on, on(a), on(b)), (shared.jaccard_off, every - on(a), every - on(b))]:
        assert found == (len(x & y) / len(x | y) if x | y else 1.0)
    assert shared.both == tuple(sum(i == layer for i, _ in on(a) & on(b)) for layer in range(3))
    assert shared.either == tuple(sum(i == layer for i, _ in on(a) | on(b)) for layer in range(3))


@given(GATES, st.integers(0, 99))
def test_a_shuffle_keeps_how_many_are_on(gates: np.ndarray, seed: int) -> None:
    s = subnetwork(gates)
    drawn = shuffled(s, generator=np.random.default_rng(seed))
    assert (drawn.n_off, drawn.shape, drawn.method) == (s.n_off, s.shape, "shuffled")


def test_a_shuffle_crosses_layers() -> None:
    gates = np.array([[True] * 4, [False] * 4, [False] * 4])
    drawn = [shuffled(subnetwork(gates), generator=np.random.default_rng(seed)) for seed in range(5)]
    assert any(d.gates[1:].any() for d in drawn)


@given(GATES, st.data())
def test_bad_gates_are_off_only_where_pruning_kept(gates: np.ndarray, data: st.DataObject) -> None:
    s = subnetwork(gates)
    n = data.draw(st.integers(0, int(gates.sum())))
    drawn = bad(s, n_off=n, generator=np.random.default_rng(0))
    assert drawn.n_off == n
    assert not (~drawn.gates & ~gates).any()


def test_too_few_candidates_for_bad_gates_is_an_error_that_says_so() -> None:
    gates = np.zeros((12, 12), dtype=bool)
    gates[0, :] = True
    with pytest.raises(
        SubnetworkError, match="20 attention heads cannot be switched off for fo: there are 12 candidates"
    ):
        bad(subnetwork(gates), generator=np.random.default_rng(0))


def test_random_gates_have_their_number_off() -> None:
    whole = full(12, 12, language="fo")
    drawn = [random_off(whole, n_off=20, generator=np.random.default_rng(seed)) for seed in range(3)]
    assert [d.n_off for d in drawn] == [20] * 3
    assert (drawn[0].gates != drawn[1].gates).any()
    with pytest.raises(SubnetworkError, match="145 attention heads cannot be switched off"):
        random_off(whole, n_off=145, generator=np.random.default_rng(0))


def test_a_control_has_no_scores_of_the_subnetwork_it_was_drawn_from() -> None:
    s = subnetwork(np.ones((3, 4), dtype=bool), dev_before=80.0, dev_after=78.0, details={"curve": []})
    drawn = shuffled(s, generator=np.random.default_rng(0))
    assert (drawn.dev_before, drawn.dev_after, drawn.details) == (None, None, {})


def test_what_is_of_another_shape_or_encoder_is_refused() -> None:
    a = subnetwork(np.ones((3, 4), dtype=bool), encoder="x", fingerprint="a" * 64)
    b = subnetwork(np.ones((3, 4), dtype=bool), language="sv", encoder="y", fingerprint="b" * 64)
    for join in (union, intersection):
        with pytest.raises(
            SubnetworkError, match=r"of sv is of another encoder \(y, bbbbbbbbbbbb\.\.\., not aaaaaaaaaaaa"
        ):
            join([a, b])
    with pytest.raises(SubnetworkError, match="of fo has 3 layers of 4 attention heads, where 12 of 12 are needed"):
        refuse_foreign(a, fingerprint="a" * 64, shape=(12, 12))
    with pytest.raises(SubnetworkError, match="no subnetworks to join"):
        union([])


def test_a_file_is_read_as_it_was_written_and_a_person_can_read_it(tmp_path: Path) -> None:
    gates = np.array([[True, False, True], [False, False, True]])
    s = subnetwork(
        gates,
        seeds=(2, 3),
        encoder="bundled",
        fingerprint="ab",
        dev_before=80.5,
        dev_after=79.0,
        details={"curve": [[0, 80.5]]},
    )
    path = tmp_path / "fo.json"
    write_subnetwork(path, s)
    again = read_subnetwork(path)
    assert np.array_equal(again.gates, gates)
    for name in ("language", "method", "seeds", "encoder", "fingerprint", "dev_before", "dev_after", "details"):
        assert getattr(again, name) == getattr(s, name)
    assert json.loads(path.read_text("utf-8"))["gates"] == ["101", "001"]
    assert [p.name for p in tmp_path.iterdir()] == ["fo.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gates": ["11", "1x"]}, r"the gates of layer 2 are '1x'; 2 zeros and ones are needed"),
        ({"gates": ["11", "111"]}, r"the gates of layer 2 are '111'; 2 zeros and ones"),
        ({"gates": []}, r"gates are a list with one string of zeros and ones"),
        ({"gates": "11"}, r"gates are a list with one string"),
        ({"format": 9}, r"is no subnetwork of format 1; find it anew"),
        ({"colour": 1}, r"unknown or missing: colour"),
        ({"language": 3}, r"language is 3: input should be a valid string"),
        ({"seeds": 0}, r"seeds is 0: input should be a valid tuple"),
        ({"dev_before": "high"}, r"dev_before is 'high': input should be a valid number"),
        ({"details": None}, r"details is None: input should be a valid dictionary"),
        ({"details": {"importance": [[0.5, 0.5]]}}, r"importance is a number for each of 4 attention heads"),
        ({"details": {"importance": [[0.5], [0.5, 0.5]]}}, r"importance is a number for each of 4"),
        ({"details": {"importance": [[0.5, "x"]] * 2}}, r"importance is a number for each of 4"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "fo.json"
    write_subnetwork(path, subnetwork(np.ones((2, 2), dtype=bool)))
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="utf-8")
    with pytest.raises(SubnetworkError, match=rf"fo\.json.*{message}"):
        read_subnetwork(path)


def test_half_a_file_and_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fo.json"
    with pytest.raises(SubnetworkError, match=r"fo\.json cannot be read as a subnetwork"):
        read_subnetwork(path)
    write_subnetwork(path, subnetwork(np.ones((2, 2), dtype=bool)))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SubnetworkError, match=r"cannot be read as a subnetwork .*; find it anew"):
        read_subnetwork(path)


def test_the_maps_show_every_attention_head() -> None:
    s = subnetwork(np.array([[True, False, True], [False, False, False]]))
    assert text_map(s) == "1 #.#   2\n2 ...   0"
    drawn = heat_map([s, subnetwork(np.ones((2, 3), dtype=bool), language="sv")])
    assert drawn.count("<rect") == 12
    assert "<title>fo: 4 of 6 attention heads off, sv: 0 of 6 attention heads off</title>" in drawn
    assert drawn.count(": on</title>") == 8
