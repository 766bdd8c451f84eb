"""Gates of several languages: fixed ones, and learned ones whose threshold is invisible to the gradient."""

from __future__ import annotations

import pytest
import torch

from sublingual.errors import ConfigError
from sublingual.subnetworks.dynamic import (
    DynamicConfig,
    DynamicGates,
    LanguageGates,
    first_weights,
    stacked,
    threshold,
)

LANGUAGES = ("ar", "hi", "it")
START = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0)) > 0.3


def dynamic(**settings: object) -> DynamicGates:
    importance = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))
    return DynamicGates(START, languages=LANGUAGES, config=DynamicConfig(**settings), importance=importance)  # type: ignore[arg-type]


def test_each_example_gets_the_gates_of_its_language() -> None:
    gates = LanguageGates(START, languages=LANGUAGES)
    of = torch.tensor([2, 0, 2])
    assert torch.equal(gates(of), START.float()[of])
    assert not list(gates.parameters())
    assert gates.changed() == dict.fromkeys(LANGUAGES, 0)


def test_the_papers_share_is_28_of_144() -> None:
    gates = dynamic()
    assert gates.off == (28, 28, 28)
    assert ((gates.binary() == 0).sum(dim=(1, 2)) == 28).all()


def test_statics_own_number_may_be_off() -> None:
    gates = dynamic(off="static")
    assert gates.off == tuple((~START).sum(dim=(1, 2)).tolist())
    assert torch.equal(gates.binary().bool(), START)  # the weights of what was pruned are the smallest


def test_the_threshold_takes_exactly_the_smallest_also_among_equals() -> None:
    found = threshold(torch.tensor([[[3.0, 1.0], [1.0, 1.0]]]), [2])
    assert found.tolist() == [[[1.0, 0.0], [0.0, 1.0]]]
    assert threshold(torch.tensor([[[0.1, -2.0]]]), [1]).tolist() == [[[1.0, 0.0]]]


def test_the_gradient_passes_the_threshold_as_if_it_were_not_there() -> None:
    gates, of = dynamic(), torch.tensor([0, 2, 2])
    factor = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(2))
    (gates(of) * factor).sum().backward()
    assert gates.weights.grad is not None
    torch.testing.assert_close(gates.weights.grad[0], factor[0])
    torch.testing.assert_close(gates.weights.grad[1], torch.zeros(12, 12))
    torch.testing.assert_close(gates.weights.grad[2], factor[1] + factor[2])
    assert (gates.weights.grad[0][gates.binary()[0] == 0] != 0).all()  # what is off learns too


def test_what_is_off_comes_back_when_its_weight_grows() -> None:
    gates = dynamic(off="static")
    off = torch.nonzero(~START[1])[0]
    with torch.no_grad():
        gates.weights[1, off[0], off[1]] = 1.0
    assert gates.binary()[1, off[0], off[1]] == 1
    assert gates.changed() == {"ar": 0, "hi": 2, "it": 0}


def test_first_weights_put_what_is_on_above_what_is_off_and_rise_with_importance() -> None:
    importance = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))
    weights = first_weights(START, importance, scale=0.01)
    for language in range(3):
        on = START[language]
        assert weights[language][on].min() >= 0.01 > weights[language][~on].max()
        for part in (on, ~on):
            order = importance[language][part].argsort()
            assert (weights[language][part][order].diff() > 0).all()
        assert len(weights[language].unique()) == 144


def test_without_importance_there_are_no_ties_either() -> None:
    assert len(first_weights(START[:1], None, scale=0.01).unique()) == 144


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"off": "dynamic"}, "off 'dynamic': a share .* or 'static'"),
        ({"off": 1.0}, r"off 1\.0: it is a share"),
        ({"rate": -1.0}, r"rate -1\.0"),
        ({"scale": 0.0}, r"scale 0\.0: a rate is 0 or more, a scale above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DynamicConfig(**settings)  # type: ignore[arg-type]


def test_a_language_without_a_subnetwork_is_named() -> None:
    with pytest.raises(ConfigError, match="no subnetwork for it; there are: ar, hi"):
        stacked({"ar": START[0], "hi": START[1]}, LANGUAGES)
