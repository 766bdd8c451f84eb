"""Languages by code, name or treebank, and how alike their syntax is (paper, section 3).

The vectors are URIEL's syntax_knn (Littell et al. 2017), carried in resources/uriel.
"""

from __future__ import annotations

import csv
import difflib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from sublingual.errors import LanguageError

TRAINING_CODES = ("ar", "cs", "et", "hi", "it", "no", "ru")
"""The paper's seven languages of stage 2, in the order that decides between equals."""

_N_FEATURES = 103
_TREEBANK_FOLDER = re.compile(r"UD_(?P<language>.+)-[^-]+", re.IGNORECASE)
_TREEBANK_FILE = re.compile(r"(?P<code>[a-z]{2,3})_[a-z0-9]+(-ud-[a-z0-9-]+(\.conllu)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Language:
    """A language as UD and URIEL know it.

    code: UD's code (`fo`), for a language outside UD its ISO 639-3 code.
    name: its English name, or the code where the package knows no name.
    iso639_3: None for the codes that are UD's own (code-switched pairs).
    vector: the URIEL code whose vector stands for it; None: there is none. For ar, et and no the macrolanguage's
        (ara, est, nor): only these give the paper's transfer languages in all 86 cases.
    note: what a user should be told, such as a vector borrowed from a relative.
    """

    code: str
    name: str
    iso639_3: str | None
    vector: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A language of a set and its cosine similarity to the one asked about."""

    code: str
    language: str
    similarity: float


def resolve(name: str | os.PathLike[str]) -> Language:
    """Returns the language that a code (ISO 639-1, 639-3, UD), an English name or a UD treebank stands for.

    Treebanks: `UD_Faroese-OFT`, a path with it, `Faroese-OFT`, `fo_oft`. Letter case does not matter.
    Raises LanguageError, with near codes and names, for anything else.

    >>> resolve("Upper Sorbian").code
    'hsb'
    """
    text = os.fspath(name).strip()
    found = _of_treebank(text) or _by_word().get(_key(text))
    if found is None and text.lower() in _rows():
        found = Language(code=text.lower(), name=text.lower(), iso639_3=text.lower(), vector=text.lower())
    if found is None:
        raise LanguageError(
            f"unknown language {text!r}; {_near(text)}. Give an ISO 639 code, an English name or a UD treebank, "
            "or a known language that is like it (for adapt: --like LANG)"
        )
    return found


def similarity(a: str | Language, b: str | Language) -> float:
    """Returns the cosine, in [0, 1], of the two languages' vectors, in float64. LanguageError where one has none."""
    both, n_a, n_b = _overlap(_language(a), _language(b))
    return both / math.sqrt(n_a * n_b)


def nearest(language: str | Language, *, among: Sequence[str] = TRAINING_CODES) -> list[Neighbour]:
    """Returns `among` ranked by similarity to `language`, most alike first; equals keep the order of `among`.

    The ranking compares exact fractions, so no rounding decides a tie (Naija is as near to Italian as to Norwegian).

    >>> nearest("fo")[0].code
    'no'
    """
    if not among:
        raise LanguageError("no languages to choose among: give one or more codes, such as --among sv,da,is")
    asked = _language(language)
    ranked = sorted(map(resolve, among), key=lambda other: _squared_cosine(asked, other), reverse=True)
    return [Neighbour(other.code, other.name, similarity(asked, other)) for other in ranked]


def nearest_record(language: str | Language, *, among: Sequence[str] = TRAINING_CODES) -> dict[str, object]:
    """Returns JSON values: the language's code, name, vector and note, and under `nearest` the ranking as objects."""
    asked = _language(language)
    neighbours = [
        {"code": each.code, "language": each.language, "similarity": each.similarity}
        for each in nearest(asked, among=among)
    ]
    return {
        "code": asked.code,
        "language": asked.name,
        "iso639_3": asked.iso639_3,
        "vector": asked.vector,
        "note": asked.note,
        "nearest": neighbours,
    }


def syntax_vector(language: str | Language) -> NDArray[np.uint8]:
    """Returns the language's 103 syntax_knn features, each 0 or 1, in the order of resources/uriel/features.txt."""
    found = _language(language)
    if found.vector is None:
        raise LanguageError(
            f"{found.name} ({found.code}) has no URIEL vector; take a known language like it (adapt: --like LANG)"
        )
    bits = np.unpackbits(_table()[_rows()[found.vector]], count=_N_FEATURES)
    if not bits.any():
        raise LanguageError(
            f"the URIEL vector of {found.name} ({found.code}) is all zeros; take a known language that is "
            "like it (adapt: --like LANG)"
        )
    return bits


def _language(language: str | Language) -> Language:
    return language if isinstance(language, Language) else resolve(language)


def _overlap(a: Language, b: Language) -> tuple[int, int, int]:
    bits_a, bits_b = syntax_vector(a), syntax_vector(b)
    return int((bits_a & bits_b).sum()), int(bits_a.sum()), int(bits_b.sum())


def _squared_cosine(a: Language, b: Language) -> Fraction:
    both, n_a, n_b = _overlap(a, b)
    return Fraction(both * both, n_a * n_b)


def _of_treebank(text: str) -> Language | None:
    # A folder name spells the language out, so names come before codes: UD_Soi-AHA (soj) is not the code soi.
    for part in reversed(re.split(r"[/\\]", text)):
        if folder := _TREEBANK_FOLDER.fullmatch(part):
            key = _key(folder["language"])
            return _by_name().get(key) or _by_word().get(key)
        if (file := _TREEBANK_FILE.fullmatch(part)) and file["code"].lower() in _by_word():
            return _by_word()[file["code"].lower()]
    before, hyphen, _ = text.rpartition("-")
    return _by_name().get(_key(before)) if hyphen and _key(text) not in _by_word() else None


def _key(text: str) -> str:
    return " ".join(text.replace("_", " ").lower().split())


def _near(text: str) -> str:
    named = {**_by_name(), **_by_word()}
    file = _TREEBANK_FILE.fullmatch(text)
    asked = file["code"].lower() if file else _key(re.sub(r"^UD_|-[^-]*$", "", text, flags=re.IGNORECASE))
    close = [named[word] for word in difflib.get_close_matches(asked, named, n=4)]
    near = dict.fromkeys(f"{language.name} ({language.code})" for language in close)
    if len(asked) <= 3:
        near |= dict.fromkeys(code for code in difflib.get_close_matches(asked, _rows(), n=4) if code not in named)
    return f"near ones: {', '.join([*near][:4])}" if near else "no known code or name is spelt like it"


@lru_cache(maxsize=1)
def _listed() -> tuple[tuple[Language, tuple[str, ...], tuple[str, ...]], ...]:
    """The languages of resources/languages.csv with their names and their codes, both as keys."""
    text = (files("sublingual") / "resources" / "languages.csv").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in csv.DictReader(text.splitlines()))


