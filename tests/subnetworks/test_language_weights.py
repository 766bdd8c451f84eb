"""Learned masks of single weights: the threshold, and the straight-through gradient against autograd's own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sublingual.data.batches import Encoded, pack
from sublingual.data.conllu import Sentence
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.subnetworks.dynamic import DynamicConfig
from sublingual.subnetworks.language_weights import DynamicWeights, LanguageWeights, largest
from sublingual.subnetworks.magnitude import ranks
from sublingual.training.joint import joint_gradients_

Make = Callable[..., BiaffineParser]
LANGUAGES = ("ar", "hi")


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser()


@pytest.fixture
def batches(network: BiaffineParser, demo: Callable[..., list[Sentence]]) -> list[list[Encoded]]:
    return [network.encode(demo(name, 3), gold=True) for name in ("Arabic", "Hindi")]


def start_of(network: BiaffineParser) -> dict[str, WeightMask]:
    generator = torch.Generator().manual_seed(0)
    shapes = {name: p.shape for name, p in attention_weights(network.encoder).items()}
    return {
        code: WeightMask({name: torch.rand(shape, generator=generator) > 0.3 for name, shape in shapes.items()})
        for code in LANGUAGES
    }


def learned(network: BiaffineParser, config: DynamicConfig | None = None) -> DynamicWeights:
    return DynamicWeights(start_of(network), rank=ranks(network), config=config or DynamicConfig())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_the_smallest_are_off_and_of_equal_ones_the_first(values: list[int], data: st.DataObject) -> None:
    off = data.draw(st.integers(0, len(values)))
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    expected = [i not in order[:off] for i in range(len(values))]
    assert largest(torch.tensor(values, dtype=torch.float32), off=off).tolist() == expected


def test_a_fifth_is_off_at_the_start_and_first_what_was_pruned(network: BiaffineParser) -> None:
    gates = learned(network)
    n = gates.weights.shape[1]
    assert gates.off == (int(0.2 * n),) * 2
    flat = torch.stack([torch.cat([on.flatten() for on in mask.kept.values()]) for mask in start_of(network).values()])
    assert (~flat[~gates.binary()]).all()  # more than a fifth was pruned: all that is off now was
    same = learned(network, DynamicConfig(off="static"))
    assert torch.equal(same.binary(), flat)
    assert same.changed() == {"ar": 0, "hi": 0}
    assert [mask.n_off for mask in start_of(network).values()] == [*same.off]


def through(network: BiaffineParser, sentences: list[Encoded], mask: WeightMask) -> tuple[Tensor, dict[str, Tensor]]:
    """The gradient of the loss per word with respect to masks that multiply the weights, and to the parameters."""
    copy = deepcopy(network)
    own = {name: on.float().requires_grad_() for name, on in mask.kept.items()}
    theta = dict(attention_weights(copy.encoder))
    for name, p in theta.items():
        module = copy.encoder.model.get_submodule(name.rpartition(".")[0])
        del module.weight
        module.weight = p * own[name]  # type: ignore[assignment]
    batch = pack(sorted(sentences, key=lambda e: e.n_pieces))
    (copy.loss(batch).total / batch.n_annotated).backward()
    parts = [g.grad.flatten() for g in own.values() if g.grad is not None]
    return torch.cat(parts), {name: p.grad for name, p in theta.items() if p.grad is not None}


def test_the_gradient_of_the_masks_is_as_if_there_were_no_threshold(
    network: BiaffineParser, batches: list[list[Encoded]]
) -> None:
    gates = learned(network)
    joint_gradients_(network, gates, batches, budget=4096, precision="fp32")
    assert gates.weights.grad is not None
    plain = [through(network, e, mask) for e, mask in zip(batches, gates.subnets().values(), strict=True)]  # type: ignore[arg-type]
    for i, (of_mask, _) in enumerate(plain):
        torch.testing.assert_close(gates.weights.grad[i], of_mask / 2, rtol=1e-4, atol=1e-7)
        assert gates.weights.grad[i][~gates.binary()[i]].any()  # what is off learns as well
    for name, p in attention_weights(network.encoder).items():
        torch.testing.assert_close(p.grad, sum(of[name] for _, of in plain) / 2, rtol=1e-4, atol=1e-7)


def test_without_learning_they_get_no_gradient(network: BiaffineParser, batches: list[list[Encoded]]) -> None:
    gates = learned(network)
    before = deepcopy(network.state_dict())
    with gates.restricted(network, 0):
        network.loss(pack(batches[0])).total.backward()
    assert gates.weights.grad is None
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_masks_that_differ_are_told_apart(network: BiaffineParser) -> None:
    one, other = LanguageWeights(start_of(network)), start_of(network)
    other["hi"] = other["ar"]
    assert one.identity() == LanguageWeights(start_of(network)).identity() != LanguageWeights(other).identity()
    moved = learned(network)
    with torch.no_grad():
        moved.weights[0, 0] += 1
    assert moved.identity() != learned(network).identity()
