"""A system from its row: how many gates are off, in which order learned ones begin, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from sublingual.data.conllu import read_conllu
from sublingual.data.embedded import embedded
from sublingual.errors import ConfigError, SubnetworkError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import n_off
from sublingual.parsing import Parser
from sublingual.subnetworks.dynamic import DynamicConfig, DynamicGates
from sublingual.subnetworks.gates import Subnetwork
from sublingual.subnetworks.systems import Start, System, system
from sublingual.tagging import with_tagger
from sublingual.training.stage2 import Stage2, Stage2Config
from sublingual.training.system import language_gates, switches, train_system, with_gates_of

LANGUAGES = ("hi", "it")
FILES = {"hi": embedded("UD_Hindi-Demo").files("train"), "it": embedded("UD_Italian-Demo").files("train")}
CONFIG = Stage2Config(steps=2, batch=2, dynamic=DynamicConfig(off=0.25), precision="fp32")


@pytest.fixture
def parser(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser())


def pruned(language: str, rows: Sequence[str], importance: Sequence[Sequence[float]]) -> Subnetwork:
    gates = np.array([[gate == "1" for gate in row] for row in rows])
    return Subnetwork(gates, language=language, method="pruned", details={"importance": [*map(list, importance)]})


RISING, FALLING = ((0.1, 0.2), (0.3, 0.4)), ((0.4, 0.3), (0.2, 0.1))


def found(importance: Sequence[Sequence[float]] = RISING) -> dict[str, list[Subnetwork]]:
    return {"hi": [pruned("hi", ["01", "01"], importance)], "it": [pruned("it", ["11", "01"], importance)]}


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("nonep-dynamic", [1, 1]),
        ("nonep-dynamic-same", [2, 1]),
        ("meta-dynamic-same", [2, 1]),
        ("nonep-static", [2, 1]),
    ],
)
def test_dynamic_has_the_settings_share_off_or_statics_own_number(parser: Parser, name: str, off: list[int]) -> None:
    config = replace(CONFIG, inner=replace(CONFIG.inner, steps=1, precision="fp32"))
    trained = train_system(parser, FILES, row=system(name), config=config, found=found())
    assert [n_off(trained.parser.subnetworks[code]) for code in LANGUAGES] == off
    assert trained.parser.about.settings["stage2"]["dynamic"]["off"] == ("static" if name.endswith("same") else 0.25)


def weights(parser: Parser, row: System, seeds: Mapping[str, list[Subnetwork]], *, seed: int = 0) -> torch.Tensor:
    gates = language_gates(parser, row, seeds, LANGUAGES, config=replace(CONFIG, seed=seed))
    assert isinstance(gates, DynamicGates)
    return gates.weights.detach()


@pytest.mark.parametrize("start", ["shuffled", "random", "bad"])
def test_what_pruning_found_does_not_order_gates_that_were_drawn(parser: Parser, start: Start) -> None:
    """Else the heads that a random start switches off beyond its own would be those that matter least."""
    row = System(name="x", gates="dynamic", start=start, off=None if start == "shuffled" else 1)
    first = weights(parser, row, found(RISING))
    assert torch.equal(first, weights(parser, row, found(FALLING)))
    assert not torch.equal(first, weights(parser, row, found(RISING), seed=1))
    if start == "random":
        assert torch.equal(first, weights(parser, row, {}))
        drawn = System(name="x", gates="dynamic", start="random", off=0)
        smallest = {int(weights(parser, drawn, {}, seed=seed)[i].argmin()) for seed in range(20) for i in (0, 1)}
        assert smallest == {0, 1, 2, 3}  # no place is the first to go


def test_importance_orders_what_pruning_found(parser: Parser) -> None:
    row = system("nonep-dynamic")
    assert weights(parser, row, found(RISING))[1].flatten().argsort().tolist() == [2, 0, 1, 3]
    assert weights(parser, row, found(FALLING))[1].flatten().argsort().tolist() == [2, 3, 1, 0]


def test_subnetworks_of_another_encoder_are_refused(parser: Parser) -> None:
    own = {code: [replace(each, fingerprint="f" * 64) for each in seeds] for code, seeds in found().items()}
    with pytest.raises(
        SubnetworkError, match=r"the subnetwork of hi is of another encoder \(, ffffffffffff\.\.\., not"
    ):
        train_system(parser, FILES, row=system("nonep-static"), config=CONFIG, found=own)


def test_a_trained_parser_is_tested_in_other_gates_with_the_same_weights(parser: Parser) -> None:
    trained = train_system(
        parser, FILES, row=system("nonep-static"), config=replace(CONFIG, seed=3), found=found()
    ).parser
    two = {"hi": [*found()["hi"], pruned("hi", ["10", "01"], RISING)], "it": found()["it"]}
    other = with_gates_of(trained, system("nonep-intersection"), found=two)
    assert {code: own.tolist() for code, own in other.subnetworks.items()} == {  # type: ignore[union-attr]
        "hi": [[0, 0], [0, 1]],
        "it": [[1, 1], [0, 1]],
    }
    assert other.network is trained.network
    assert other.about.settings["system"] == "nonep-static (intersection)"
    assert trained.about.settings["system"] == "nonep-static"
    drawn = with_gates_of(trained, system("nonep-shuffle"), found=two).subnetworks
    own = language_gates(parser, system("nonep-shuffle"), two, LANGUAGES, config=replace(CONFIG, seed=3)).subnets()
    assert all(torch.equal(drawn[code], own[code]) for code in LANGUAGES)  # type: ignore[arg-type]
    assert [n_off(each) for each in with_gates_of(trained, system("nonep-full")).subnetworks.values()] == [0, 0]
    start = with_gates_of(trained, system("nonep-dynamic"), found=found()).subnetworks  # not yet learned
    assert [n_off(start[code]) for code in LANGUAGES] == [2, 1]


def test_what_cannot_be_tested_in_other_gates_is_refused(parser: Parser) -> None:
    with pytest.raises(ConfigError, match="it has no subnetworks to replace; name one of static or dynamic gates"):
        with_gates_of(parser, system("nonep-intersection"), found=found())
    trained = train_system(parser, FILES, row=system("nonep-static"), config=CONFIG, found=found()).parser
    with pytest.raises(ConfigError, match="needs a subnetwork of hi; find one"):
        with_gates_of(trained, system("nonep-intersection"))
    with pytest.raises(ConfigError, match="adapters are learned and start from nothing"):
        with_gates_of(trained, system("nonep-adapters"))


def test_a_row_without_stage_2_is_refused(parser: Parser) -> None:
    with pytest.raises(ConfigError, match="system 'stage1' has no stage 2: the parser of stage 1 is all of it"):
        train_system(parser, FILES, row=system("stage1"), config=CONFIG)


def test_parts_of_speech_are_learned_along_from_the_tagger_that_is_there(parser: Parser) -> None:
    sentences = [s for paths in FILES.values() for path in paths for s in read_conllu(path)]
    fresh = deepcopy(parser)
    trained = train_system(parser, FILES, row=system("nonep-static"), config=CONFIG, found=found()).parser
    assert trained.tagger is not None
    before = with_tagger(fresh, sentences)
    again = train_system(before, FILES, row=system("nonep-static"), config=CONFIG, found=found()).parser
    assert before.tagger is not None
    assert again.tagger is not None
    assert not torch.equal(again.tagger.scores.weight, before.tagger.scores.weight)
    assert not torch.equal(again.tagger.scores.weight, trained.tagger.scores.weight)
    assert [(s.heads, s.labels) for s in again.parse(sentences)] == [
        (s.heads, s.labels) for s in trained.parse(sentences)
    ]


def test_switches_are_counted_since_the_start_and_by_100_steps() -> None:
    run = Stage2(1.0, 3, changed={"hi": 2, "it": 0}, switched={"hi": 5, "it": 1})
    assert switches(run, 40) == {
        "changed": {"hi": 2, "it": 0},
        "switched_per_100_steps": {"hi": 12.5, "it": 2.5},
    }
