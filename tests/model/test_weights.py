"""A network restricted to single weights: a copy with zeros in their places is the oracle."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from sublingual.data.batches import Batch, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ModelError
from sublingual.model.encoder import FAMILIES, Encoder
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import (
    WeightMask,
    attention_weights,
    confined_,
    n_off,
    packed,
    refuse_unfit,
    restricted_,
    unpacked,
)

Make = Callable[..., BiaffineParser]


def random_mask(encoder: Encoder, *, seed: int = 0) -> WeightMask:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: p.shape for name, p in attention_weights(encoder).items()}
    return WeightMask({name: torch.rand(shape, generator=generator) > 0.4 for name, shape in shapes.items()})


def zeroed(network: BiaffineParser, mask: WeightMask) -> BiaffineParser:
    other = deepcopy(network)
    for name, p in other.encoder.model.named_parameters():
        if name in mask.kept:
            p.data[~mask.kept[name]] = 0
    return other


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser()


@pytest.fixture
def batch(network: BiaffineParser, demo: Callable[..., list[Sentence]]) -> Batch:
    return pack(network.encode(demo("Hindi", 4), gold=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_are_those_of_the_four_projections_of_each_layer(
    family: str, new_encoder: Callable[..., Encoder]
) -> None:
    encoder = new_encoder(family)
    found = attention_weights(encoder)
    size = encoder.hidden_size
    key_size = size * getattr(encoder.config, "num_key_value_heads", encoder.n_attention_heads)
    key_size //= encoder.n_attention_heads
    assert sum(p.numel() for p in found.values()) == encoder.n_layers * (2 * size * size + 2 * size * key_size)
    assert all("intermediate" not in name and "mlp" not in name and p.ndim == 2 for name, p in found.items())


def test_inside_it_is_a_network_with_zeros_and_afterwards_as_it_was_to_the_bit(
    network: BiaffineParser, batch: Batch
) -> None:
    mask = random_mask(network.encoder)
    before, other = deepcopy(network.state_dict()), zeroed(network, mask)
    with restricted_(network, mask) as gates:
        assert gates is None
        loss = network.loss(batch, gates).total
        loss.backward()
    expected = other.loss(batch).total
    expected.backward()
    assert torch.equal(loss, expected)
    assert not torch.equal(loss, network.loss(batch).total)
    for (name, p), own in zip(network.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, before[name]), name
        if own.grad is not None:
            on = mask.kept.get(name.removeprefix("encoder.model."), torch.ones_like(p, dtype=torch.bool))
            assert torch.equal(p.grad, own.grad * on), name  # type: ignore[arg-type]
    network.zero_grad()
    network.loss(batch).total.backward()  # outside, masked weights have a gradient again
    assert any((p.grad[~mask.kept[n]] != 0).any() for n, p in attention_weights(network.encoder).items())  # type: ignore[index]


def test_a_fault_inside_brings_the_weights_back(network: BiaffineParser) -> None:
    before = deepcopy(network.state_dict())
    with pytest.raises(MemoryError), restricted_(network, random_mask(network.encoder)):
        raise MemoryError
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_confined_masked_weights_are_and_stay_zero(
    network: BiaffineParser, batch: Batch, kind: type[torch.optim.Optimizer]
) -> None:
    mask = random_mask(network.encoder)
    start = {name: p.detach().clone() for name, p in attention_weights(network.encoder).items()}
    with confined_(network, mask):
        step = kind(network.parameters(), lr=0.1)  # type: ignore[call-arg]
        for _ in range(3):
            step.zero_grad()
            network.loss(batch).total.backward()
            step.step()
    for name, p in attention_weights(network.encoder).items():
        assert (p[~mask.kept[name]] == 0).all()
        assert (p[mask.kept[name]] != start[name][mask.kept[name]]).any()


def test_gates_pass_through(network: BiaffineParser) -> None:
    gates = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    for context in (restricted_, confined_):
        with context(network, gates) as given:
            assert given is gates
        with context(network, None) as given:
            assert given is None
    assert (n_off(gates), n_off(WeightMask({"a": torch.tensor([[True, False]])}))) == (1, 1)


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (1, 1)])
def test_packed_bits_come_back(shape: tuple[int, int]) -> None:
    on: Tensor = torch.rand(shape) > 0.5
    bits = packed(on)
    assert len(bits) == -(-on.numel() // 8)
    assert torch.equal(unpacked(bits, shape), on)


def test_masks_of_other_weights_are_refused(network: BiaffineParser) -> None:
    kept = dict(random_mask(network.encoder).kept)
    refuse_unfit(network.encoder, WeightMask(kept))
    name = next(iter(kept))
    kept[name] = kept[name][:-1]
    with pytest.raises(ModelError, match=rf"does not fit the encoder .*: {name}; find one with this encoder"):
        refuse_unfit(network.encoder, WeightMask(kept))
