"""Subnetworks of single weights: files, unions, overlaps; bad files and foreign ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sublingual.errors import SubnetworkError
from sublingual.subnetworks.files import join_any, overlap_any, read_any, write_any
from sublingual.subnetworks.gates import full
from sublingual.subnetworks.masks import (
    WeightSubnetwork,
    intersection_of_weights,
    overlap_of_weights,
    read_weight_subnetwork,
    refuse_foreign_weights,
    union_of_weights,
    whole,
    write_weight_subnetwork,
)


def one(seed: int = 0, language: str = "hi") -> WeightSubnetwork:
    rng = np.random.default_rng(seed)
    kept = {"layer.0.query": rng.random((5, 3)) > 0.4, "layer.0.dense": rng.random((3, 4)) > 0.4}
    return WeightSubnetwork(
        kept, language, "pruned", (seed,), "bundled", "f" * 64, 80.5, 77.25, {"curve": [[0, 80.5], [3, 77.25]]}
    )


def test_a_file_comes_back_with_its_header_in_a_bit_a_weight(tmp_path: Path) -> None:
    write_weight_subnetwork(tmp_path / "a.safetensors", one())
    found = read_weight_subnetwork(tmp_path / "a.safetensors")
    for name, on in one().kept.items():
        assert np.array_equal(found.kept[name], on)
    for key in ("language", "method", "seeds", "encoder", "fingerprint", "dev_before", "dev_after", "details"):
        assert getattr(found, key) == getattr(one(), key)
    big = whole({"a": (384, 384)}, language="hi")
    write_weight_subnetwork(tmp_path / "b.safetensors", big)
    assert (tmp_path / "b.safetensors").stat().st_size < 384 * 384 / 8 + 1000
    assert big.n_off == 0


def test_unions_and_overlaps_are_those_of_sets() -> None:
    a, b = one(0), one(1)

    def places(s: WeightSubnetwork) -> set[tuple[str, int]]:
        return {(name, int(i)) for name, on in s.kept.items() for i in np.flatnonzero(on)}

    joined, common = union_of_weights([a, b]), intersection_of_weights([a, b])
    assert places(joined) == places(a) | places(b)
    assert places(common) == places(a) & places(b)
    assert (joined.seeds, joined.language, joined.details["of"][0]["off"]) == ((0, 1), "hi", a.n_off)
    shared = overlap_of_weights(a, b)
    assert shared.jaccard_on == len(places(common)) / len(places(joined))
    off_a, off_b = a.size - len(places(a)), b.size - len(places(b))
    both_off = a.size - len(places(joined))
    assert shared.jaccard_off == both_off / (off_a + off_b - both_off)
    assert sum(shared.both) == len(places(common))


def test_every_damaged_file_is_named(tmp_path: Path, damaged: Callable[[bytes, int, random.Random], bytes]) -> None:
    path = tmp_path / "a.safetensors"
    write_weight_subnetwork(path, one())
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    with pytest.raises(SubnetworkError, match=r"a.safetensors cannot be read as a subnetwork of weights"):
        read_weight_subnetwork(path)
    rng = random.Random(0)
    for kind in (0, 1, 2):
        for _ in range(60):
            worse = damaged(raw, kind, rng)
            if worse != raw:
                path.write_bytes(worse)
                with pytest.raises(SubnetworkError, match=r"a.safetensors"):
                    read_weight_subnetwork(path)
    path.write_bytes(raw.replace(b'"format":"1"', b'"format":"9"'))
    with pytest.raises(SubnetworkError, match=r"a.safetensors is no subnetwork of format 1"):
        read_weight_subnetwork(path)


def test_foreign_weights_are_refused() -> None:
    shapes = one().shapes
    refuse_foreign_weights(one(), fingerprint="f" * 64, shapes=shapes)
    with pytest.raises(SubnetworkError, match=r"of hi is of another encoder \(bundled, ffffffffffff"):
        refuse_foreign_weights(one(), fingerprint="0" * 64, shapes=shapes)
    with pytest.raises(SubnetworkError, match=r"of hi is of other weights .*\(layer.0.dense\)"):
        refuse_foreign_weights(one(), fingerprint="", shapes={**shapes, "layer.0.dense": (3, 5)})
    other = replace(one(1), kept={"x": np.ones((2, 2), dtype=bool)})
    with pytest.raises(SubnetworkError, match="of other weights"):
        union_of_weights([one(), other])
    with pytest.raises(SubnetworkError, match="no subnetworks to join"):
        union_of_weights([])


def test_two_kinds_do_not_mix(tmp_path: Path) -> None:
    heads = full(2, 2, language="hi")
    for path, subnetwork in ((tmp_path / "a.safetensors", one()), (tmp_path / "b.json", heads)):
        write_any(path, subnetwork)
        assert read_any(path).language == "hi"
        assert join_any([read_any(path)], only_common=True).n_off == subnetwork.n_off
        assert overlap_any(subnetwork, subnetwork).jaccard_on == 1
    for joined in (join_any, overlap_any):
        with pytest.raises(SubnetworkError, match="have nothing in common; give one kind"):
            joined([one(), heads], only_common=False) if joined is join_any else joined(one(), heads)
    with pytest.raises(SubnetworkError, match=r"c.json: a file of single weights ends in .safetensors"):
        write_any(tmp_path / "c.json", one())
    with pytest.raises(SubnetworkError, match=r"c.safetensors: a file of attention heads ends in .json"):
        write_any(tmp_path / "c.safetensors", heads)
