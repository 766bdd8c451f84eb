"""Facts of treebanks (`sublingual data facts`) -> families, pretraining, domains, pieces; section 3's data tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sublingual.data.catalogue import catalogue
from sublingual.data.support import SUPPORT_SIZE
from sublingual.errors import DataError, LanguageError
from sublingual.languages import resolve


@dataclass(frozen=True)
class FileFacts:
    """A file of a treebank and how often it has each full label."""

    file: str
    sha256: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class PieceFacts:
    """How an encoder cuts the words of a split: all pieces, the unknown ones, the words that have an unknown one."""

    encoder: str
    pieces: int
    unknown: int
    words_unknown: int


@dataclass(frozen=True)
class SplitFacts:
    """Sizes of a split, its files, and its pieces where an encoder was named."""

    sentences: int
    words: int
    files: tuple[FileFacts, ...]
    pieces: PieceFacts | None = None

    @property
    def pieces_per_word(self) -> float | None:
        return None if self.pieces is None or not self.words else self.pieces.pieces / self.words

    @property
    def unknown_words(self) -> float | None:
        """Per cent of the words of which a piece is unknown."""
        return None if self.pieces is None or not self.words else 100 * self.pieces.words_unknown / self.words


@dataclass(frozen=True)
class Facts:
    """What `sublingual data facts` says of a treebank; genres as its README has them."""

    treebank: str
    code: str
    licence: str | None
    genres: tuple[str, ...]
    splits: Mapping[str, SplitFacts]

    @property
    def language(self) -> str:
        try:
            return resolve(self.code).name
        except LanguageError:
            return self.code

    @property
    def words(self) -> int | None:
        """Words of the test split."""
        return self.splits["test"].words if "test" in self.splits else None

    @property
    def kept(self) -> int | None:
        """Sentences of the test split beside a support set, which is drawn from it where there is no dev split."""
        if "test" not in self.splits:
            return None
        return self.splits["test"].sentences - (0 if "dev" in self.splits else SUPPORT_SIZE)


_FACTS = TypeAdapter(Facts)


def facts_of(value: Mapping[str, Any], place: str) -> Facts:
    """Returns the facts of one line; DataError for one that has not what it needs."""
    try:
        return _FACTS.validate_python(value)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise DataError(
            f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}; write it anew with `sublingual data facts`"
        ) from fault


@dataclass(frozen=True)
class Family:
    """A language's family and genus as UD's list of languages has them; some families have no genera."""

    family: str
    genus: str

    def __str__(self) -> str:
        return f"{self.family}, {self.genus}" if self.genus else self.family


@lru_cache(maxsize=1)
def families() -> dict[str, Family]:
    """Returns the families of the languages of the paper's treebanks by UD's code (resources/families.csv)."""
    return {row["code"]: Family(row["family"], row["genus"]) for row in _rows("families.csv")}


@dataclass(frozen=True)
class Pretraining:
    """How much text of a language an encoder may have seen, from a counted source that stands for what it saw.

    `amounts`: by UD's code; a language that is not in it was not covered. `unit`: of the amounts. `source`: where they are
    from, and whether that is what the encoder saw.
    """

    source: str
    unit: str
    amounts: Mapping[str, float]


_CC100 = ("bundled", "xlm-r", "xlm_r", "xlmr", "e5")


def pretraining(encoder: str) -> Pretraining:
    """Returns the source for an encoder of that name: CC-100 for XLM-R and what is made of it, else mBERT's Wikipedias."""
    if any(part in encoder.lower() for part in _CC100):
        amounts = {
            row["code"]: 1e6 * float(row["cc100_tokens_millions"])
            for row in _rows("pretraining.csv")
            if row["cc100_tokens_millions"]
        }
        return Pretraining("CC-100, which XLM-R read and this encoder descends from", "tokens", amounts)
    amounts = {
        row["code"]: float(row["wikipedia_tokens"]) for row in _rows("pretraining.csv") if row["in_mbert"] == "y"
    }
    is_mbert = encoder.rpartition("/")[2] == "bert-base-multilingual-cased"
    said = "Wikipedia in 2020, a proxy for mBERT's of 2018" if is_mbert else "mBERT proxy: Wikipedia in 2020"
    return Pretraining(said, "words", amounts)


def domains_covered(facts: Facts, training: Iterable[Facts]) -> float | None:
    """Returns the share of a treebank's genres that the training treebanks have too; None where its genres are not known."""
    known = {genre for each in training for genre in each.genres}
    return len(known.intersection(facts.genres)) / len(facts.genres) if facts.genres else None


@dataclass(frozen=True)
class PrintedSize:
    """A training treebank of Table 6: sentences of train, dev and test as the paper prints them."""

    treebank: str
    code: str
    sizes: tuple[int, int, int]


def table_6() -> Sequence[PrintedSize]:
    """Returns the paper's eight training treebanks with their printed sizes."""
    return [
        PrintedSize(entry.name, entry.code, entry.printed_sizes)
        for entry in catalogue()
        if entry.printed_sizes is not None
    ]


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("sublingual") / "resources" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
