"""Schedules against their closed forms, optimizer groups, gradual unfreezing."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import unwrap

import pytest
import torch

from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.training.optim import OptimConfig, encoder_layers, optimizer, rate_factor, thaw_, trained

Make = Callable[..., BiaffineParser]


def closed_cosine(step: int, *, steps: int, rising: int) -> float:
    if step <= rising and rising:
        return step / rising
    share = (step - rising) / (steps - rising)
    return math.cos(math.pi * share / 2) ** 2  # half-angle form of 1/2 (1 + cos)


@pytest.mark.parametrize(("steps", "warmup", "rising"), [(100, 0.1, 10), (1600, 0.1, 160), (30, 0.0, 0), (7, 0.5, 4)])
def test_cosine_is_its_closed_form(steps: int, warmup: float, rising: int) -> None:
    factor = rate_factor("cosine", steps=steps, warmup=warmup)
    expected = [closed_cosine(step, steps=steps, rising=rising) for step in range(steps + 1)]
    assert [factor(step) for step in range(steps + 1)] == pytest.approx(expected, abs=1e-12)


def test_cosine_starts_at_0_peaks_at_1_after_the_warm_up_and_ends_at_0() -> None:
    factor = rate_factor("cosine", steps=200, warmup=0.1)
    values = [factor(step) for step in range(201)]
    assert (values[0], values[20]) == (0.0, 1.0)
    assert values[200] == pytest.approx(0.0, abs=1e-15)
    assert max(values) == 1.0
    assert values[:21] == sorted(values[:21])
    assert values[20:] == sorted(values[20:], reverse=True)


def test_warm_up_may_take_all_steps() -> None:
    factor = rate_factor("cosine", steps=4, warmup=1.0)
    assert [factor(step) for step in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_inverse_sqrt_rises_in_a_line_and_falls_as_the_root() -> None:
    factor = rate_factor("inverse-sqrt", steps=1000, warmup=0.1)
    peak = 5 / math.sqrt(100)
    assert factor(99) == pytest.approx(peak)
    for step in range(99):
        assert factor(step) == pytest.approx(peak * (step + 1) / 100)
    for step in range(100, 1000, 50):
        assert factor(step) == pytest.approx(peak * math.sqrt(100 / (step + 1)))


def test_constant_is_1() -> None:
    factor = rate_factor("constant", steps=10, warmup=0.5)
    assert {factor(step) for step in range(10)} == {1.0}


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown schedule 'linear'; allowed: cosine, inverse-sqrt, constant"):
        unwrap(rate_factor)("linear", steps=10, warmup=0.1)  # past the type check that runs with the tests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": 1.5}, "warmup 1.5: it is a share of the steps, from 0 to 1"),
        ({"encoder_rate": -1.0}, "encoder_rate -1.0: it is 0 or more"),
        ({"classifier_rate": math.nan}, "classifier_rate nan: it is 0 or more, and a number"),
        ({"weight_decay": math.inf}, "weight_decay inf: it is 0 or more, and a number"),
        ({"beta2": 1.0}, "beta2 1.0: it is 0 or more and below 1"),
        ({"thaw_steps": -1}, "thaw_steps -1: it is 0 or more"),
        ({"clip": 0.0}, "clip 0.0: it is above 0"),
        ({"clip": math.nan}, "clip nan: it is above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OptimConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("embeddings", [False, True])
def test_each_trained_parameter_is_in_exactly_one_group(tiny_parser: Make, embeddings: bool) -> None:
    network = tiny_parser()
    groups = optimizer(network, OptimConfig(embeddings=embeddings)).param_groups
    names = {id(p): name for name, p in network.named_parameters()}
    grouped = [names[id(p)] for group in groups for p in group["params"]]
    table = "encoder.model.embeddings.word_embeddings.weight"
    assert sorted(grouped) == sorted(set(names.values()) - (set() if embeddings else {table}))
    for group in groups:
        assert {names[id(p)].startswith("encoder.") for p in group["params"]} == {group["name"] == "encoder"}


def test_groups_have_their_own_rates_and_settings(tiny_parser: Make) -> None:
    config = OptimConfig(encoder_rate=3e-5, classifier_rate=7e-4, weight_decay=0.02, beta2=0.98)
    groups = {group["name"]: group for group in optimizer(tiny_parser(), config).param_groups}
    assert {name: group["lr"] for name, group in groups.items()} == {"encoder": 3e-5, "classifier": 7e-4}
    assert {(group["weight_decay"], group["betas"]) for group in groups.values()} == {(0.02, (0.9, 0.98))}


def test_what_an_earlier_run_left_frozen_is_trained_again(tiny_parser: Make) -> None:
    network = tiny_parser()
    thaw_(network, OptimConfig(frozen_steps=10), step=0)
    n_frozen = sum(len(group["params"]) for group in optimizer(network, OptimConfig()).param_groups)
    assert n_frozen == sum(len(group["params"]) for group in optimizer(tiny_parser(), OptimConfig()).param_groups)


def test_a_frozen_classifier_parameter_stays_frozen(tiny_parser: Make) -> None:
    network = tiny_parser()
    network.root.requires_grad_(False)
    groups = optimizer(network, OptimConfig()).param_groups
    thaw_(network, OptimConfig(), step=0)
    assert not any(p is network.root for group in groups for p in group["params"])
    assert not network.root.requires_grad


def awake(network: BiaffineParser) -> list[bool]:
    """Whether each layer trains, bottom up; all of a layer's parameters agree."""
    found = [{p.requires_grad for p in layer.parameters()} for layer in encoder_layers(network)]
    assert all(len(values) == 1 for values in found)
    return [values == {True} for values in found]


def test_layers_wake_from_the_top_at_equal_distances(tiny_parser: Make) -> None:
    network = tiny_parser()
    config = OptimConfig(frozen_steps=3, thaw_steps=4)
    seen = []
    for step in range(10):
        thaw_(network, config, step=step)
        seen.append(awake(network))
    asleep, top, both = [False, False], [False, True], [True, True]
    assert seen == [asleep] * 3 + [top] * 2 + [both] * 5


def test_embeddings_and_their_norm_wake_last(tiny_parser: Make) -> None:
    network = tiny_parser()
    below = network.encoder.model.embeddings
    table = below.word_embeddings.weight
    for embeddings in (False, True):
        config = OptimConfig(frozen_steps=1, thaw_steps=4, embeddings=embeddings)
        for step in range(8):
            thaw_(network, config, step=step)
            assert {p.requires_grad for p in below.parameters() if p is not table} == {step >= 5}
            assert table.requires_grad == (embeddings and step >= 5)


def test_without_unfreezing_all_layers_train_from_the_first_step(tiny_parser: Make) -> None:
    network = tiny_parser()
    thaw_(network, OptimConfig(), step=0)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"encoder.model.embeddings.word_embeddings.weight"}
    assert len(trained(network.parameters())) == len(list(network.parameters())) - 1


def test_layers_are_found_bottom_up(tiny_parser: Make) -> None:
    network = tiny_parser()
    layers = encoder_layers(network)
    assert [layer is own for layer, own in zip(layers, network.encoder.model.encoder.layer, strict=True)] == [True] * 2


def test_an_encoder_without_such_a_list_is_refused(tiny_parser: Make) -> None:
    network = tiny_parser()
    network.encoder.model.encoder.layer = torch.nn.ModuleList()
    with pytest.raises(ConfigError, match="has no list of 2 layers to thaw one by one"):
        encoder_layers(network)
