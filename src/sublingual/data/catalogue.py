"""The treebanks of the paper: 8 to train on (Table 6), 4 to validate on (appendix A), 86 to test on (Table 2)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

Role = Literal["train", "validation", "test", "other"]

LANGUAGE_CODES = {
    "Arabic": "ar",
    "Czech": "cs",
    "Estonian": "et",
    "Hindi": "hi",
    "Italian": "it",
    "Norwegian": "no",
    "Russian": "ru",
}
"""UD code of each transfer language that Table 2 prints."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A treebank of the paper; the numbers are those it prints, not those of the files.

    name: UD's repository, `UD_Faroese-OFT`.
    code: the code of its language in UD (`fo`).
    printed: its name in the paper, misprints included; in Table 6 the column TB.
    transfer_language: as Table 2 prints it, for test treebanks.
    printed_sizes: sentences of train, dev and test in Table 6, for training treebanks. Not all are those of UD 2.9:
        Russian is of 2.8, and "Norsk" has the sizes of Nynorsk.
    """

    name: str
    role: Role
    code: str
    printed: str
    transfer_language: str | None = None
    printed_sizes: tuple[int, int, int] | None = None

    @property
    def key(self) -> str:
        """The treebank's short name in UD, with which its file names start: `fo_oft`."""
        return f"{self.code}_{self.name.rpartition('-')[2].lower()}"


_TRAINING = (
    Entry("UD_Arabic-PADT", "train", "ar", "PADT", printed_sizes=(6075, 909, 680)),
    Entry("UD_Czech-PDT", "train", "cs", "PDT", printed_sizes=(68495, 9270, 10148)),
    Entry("UD_English-EWT", "train", "en", "EWT", printed_sizes=(12543, 2002, 2077)),
    Entry("UD_Hindi-HDTB", "train", "hi", "HDTB", printed_sizes=(13304, 1659, 1684)),
    Entry("UD_Italian-ISDT", "train", "it", "ISDT", printed_sizes=(13121, 564, 482)),
    Entry("UD_Estonian-EDT", "train", "et", "EDT", printed_sizes=(24633, 3125, 3214)),
    Entry("UD_Norwegian-Nynorsk", "train", "no", "Norsk", printed_sizes=(14174, 1890, 1511)),
    Entry("UD_Russian-SynTagRus", "train", "ru", "SynTag", printed_sizes=(48814, 6584, 6491)),
)

_VALIDATION = (
    Entry("UD_Bulgarian-BTB", "validation", "bg", "Bulgarian"),
    Entry("UD_Japanese-GSD", "validation", "ja", "Japanese"),
    Entry("UD_Telugu-MTG", "validation", "te", "Telugu"),
    Entry("UD_Persian-Seraji", "validation", "fa", "Persian"),
)


@lru_cache(maxsize=1)
def catalogue() -> tuple[Entry, ...]:
    """Returns the paper's 98 treebanks: training as in Table 6, validation, then test as in Table 2 (table2.csv)."""
    text = (files("sublingual") / "resources" / "table2.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    tests = (
        Entry(row["ud_repo"], "test", row["code"], row["paper_name"], transfer_language=row["transfer_language"])
        for row in rows
    )
    return (*_TRAINING, *_VALIDATION, *tests)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Entry]:
    return {entry.name: entry for entry in catalogue()}


def entry_of(name: str) -> Entry | None:
    """Returns the paper's entry of a UD repository name, None for a treebank that the paper does not use."""
    return _by_name().get(name)


def transferred_from(name: str) -> str | None:
    """Returns the code of the language that the paper transfers to a treebank from (Table 2); None where it has no such row."""
    entry = entry_of(name)
    return None if entry is None or entry.transfer_language is None else LANGUAGE_CODES[entry.transfer_language]


def stage2_treebanks() -> tuple[str, ...]:
    """Returns the names of the paper's seven treebanks of stage 2 (section 4.2)."""
    return tuple(entry.name for entry in _TRAINING if entry.code != "en")
