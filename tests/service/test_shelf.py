"""Parsers in memory: few at a time, equal parameters once, and the same trees as from a parser alone."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sublingual.adaptation import SHARED, AdaptConfig, adapt
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.checkpoint import WEIGHTS
from sublingual.parsing import Parser
from sublingual.service.offers import offers
from sublingual.service.shelf import Shelf


def bytes_of(*parsers: Parser) -> int:
    return sum(p.nbytes for parser in parsers for p in parser.network.parameters())


def test_equal_parameters_are_held_once_and_the_trees_stay(
    folders: dict[str, Path], demo: Callable[..., list[Sentence]]
) -> None:
    english, faroese = offers([str(folders["en"]), str(folders["fo"])]).models
    shelf = Shelf(keep=2)
    one, other = shelf.parser(english), shelf.parser(faroese)
    both = zip(one.network.encoder.parameters(), other.network.encoder.parameters(), strict=True)
    assert all(a is b for a, b in both)
    alone = {parser: Parser.from_pretrained(offer.folder) for parser, offer in ((0, english), (1, faroese))}
    classifier = sum(p.nbytes for p in alone[1].network.classifier_parameters())
    assert shelf.n_bytes() <= bytes_of(alone[0]) + classifier < bytes_of(*alone.values())
    for i, parser in enumerate((one, other)):
        assert parser.parse(demo("English", 5)) == alone[i].parse(demo("English", 5))


def test_least_recently_used_parser_is_put_away(folders: dict[str, Path]) -> None:
    a, b, c = offers([f"{name}={folders['en']}" for name in "abc"]).models
    shelf = Shelf(keep=2)
    first, second = shelf.parser(a), shelf.parser(b)
    assert shelf.parser(a) is first
    shelf.parser(c)
    assert len(shelf) == 2
    assert shelf.parser(a) is first
    assert shelf.parser(b) is not second


def test_parameters_of_a_parser_put_away_are_freed(folders: dict[str, Path]) -> None:
    english, faroese = offers([str(folders["en"]), str(folders["fo"])]).models
    shelf = Shelf(keep=1)
    assert bytes_of(shelf.parser(english)) == shelf.n_bytes()
    n_parameters = len(list(shelf.parser(faroese).network.parameters()))
    assert bytes_of(shelf.parser(faroese)) == shelf.n_bytes()
    assert len(shelf._shared) <= n_parameters


def test_trimmed_parser_is_given_the_pieces_that_a_text_needs(
    tiny_parser: Callable[..., object], tmp_path: Path, demo: Callable[..., list[Sentence]]
) -> None:
    network = tiny_parser(keep=["the"])
    Parser(network).save_pretrained(tmp_path / "trimmed")  # type: ignore[arg-type]
    (offer,) = offers([str(tmp_path / "trimmed")]).models
    shelf = Shelf(keep=1)
    parser = shelf.parser(offer)
    encoded = parser.network.encoder.pieces.encode(demo("English", 3))
    assert parser.network.encoder.lacking(encoded)
    shelf.admit_(parser, demo("English", 3))
    assert not parser.network.encoder.lacking(encoded)


def test_shelf_holds_at_least_one() -> None:
    with pytest.raises(ConfigError, match="keep=0: at least one model must be in memory"):
        Shelf(keep=0)


def test_languages_adapted_to_share_share_their_encoder(
    folders: dict[str, Path], tmp_path: Path, demo: Callable[..., list[Sentence]]
) -> None:
    base = Parser.from_pretrained(folders["en"])
    for language in ("Swedish", "Turkish", "Hindi"):
        config = AdaptConfig(steps=2, **SHARED)
        adapt(base, demo(language, 4), config=config).parser.save_pretrained(tmp_path / language)
    models = offers([str(folders["en"]), *(str(path) for path in sorted(tmp_path.iterdir()))]).models
    shelf = Shelf(keep=4)
    parsers = [shelf.parser(offer) for offer in models]
    first, *others = (parser.network.encoder for parser in parsers)
    for other in others:
        assert other.pieces is first.pieces
        assert other.model.get_input_embeddings() is first.model.get_input_embeddings()
        theirs = dict(other.named_parameters())
        for name, a in first.named_parameters():
            assert a is theirs[name] or a.ndim == 1, name
    for offer, parser, language in zip(models, parsers, ("English", "Hindi", "Swedish", "Turkish"), strict=True):
        assert parser.parse(demo(language, 3)) == Parser.from_pretrained(offer.folder).parse(demo(language, 3))


@pytest.mark.skipif(sys.platform != "linux", reason="the list of mapped files is Linux's")
def test_the_file_of_a_parser_that_shares_its_encoder_does_not_stay_in_memory(
    folders: dict[str, Path], tmp_path: Path, demo: Callable[..., list[Sentence]]
) -> None:
    adapted = adapt(Parser.from_pretrained(folders["en"]), demo("Swedish", 4), config=AdaptConfig(steps=2, **SHARED))
    adapted.parser.save_pretrained(tmp_path / "swedish")
    english, swedish = offers([str(folders["en"]), str(tmp_path / "swedish")]).models
    shelf = Shelf(keep=2)
    parsers = shelf.parser(english), shelf.parser(swedish)
    gc.collect()
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert str(tmp_path / "swedish" / WEIGHTS) not in mapped
    assert len(parsers) == len(shelf)


def test_pieces_given_back_to_one_parser_are_there_for_all_that_share(
    tiny_parser: Callable[..., object], tmp_path: Path, demo: Callable[..., list[Sentence]]
) -> None:
    network = tiny_parser(keep=["the"])
    Parser(network).save_pretrained(tmp_path / "a")  # type: ignore[arg-type]
    other = tiny_parser(keep=["dog", "cat"])
    Parser(other).save_pretrained(tmp_path / "b")  # type: ignore[arg-type]
    a, b = offers([str(tmp_path / "a"), str(tmp_path / "b")]).models
    shelf = Shelf(keep=2)
    one, two = shelf.parser(a), shelf.parser(b)
    assert one.network.encoder.rows is two.network.encoder.rows
    sentences = demo("English", 4)
    shelf.admit_(one, sentences)
    assert not two.network.encoder.lacking(two.network.encoder.pieces.encode(sentences))
    for offer, parser in ((a, one), (b, two)):
        assert parser.parse(sentences) == Parser.from_pretrained(offer.folder).parse(sentences)
