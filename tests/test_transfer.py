"""Whose subnetwork a new language gets: the nearest, another, a mixture, or what the support set says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import scipy.stats
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.catalogue import LANGUAGE_CODES, catalogue
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, LanguageError
from sublingual.languages import nearest
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.study.config import WAYS
from sublingual.transfer import METHODS, transfer

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

FEW = AdaptConfig(steps=2, precision="fp32")
GATES = {
    "ar": torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
    "hi": torch.tensor([[1.0, 1.0], [0.0, 1.0]]),
    "no": torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
}


@pytest.fixture
def parser(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser(), subnetworks=GATES)


@pytest.fixture
def support(demo: Callable[..., list[Sentence]]) -> list[Sentence]:
    return demo("Swedish", 8)


def test_the_nearest_language_of_those_with_a_subnetwork(parser: Parser) -> None:
    found = transfer(parser, "UD_Faroese-OFT")
    assert found.language == "no"
    assert found.gates is not None
    assert torch.equal(found.gates, GATES["no"])
    assert found.similarity == nearest("fo")[0].similarity
    assert found.as_dict() == {
        "method": "nearest",
        "code": "no",
        "similarity": round(found.similarity, 4),
        "gates_off": 2,
    }


def test_without_subnetworks_the_nearest_language_is_named_and_the_encoder_is_full(parser: Parser) -> None:
    found = transfer(replace(parser, subnetworks={}), "fo")
    assert (found.method, found.language, found.gates) == ("full", "no", None)


def test_random_is_another_than_the_nearest_and_each_comes(parser: Parser) -> None:
    drawn = [transfer(parser, "fo", method="random", seed=seed).language for seed in range(20)]
    assert set(drawn) == {"ar", "hi"}
    assert drawn == [transfer(parser, "fo", method="random", seed=seed).language for seed in range(20)]


def test_a_study_knows_the_ways_of_transfer() -> None:
    assert tuple(METHODS) == WAYS


def test_random_is_drawn_for_each_treebank_anew(parser: Parser) -> None:
    """Over the paper's 86 each of the six others comes about as often, near or far, with a single seed."""
    seven = replace(parser, subnetworks=dict.fromkeys(LANGUAGE_CODES.values(), GATES["ar"]))
    banks = [entry.name for entry in catalogue() if entry.role == "test"]
    for seed in range(2):
        ranks: Counter[int] = Counter()
        for bank in banks:
            others = [n.code for n in nearest(bank, among=[*seven.subnetworks])][1:]
            ranks[others.index(transfer(seven, bank, method="random", seed=seed).language or "")] += 1
        assert scipy.stats.chisquare([ranks[rank] for rank in range(6)]).pvalue > 0.01


def test_random_needs_two_subnetworks(parser: Parser) -> None:
    with pytest.raises(ConfigError, match="needs two subnetworks or more; the parser has 1"):
        transfer(replace(parser, subnetworks={"ar": GATES["ar"]}), "fo", method="random")


def test_a_code_takes_that_language_and_full_takes_none(parser: Parser) -> None:
    found = transfer(parser, "fo", method="hi")
    assert found.gates is not None
    assert torch.equal(found.gates, GATES["hi"])
    assert transfer(parser, "fo", method="full").gates is None


def test_a_mixture_weighs_by_similarity(parser: Parser) -> None:
    gates = transfer(parser, "fo", method="mixture").gates
    theta = {n.code: n.similarity for n in nearest("fo", among=[*GATES])}
    expected = sum(theta[code] * GATES[code] for code in GATES) / sum(theta.values())
    assert gates is not None
    torch.testing.assert_close(gates, expected)


def test_importance_keeps_the_mean_number_of_the_most_important(parser: Parser, support: list[Sentence]) -> None:
    from sublingual.subnetworks.importance import importance

    gates = transfer(parser, "sv", method="importance", support=support, config=FEW).gates
    network = parser.network
    found = importance(network, network.encode(support, gold=True), precision="fp32")
    assert gates is not None
    assert gates.sum() == round((3 + 3 + 2) / 3)
    assert found[gates.bool()].min() >= found[~gates.bool()].max()