def _entry(row: dict[str, str]) -> tuple[Language, tuple[str, ...], tuple[str, ...]]:
    names = row["names"].split("|")
    language = Language(row["code"], names[0], row["iso639_3"] or None, row["vector"] or None, row["note"])
    codes = {row["code"], row["iso639_3"], *row["other_codes"].split("|")} - {""}
    return language, tuple(map(_key, names)), tuple(codes)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Language]:
    return {name: language for language, names, _ in _listed() for name in names}


@lru_cache(maxsize=1)
def _by_word() -> dict[str, Language]:
    """Names and codes; a code wins over a name that is spelt like it, URIEL's other codes too."""
    names = {name: language for name, language in _by_name().items() if name not in _rows()}
    return names | {code: language for language, _, codes in _listed() for code in codes}


@lru_cache(maxsize=1)
def _rows() -> dict[str, int]:
    codes = (files("sublingual") / "resources" / "uriel" / "codes.txt").read_text(encoding="utf-8").split()
    return {code: row for row, code in enumerate(codes)}


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """[languages, 13]: the features of a language, eight to a byte."""
    with (files("sublingual") / "resources" / "uriel" / "syntax_knn.npy").open("rb") as file:
        table: NDArray[np.uint8] = np.load(file, allow_pickle=False)
    return table
