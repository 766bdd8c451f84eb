"""Unstructured pruning against torch's own, and on a toy whose weights were planted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.utils import prune as library

from sublingual.data.conllu import Sentence
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import attention_weights
from sublingual.parsing import parse
from sublingual.subnetworks.importance import PruneConfig
from sublingual.subnetworks.magnitude import prune_weights, ranks

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]


def test_steps_are_those_of_torchs_global_l1_pruning(
    tiny_parser: Make, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps of 10 % of the weights still on, on the weights' own copy."""
    from sublingual.subnetworks import magnitude

    network = tiny_parser()
    masks = []
    monkeypatch.setattr(magnitude, "dev_las", lambda *_, **__: lambda mask: masks.append(mask) or 100.0)
    total = sum(p.numel() for p in attention_weights(network.encoder).values())
    monkeypatch.setattr(magnitude, "shrink", ten_steps)
    prune_weights(network, demo("Hindi", 2), config=PruneConfig())
    copies = {name: torch.nn.Linear(1, 1) for name in attention_weights(network.encoder)}
    for name, p in attention_weights(network.encoder).items():
        copies[name].weight = torch.nn.Parameter(p.detach().clone())
    assert len(masks) == 10
    for mask in masks:
        on = total - sum(
            int((~m.weight_mask.bool()).sum()) if hasattr(m, "weight_mask") else 0 for m in copies.values()
        )
        library.global_unstructured(
            [(m, "weight") for m in copies.values()], pruning_method=library.L1Unstructured, amount=int(0.1 * on)
        )
        for name, m in copies.items():
            assert torch.equal(mask.kept[name], m.weight_mask.bool()), name


def ten_steps(start: int, smaller: Callable[[int], int], *, las: Callable[[int], float], **_: object) -> object:
    from sublingual.subnetworks.importance import Pruned

    at = start
    for _i in range(10):
        at = smaller(at)
        las(at)
    return Pruned(at, 100.0, 100.0, ())


def test_ties_go_in_the_order_of_their_places(tiny_parser: Make) -> None:
    network = tiny_parser()
    for p in attention_weights(network.encoder).values():
        p.data.fill_(0.5)
    assert torch.equal(ranks(network), torch.arange(len(ranks(network))))


def test_a_toy_keeps_what_was_planted_and_the_network_stays_as_it_was(tiny_parser: Make, demo: Demo) -> None:
    network = tiny_parser().eval()
    with torch.no_grad():
        for p in attention_weights(network.encoder).values():
            small = torch.rand(p.shape, generator=torch.Generator().manual_seed(0)) < 0.5
            p[small] *= 1e-7  # half of the weights cannot matter
    before = {name: t.clone() for name, t in network.state_dict().items()}
    own = parse(network, demo("English", 12))
    told: list[tuple[int, float]] = []
    config = PruneConfig(share=0.2, keep=0.999, precision="fp32")
    pruned = prune_weights(network, own, config=config, progress=lambda n, las: told.append((n, las)))
    small_weights = sum(int((p.abs() < 1e-6).sum()) for p in attention_weights(network.encoder).values())
    size = sum(p.numel() for p in attention_weights(network.encoder).values())
    assert pruned.left.n_off <= small_weights * 1.05
    assert pruned.left.n_off >= 0.36 * size  # two steps of a fifth of what is on: 20 %, 36 %
    for name, on in pruned.left.kept.items():
        magnitude = before[f"encoder.model.{name}"].abs()
        assert (magnitude[~on] < 1e-6).all()
    assert tuple(told) == pruned.curve
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_it_ends_where_no_whole_weight_is_left_to_go(tiny_parser: Make, demo: Demo) -> None:
    network = tiny_parser()
    own = parse(network, demo("English", 1))
    pruned = prune_weights(network, own, config=PruneConfig(share=0.9, keep=0.0, precision="fp32"))
    left = sum(int(on.sum()) for on in pruned.left.kept.values())
    assert int(0.9 * left) == 0
    assert left > 0
