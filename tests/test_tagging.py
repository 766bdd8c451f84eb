"""Parts of speech along with trees: the trees do not notice, given tags stay, what is learned is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sublingual.confidence import confident
from sublingual.data.blocks import UPOS
from sublingual.data.conllu import Sentence
from sublingual.data.tags import TAGS, with_tags
from sublingual.errors import ConfigError
from sublingual.model.checkpoint import has_tagger
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser
from sublingual.tagging import TagConfig, n_tagged, with_tagger, with_tagger_of

STRONG = TagConfig(rate=5e-2, dropout=0.0)  # for an encoder of random weights


def bare(sentences: list[Sentence]) -> list[Sentence]:
    """The sentences without UPOS."""
    return [replace(s, rows=tuple((*row[:UPOS], "_", *row[UPOS + 1 :]) for row in s.rows)) for s in sentences]


def accuracy(gold: list[Sentence], found: list[Sentence]) -> float:
    pairs = [pair for a, b in zip(gold, found, strict=True) for pair in zip(a.upos, b.upos, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


@pytest.fixture(scope="module")
def tagged(tiny_encoder: Path, demo: Callable[..., list[Sentence]]) -> Parser:
    from sublingual.model.encoder import load_encoder
    from sublingual.model.parser import ParserConfig, new_parser

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = new_parser(load_encoder(str(tiny_encoder)), config=ParserConfig(arc_size=24, label_size=12))
    return with_tagger(Parser(network), demo("English", 40), config=STRONG)


def commonest(sentences: list[Sentence]) -> float:
    """The accuracy of giving every word the commonest tag."""
    best = max(TAGS, key=lambda tag: sum(s.upos.count(tag) for s in sentences))
    return accuracy(sentences, [with_tags(s, [best] * len(s.words)) for s in bare(sentences)])


def test_it_learns_what_its_sentences_teach(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    known, new = demo("English")[:40], demo("English")[40:]
    assert accuracy(known, tagged.parse(bare(known))) > commonest(known) + 0.3
    assert accuracy(new, tagged.parse(bare(new))) > commonest(new) + 0.15


def test_trees_are_the_same_to_the_bit_with_and_without(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    sentences = bare(demo("English"))
    without = replace(tagged, tagger=None)
    assert [(s.heads, s.labels) for s in tagged.parse(sentences)] == [
        (s.heads, s.labels) for s in without.parse(sentences)
    ]
    assert tagged.parse(sentences, upos=False) == without.parse(sentences)
    pairs = zip(confident(tagged, sentences), confident(without, sentences), strict=True)
    assert all((a.heads == b.heads).all() and (a.labels == b.labels).all() for a, b in pairs)


def test_training_touches_nothing_but_the_tagger(
    tiny_parser: Callable[..., BiaffineParser], demo: Callable[..., list[Sentence]]
) -> None:
    parser = Parser(tiny_parser())
    before = {name: tensor.clone() for name, tensor in parser.network.state_dict().items()}
    state = torch.get_rng_state()
    again = [with_tagger(parser, demo("English", 10), seed=3) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert parser.tagger is None
    assert all(torch.equal(before[name], tensor) for name, tensor in parser.network.state_dict().items())
    assert again[0].network is parser.network
    assert all(p.grad is None for p in parser.network.parameters())
    one, other = (each.tagger.state_dict() for each in again)  # type: ignore[union-attr]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_goes_on_from_the_tagger_that_is_there(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    assert tagged.tagger is not None
    still = with_tagger(tagged, demo("English", 5), config=TagConfig(steps=0))
    assert still.tagger is not None
    assert still.tagger is not tagged.tagger
    assert all(torch.equal(a, b) for a, b in zip(still.tagger.parameters(), tagged.tagger.parameters(), strict=True))
    more = with_tagger(tagged, demo("English", 5), config=TagConfig(steps=3)).tagger
    assert more is not None
    assert not torch.equal(more.scores.weight, tagged.tagger.scores.weight)
    assert not any(p.requires_grad for p in more.parameters())


def test_given_tags_stay(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    sentence = demo("English", 1)[0]
    half = with_tags(bare([sentence])[0], ["X", *["_"] * (len(sentence.words) - 1)])
    (found,) = tagged.parse([half])
    assert found.upos[0] == "X"
    assert set(found.upos) <= set(TAGS)
    assert found == with_tags(found, ["SYM"] * len(found.words))


def test_ranges_and_empty_nodes_get_no_tag() -> None:
    rows = [["1-2", "du"], ["1", "de"], ["2", "le"], ["2.1", "x"]]
    sentence = Sentence((), tuple((*row, *["_"] * 8) for row in rows))
    found = with_tags(sentence, ["ADP", "DET"])
    assert [row[UPOS] for row in found.rows] == ["_", "ADP", "DET", "_"]


def test_words_without_a_universal_tag_do_not_count(
    tiny_parser: Callable[..., BiaffineParser], demo: Callable[..., list[Sentence]]
) -> None:
    parser = Parser(tiny_parser())
    none = bare(demo("English", 3))
    assert with_tagger(parser, none) is parser
    assert with_tagger(parser, [with_tags(s, ["NN"] * len(s.words)) for s in none]) is parser
    some = [with_tags(none[0], ["NN", "NOUN", *["_"] * (len(none[0].words) - 2)]), *none[1:]]
    assert n_tagged(some) == 1
    found = with_tagger(parser, some).parse(none)
    assert {tag for s in found for tag in s.upos} == {"NOUN"}


def test_tagger_is_saved_with_the_model(tagged: Parser, tmp_path: Path, demo: Callable[..., list[Sentence]]) -> None:
    tagged.save_pretrained(tmp_path / "with")
    replace(tagged, tagger=None).save_pretrained(tmp_path / "without")
    sentences = bare(demo("English", 10))
    assert Parser.from_pretrained(tmp_path / "with").parse(sentences) == tagged.parse(sentences)
    assert Parser.from_pretrained(tmp_path / "without").tagger is None
    assert [has_tagger(tmp_path / name) for name in ("with", "without")] == [True, False]


def test_it_learns_in_the_parsers_subnetwork(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    gates = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    inside = with_tagger(replace(tagged, gates=gates, tagger=None), demo("English", 40), config=STRONG)
    known = demo("English", 40)
    own = accuracy(known, inside.parse(bare(known)))
    outside = accuracy(known, replace(inside, gates=None).parse(bare(known)))
    assert own > max(outside, commonest(known) + 0.3)


def test_of_several_languages_each_is_learned_in_its_subnetwork(
    tagged: Parser, demo: Callable[..., list[Sentence]]
) -> None:
    gates = {"en": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "sv": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}
    known = {"en": demo("English", 40), "sv": demo("Swedish", 40)}
    start = replace(tagged, subnetworks=gates, tagger=None)
    found = with_tagger_of(start, known, config=STRONG)
    assert found.gates is None
    for code, sentences in known.items():
        inside = accuracy(sentences, replace(found, gates=gates[code]).parse(bare(sentences)))
        assert inside > commonest(sentences) + 0.15
    swapped = with_tagger_of(replace(start, subnetworks={"en": gates["sv"], "sv": gates["en"]}), known, config=STRONG)
    assert swapped.tagger is not None
    assert found.tagger is not None
    assert not torch.equal(swapped.tagger.scores.weight, found.tagger.scores.weight)


def test_of_one_language_without_subnetwork_it_is_the_same(tagged: Parser, demo: Callable[..., list[Sentence]]) -> None:
    one, other = (
        each.tagger.state_dict()  # type: ignore[union-attr]
        for each in (
            with_tagger(tagged, demo("English", 9), seed=3),
            with_tagger_of(tagged, {"en": demo("English", 9)}, seed=3),
        )
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    none = {"en": bare(demo("English", 3)), "sv": []}
    assert with_tagger_of(tagged, none) is tagged


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="dropout 1.0: 0 or more"):
        TagConfig(dropout=1.0)
