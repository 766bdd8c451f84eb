"""Which ways to adapt there are to choose from, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch

from sublingual.candidates import STEPS, Setting, candidates, identity
from sublingual.languages import nearest, resolve
from sublingual.model.card import About
from sublingual.parsing import Parser

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

GATES = {code: torch.eye(2) for code in ("ar", "cs", "hi", "no", "ru")}
FAROESE = resolve("fo")


@pytest.fixture
def plain(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser())


@pytest.fixture
def gated(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser(seed=1), subnetworks=GATES)


def subnetworks(found: tuple[Setting, ...]) -> list[str | None]:
    return [setting.subnetwork for setting in found]


def test_without_a_choice_there_is_the_default_alone(plain: Parser, gated: Parser) -> None:
    (found,) = candidates({"p": plain}, FAROESE, changes={"precision": "fp32"}, auto=False)
    assert (found.gates, found.steps, found.config.precision) == (None, (20,), "fp32")
    (found,) = candidates({"p": gated}, FAROESE, changes={}, auto=False)
    assert found.subnetwork == "no"
    assert found.gates is not None
    assert torch.equal(found.gates, GATES["no"])


def test_auto_varies_rates_steps_and_subnetwork(gated: Parser) -> None:
    found = candidates({"p": gated}, FAROESE, changes={}, auto=True)
    near = [each.code for each in nearest("fo", among=[*GATES])]
    assert subnetworks(found) == [near[0], near[0], near[1], near[2], None]
    assert {setting.steps for setting in found} == {STEPS}
    assert found[1].config.encoder_rate == found[0].config.encoder_rate / 2
    assert len({setting.name for setting in found}) == len(found)


def test_what_the_user_decided_is_not_chosen(gated: Parser) -> None:
    found = candidates({"p": gated}, FAROESE, changes={"steps": 7, "encoder_rate": 1e-3}, auto=True)
    assert {setting.steps for setting in found} == {(7,)}
    assert {setting.config.encoder_rate for setting in found} == {1e-3}
    assert subnetworks(found)[0] == "no"


@pytest.mark.parametrize("language", [None, resolve("qhe")])
def test_for_a_language_without_vector_all_subnetworks_are_candidates(gated: Parser, language: None) -> None:
    found = candidates({"p": gated}, language, changes={}, auto=False)
    assert subnetworks(found) == [None, *GATES]
    assert {setting.steps for setting in found} == {(20,)}


def test_each_parsers_default_comes_before_variations(plain: Parser, gated: Parser) -> None:
    found = candidates({"a": plain, "b": gated}, FAROESE, changes={}, auto=True)
    assert [setting.name.partition(",")[0] for setting in found[:2]] == ["a", "b"]
    assert len({setting.name for setting in found}) == len(found)


def test_a_meta_trained_parser_varies_around_its_own_rates(gated: Parser) -> None:
    inner = {"optimizer": "sgd", "encoder_rate": 0.5, "classifier_rate": 2.0, "clip": 1.0, "dropout": True}
    about = About(settings={"row": {"loop": "meta"}, "stage2": {"inner": inner, "outer": {"embeddings": False}}})
    meta = Parser(gated.network, about=about)
    found = candidates({"m": meta}, FAROESE, changes={}, auto=True)
    assert [(s.config.optimizer, s.config.encoder_rate) for s in found] == [("sgd", 0.5), ("sgd", 0.25)]


def test_identity_is_of_parameters_and_labels(tiny_parser: Callable[..., BiaffineParser], plain: Parser) -> None:
    assert identity(plain) == identity(Parser(tiny_parser()))
    other = tiny_parser()
    with torch.no_grad():
        other.root[0] += 1e-3
    assert identity(Parser(other)) != identity(plain)
    assert identity(Parser(tiny_parser().with_labels(["obl:zzz"]))) != identity(plain)
