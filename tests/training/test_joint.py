"""The joint step: the mean of separate losses in one pass, and gates that keep languages apart."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch

from sublingual.data.batches import Encoded, pack
from sublingual.data.conllu import Sentence
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.subnetworks.dynamic import LanguageGates
from sublingual.subnetworks.language_weights import LanguageWeights
from sublingual.training.joint import joint_gradients_, together_
from sublingual.training.stage2 import Stage2Config, stage2_

Make = Callable[..., BiaffineParser]
LANGUAGES = ("ar", "hi", "it")
GATES = torch.tensor([[[1, 1], [1, 1]], [[0, 1], [1, 1]], [[1, 1], [1, 0]]]).bool()


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser()


@pytest.fixture
def batches(network: BiaffineParser, demo: Callable[..., list[Sentence]]) -> list[list[Encoded]]:
    parts = (demo("Arabic", 3), demo("Hindi", 5), demo("Italian", 2))
    return [network.encode(sentences, gold=True) for sentences in parts]


def gradients(network: BiaffineParser) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    return found


@pytest.mark.parametrize("budget", [30, 4096])
def test_the_gradient_is_the_mean_of_the_languages_own(
    network: BiaffineParser, batches: list[list[Encoded]], budget: int
) -> None:
    losses = joint_gradients_(
        network, LanguageGates(GATES, languages=LANGUAGES), batches, budget=budget, precision="fp32"
    )
    found = gradients(network)
    total = torch.zeros(())
    for i, sentences in enumerate(batches):
        batch = pack(sentences)
        loss = network.loss(batch, GATES[i].float().expand(len(batch), -1, -1)).total / batch.n_annotated
        assert losses[i] == pytest.approx(loss.item(), rel=1e-5)
        total = total + loss / 3
    total.backward()
    expected = gradients(network)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_seven_languages_go_through_the_encoder_in_one_forward_and_one_backward(
    network: BiaffineParser, demo: Callable[..., list[Sentence]]
) -> None:
    names = ("Arabic", "Czech", "Estonian", "Hindi", "Italian", "Norwegian", "Russian")
    seven = [network.encode(demo(name, 3), gold=True) for name in names]
    gates = torch.rand(7, 2, 2, generator=torch.Generator().manual_seed(0)) > 0.3
    forwards: list[int] = []
    backwards: list[int] = []
    network.encoder.register_forward_hook(lambda *_: forwards.append(1))
    network.mix.scale.register_hook(lambda _: backwards.append(1))
    losses = joint_gradients_(network, LanguageGates(gates, languages=names), seven, budget=4096, precision="fp32")
    assert (len(forwards), len(backwards)) == (1, 1)
    found = gradients(network)
    joint_gradients_(network, LanguageGates(gates, languages=names), seven, budget=100, precision="fp32")
    assert len(forwards) == len(backwards) > 2  # a budget of pieces cuts it into micro-batches
    network.zero_grad()
    apart = [
        network.loss(pack(e), g.float().expand(len(e), -1, -1)).total / pack(e).n_annotated
        for e, g in zip(seven, gates, strict=True)
    ]
    assert losses == pytest.approx([loss.item() for loss in apart], rel=1e-5)
    torch.stack(apart).mean().backward()
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_language_without_sentences_adds_nothing(network: BiaffineParser, batches: list[list[Encoded]]) -> None:
    gates = LanguageGates(GATES, languages=LANGUAGES)
    losses = together_(network, gates, [[], batches[1], []], budget=4096, precision="fp32")
    assert losses[0] == losses[2] == 0.0
    alone = gradients(network)
    batch = pack(batches[1])
    loss = network.loss(batch, GATES[1].float().expand(len(batch), -1, -1)).total / batch.n_annotated
    (loss / 3).backward()
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(alone[name], gradient, rtol=1e-4, atol=1e-6)


def test_gates_of_ones_are_no_gates_to_the_bit(network: BiaffineParser, batches: list[list[Encoded]]) -> None:
    full = LanguageGates(torch.ones_like(GATES), languages=LANGUAGES)
    joint_gradients_(network, full, [batches[0], [], []], budget=4096, precision="fp32")
    found = gradients(network)
    batch = pack(sorted(batches[0], key=lambda e: e.n_pieces))
    weight = torch.full((len(batch),), 1 / (3 * batch.n_annotated))
    (network.loss(batch).sentences * weight).sum().backward()
    expected = gradients(network)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def zeroed(network: BiaffineParser, mask: WeightMask) -> BiaffineParser:
    other = deepcopy(network)
    for name, p in other.encoder.model.named_parameters():
        if name in mask.kept:
            p.data[~mask.kept[name]] = 0
    return other


def masks_of(network: BiaffineParser) -> dict[str, WeightMask]:
    generator = torch.Generator().manual_seed(0)
    shapes = {name: p.shape for name, p in attention_weights(network.encoder).items()}
    return {
        code: WeightMask({name: torch.rand(shape, generator=generator) > 0.3 for name, shape in shapes.items()})
        for code in LANGUAGES
    }


def test_with_masks_of_single_weights_it_is_the_mean_of_the_masked_copies_gradients(
    network: BiaffineParser, batches: list[list[Encoded]]
) -> None:
    masks = masks_of(network)
    before = deepcopy(network.state_dict())
    losses = joint_gradients_(network, LanguageWeights(masks), batches, budget=4096, precision="fp32")
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    found = gradients(network)
    expected = {name: torch.zeros_like(gradient) for name, gradient in found.items()}
    for i, (sentences, mask) in enumerate(zip(batches, masks.values(), strict=True)):
        copy = zeroed(network, mask)
        batch = pack(sentences)
        loss = copy.loss(batch).total / batch.n_annotated
        assert losses[i] == pytest.approx(loss.item(), rel=1e-5)
        loss.backward()
        for name, p in copy.named_parameters():
            if p.grad is not None:
                expected[name] += p.grad * mask.kept.get(name.removeprefix("encoder.model."), 1) / 3
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


class NoGates(LanguageGates):
    """As if there were no subnetworks at all."""

    def forward(self, language: torch.Tensor) -> None:  # type: ignore[override]
        return None


def test_training_with_gates_of_ones_is_training_without_gates_to_the_bit(
    tiny_parser: Make, demo: Callable[..., list[Sentence]]
) -> None:
    data = {"ar": demo("Arabic", 5), "hi": demo("Hindi", 5), "it": demo("Italian", 5)}
    trained = []
    for kind in (LanguageGates, NoGates):
        network = tiny_parser(dropout=True)
        config = Stage2Config(steps=4, batch=3, budget=60, precision="fp32")
        stage2_(network, kind(torch.ones_like(GATES), languages=LANGUAGES), data, loop="joint", config=config)
        trained.append(network.state_dict())
    assert all(torch.equal(t, trained[1][name]) for name, t in trained[0].items())


def test_a_languages_examples_leave_its_pruned_attention_heads_alone(
    network: BiaffineParser, batches: list[list[Encoded]]
) -> None:
    gates = LanguageGates(GATES, languages=LANGUAGES)
    size = network.encoder.hidden_size // network.encoder.n_attention_heads
    layer = "encoder.model.encoder.layer.0.attention"  # Hindi has attention head 0 of layer 0 off, Arabic has it on
    slices: dict[str, tuple[slice, ...]] = {
        **{f"{layer}.self.{part}.bias": (slice(0, size),) for part in ("query", "value")},
        **{f"{layer}.self.{part}.weight": (slice(0, size), slice(None)) for part in ("query", "key", "value")},
        f"{layer}.output.dense.weight": (slice(None), slice(0, size)),
    }
    for language, touched in ((1, False), (0, True)):
        alone = [batch if i == language else [] for i, batch in enumerate(batches)]
        joint_gradients_(network, gates, alone, budget=4096, precision="fp32")
        found = gradients(network)
        for name, part in slices.items():
            assert bool(found[name][part].any()) == touched, (name, language)
            rest = found[name].clone()
            rest[part] = 0
            assert rest.any()