def test_choice_is_the_subnetwork_that_keeps_most_importance(parser: Parser, support: list[Sentence]) -> None:
    from sublingual.subnetworks.importance import importance

    network = parser.network
    found = importance(network, network.encode(support, gold=True), precision="fp32")
    means = {code: found[gates.bool()].mean().item() for code, gates in GATES.items()}
    assert transfer(parser, "sv", method="choice", support=support, config=FEW).language == max(
        means, key=means.__getitem__
    )


@pytest.mark.parametrize("best", [*GATES])
def test_cross_validation_takes_the_language_that_scores_best(
    parser: Parser, support: list[Sentence], best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sublingual.transfer as module

    @dataclass
    class Toy:
        """Knows the trees once it is adapted in the gates of the best; else all words hang on the first."""

        gates: torch.Tensor

        @property
        def parser(self) -> Toy:
            return self

        def parse(self, sentences: list[Sentence]) -> list[Sentence]:
            return sentences if torch.equal(self.gates, GATES[best]) else [*map(flat, sentences)]

    monkeypatch.setattr(module, "adapt", lambda *_, gates, **__: Toy(gates))
    found = transfer(parser, "sv", method="cross-validated", support=support, config=FEW)
    assert found.language == best
    assert found.gates is not None
    assert torch.equal(found.gates, GATES[best])


def flat(sentence: Sentence) -> Sentence:
    n = len(sentence.words)
    return sentence.with_tree([0] + [1] * (n - 1), ["root"] + ["dep"] * (n - 1))


def test_cross_validation_is_repeatable(parser: Parser, support: list[Sentence]) -> None:
    found = [
        transfer(parser, "sv", method="cross-validated", support=support, seed=3, config=FEW).language for _ in (1, 2)
    ]
    assert found[0] == found[1] in GATES


def test_cross_validation_scores_held_out_sentences(
    parser: Parser, support: list[Sentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sublingual.transfer as module

    seen: list[tuple[set[str], set[str]]] = []

    def watch(base: Parser, train: list[Sentence], **options: object) -> object:
        seen.append(({s.to_conllu() for s in train}, set()))
        return adapt(base, train, **options)  # type: ignore[arg-type]

    def count(gold: list[Sentence], parsed: list[Sentence]) -> object:
        seen[-1][1].update(s.to_conllu() for s in gold)
        return score(gold, parsed)

    monkeypatch.setattr(module, "adapt", watch)
    monkeypatch.setattr(module, "score", count)
    transfer(parser, "sv", method="cross-validated", support=support, config=FEW)
    everything = {s.to_conllu() for s in support}
    assert len(seen) == 4 * len(GATES)
    assert all(train | held == everything and not train & held for train, held in seen)


@pytest.mark.parametrize("method", ["importance", "choice"])
def test_what_reads_the_support_set_needs_one(parser: Parser, method: str) -> None:
    with pytest.raises(
        ConfigError, match=f"transfer '{method if method == 'importance' else 'importance'}' needs 1 support"
    ):
        transfer(parser, "sv", method=method)


def test_cross_validation_needs_as_many_sentences_as_folds(parser: Parser, support: list[Sentence]) -> None:
    with pytest.raises(ConfigError, match="needs 4 support sentences or more; there are 3"):
        transfer(parser, "sv", method="cross-validated", support=support[:3])


def test_an_unknown_method_is_refused_with_the_known_ones(parser: Parser) -> None:
    with pytest.raises(ConfigError, match=r"unknown transfer 'nearst'; allowed: nearest, random, .*ar, hi, no"):
        transfer(parser, "sv", method="nearst")


def test_a_language_without_a_vector_is_refused_where_one_is_needed(parser: Parser) -> None:
    with pytest.raises(LanguageError, match="unknown language 'Elvish'"):
        transfer(parser, "Elvish")
    assert transfer(parser, "Elvish", method="full").gates is None
    assert set(METHODS) >= {"nearest", "random", "full"}
