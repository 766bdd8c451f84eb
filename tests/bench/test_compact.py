"""Which attention heads bench/compact.py switches off."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.compact import gates_of
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser


def test_heads_go_off_besides_those_that_are_off_already(tiny_parser: Callable[..., BiaffineParser]) -> None:
    own = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    parser = Parser(tiny_parser(), own)
    assert gates_of(parser, off=0, layers=0, seed=0).equal(own)
    for seed in range(4):
        gates = gates_of(parser, off=1, layers=0, seed=seed)
        assert (gates == 0).sum() == 2
        assert gates[0, 0] == 0
    assert own.sum() == 3


def test_a_layer_goes_off_whole(tiny_parser: Callable[..., BiaffineParser]) -> None:
    gates = gates_of(Parser(tiny_parser()), off=0, layers=1, seed=0)
    assert sorted(gates.sum(dim=1).tolist()) == [0, 2]
