"""The systems' table: the six of Table 1, their controls, and the gates each starts from."""

from __future__ import annotations

import numpy as np
import pytest

from sublingual.errors import ConfigError
from sublingual.subnetworks.gates import Subnetwork
from sublingual.subnetworks.systems import System, starting_gates, system, systems

SHAPE = (3, 4)


def subnetwork(language: str, *, off: list[int], seed: int = 0) -> Subnetwork:
    gates = np.ones(12, dtype=bool)
    gates[off] = False
    return Subnetwork(gates.reshape(SHAPE), language=language, method="pruned", seeds=(seed,))


FOUND = {
    "ar": [subnetwork("ar", off=[0, 1, 2]), subnetwork("ar", off=[1, 2, 3], seed=1)],
    "hi": [subnetwork("hi", off=[5])],
}


def off(row: System, language: str, *, seed: int = 0) -> list[int]:
    gates = starting_gates(row, FOUND, ["ar", "hi"], shape=SHAPE, seed=seed)[language].gates
    return np.flatnonzero(~gates.ravel()).tolist()


def test_the_six_systems_differ_in_two_arguments() -> None:
    six = [system(f"{loop}-{gates}") for loop in ("nonep", "meta") for gates in ("full", "static", "dynamic")]
    assert {(s.loop, s.gates) for s in six} == {
        (o, g) for o in ("joint", "meta") for g in ("full", "static", "dynamic")
    }
    plain = System()
    for each in six:
        assert (each.start, each.off, each.dynamic_off, each.only, each.all_but) == (
            plain.start,
            plain.off,
            plain.dynamic_off,
            plain.only,
            plain.all_but,
        )


def test_every_row_can_be_named() -> None:
    assert all(system(name) == row for name, row in systems().items())
    assert system("stage1").loop == "none"


def test_a_joint_row_has_a_twin_of_the_meta_loop() -> None:
    row = system("meta-shuffle")
    assert (row.name, row.loop, row.start) == ("meta-shuffle", "meta", "shuffled")


def test_full_masks_nothing_and_static_is_the_union_of_the_seeds() -> None:
    assert off(system("nonep-full"), "ar") == []
    assert off(system("nonep-static"), "ar") == [1, 2]
    assert off(system("nonep-intersection"), "ar") == [0, 1, 2, 3]


def test_one_language_masked_and_all_but_one() -> None:
    only, but = system("nonep-static-only-ar"), system("nonep-static-all-but-ar")
    assert (off(only, "ar"), off(only, "hi")) == ([1, 2], [])
    assert (off(but, "ar"), off(but, "hi")) == ([], [5])


def test_a_shuffle_keeps_the_number_and_a_seed_decides_which() -> None:
    drawn = [off(system("nonep-shuffle"), "ar", seed=seed) for seed in range(6)]
    assert {len(each) for each in drawn} == {2}
    assert len({tuple(each) for each in drawn}) > 1
    assert drawn[0] == off(system("nonep-shuffle"), "ar", seed=0)


def test_random_gates_are_a_number_or_a_share_and_need_no_subnetwork() -> None:
    row = System(name="r", loop="joint", gates="static", start="random", off=5)
    share = System(name="r", loop="joint", gates="static", start="random", off=0.5)
    started = starting_gates(row, {}, ["xx"], shape=SHAPE, seed=0)["xx"]
    assert started.n_off == 5
    assert starting_gates(share, {}, ["xx"], shape=SHAPE, seed=0)["xx"].n_off == 6


def test_languages_of_one_system_draw_apart() -> None:
    row = System(name="r", loop="joint", gates="static", start="random", off=5)
    started = starting_gates(row, {}, ["aa", "bb"], shape=(12, 12), seed=0)
    assert (started["aa"].gates != started["bb"].gates).any()


def test_bad_gates_are_none_that_pruning_chose() -> None:
    row = System(name="b", loop="joint", gates="static", start="bad", off=4)
    assert len(off(row, "ar")) == 4
    assert not {1, 2} & set(off(row, "ar"))


def test_a_row_that_needs_subnetworks_says_whose_are_missing() -> None:
    with pytest.raises(ConfigError, match="'nonep-static' needs a subnetwork of cs; find one"):
        starting_gates(system("nonep-static"), FOUND, ["ar", "cs"], shape=SHAPE, seed=0)


def test_an_unknown_system_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown system 'nonep-statik'; there are: nonep-full, .*NAME-only-CODE"):
        system("nonep-statik")


def test_impossible_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="`off` goes with start = random or bad"):
        System(name="x", off=3)
    with pytest.raises(ConfigError, match="`only` or `all_but`, not both"):
        System(name="x", only=("ar",), all_but=("hi",))
