"""Treebanks in the folder of a UD release: finding them by name, their splits, sizes counted from the files, checks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sublingual.data.catalogue import Entry, Role, catalogue, entry_of
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.errors import DataError

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

_FILE = re.compile(r"(?P<key>[a-z]{2,3}_[a-z0-9]+)-ud-(?P<split>train|dev|test)(-[a-z0-9-]+)?\.conllu")
_METADATA = r"^{}:[ \t]*(\S.*?)[ \t]*$"
_NEEDED: Mapping[Role, tuple[Split, ...]] = {
    "train": ("train", "dev", "test"),
    "validation": ("dev", "test"),
    "test": ("test",),
    "other": (),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Sentences and words (UD syntactic words: no multiword ranges, no empty nodes) of a file."""

    sentences: int
    words: int

    def __add__(self, other: Size) -> Size:
        return Size(self.sentences + other.sentences, self.words + other.words)


@dataclass(frozen=True, slots=True)
class Treebank:
    """A folder `UD_*` with files `*-ud-train.conllu`, `-dev`, `-test`, as far as there are.

    key: what its file names start with (`fo_oft`), empty without files.
    entry: what the paper says of it, None for a treebank that the paper does not use.
    """

    folder: Path
    key: str
    entry: Entry | None

    @property
    def name(self) -> str:
        """UD's name of it: `UD_Faroese-OFT`."""
        return self.folder.name

    @property
    def role(self) -> Role:
        """Its part in the paper: "train", "validation", "test", else "other"."""
        return self.entry.role if self.entry else "other"

    @property
    def code(self) -> str:
        """The UD code of its language."""
        return self.key.partition("_")[0] or (self.entry.code if self.entry else "")

    @property
    def transfer_language(self) -> str | None:
        """The transfer language that the paper prints for it."""
        return self.entry.transfer_language if self.entry else None

    def files(self, split: Split) -> tuple[Path, ...]:
        """Returns the files of a split: one, none, or several where UD's repository keeps a large split in parts."""
        matches = ((path, _FILE.fullmatch(path.name)) for path in sorted(self.folder.glob("*-ud-*.conllu")))
        return tuple(path for path, match in matches if match and match["split"] == split)

    def split(self, split: Split) -> Path | None:
        """Returns the file of a split, None where there is none. DataError where it is in parts: `sentences` joins."""
        paths = self.files(split)
        if len(paths) > 1:
            raise DataError(
                f"{self.folder}: {split} is in {len(paths)} files ({', '.join(path.name for path in paths)}): "
                "read them with Treebank.sentences, or join them into one"
            )
        return paths[0] if paths else None

    def sentences(self, split: Split, *, heads: Literal["gold", "partial", "ignored"] = "gold") -> list[Sentence]:
        """Returns the sentences of a split in file order. DataError for a missing split and for any fault."""
        paths = self.files(split)
        if not paths:
            there = [each for each in SPLITS if self.files(each)]
            raise DataError(f"{self.folder}: no {split} split; there is {', '.join(there) or 'none at all'}")
        return [sentence for path in paths for sentence in read_conllu(path, heads=heads)]

    def sizes(self) -> dict[Split, Size]:
        """Returns the sizes of the splits that are there, counted from the files."""
        paths = {split: self.files(split) for split in SPLITS}
        return {split: sum(map(count, paths[split]), start=Size(0, 0)) for split in SPLITS if paths[split]}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of treebanks; `sizes` is empty where the treebank is not there."""

    name: str
    role: Role
    code: str
    transfer_language: str | None
    present: bool
    sizes: Mapping[Split, Size]


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a whole treebank strictly gave: the sizes of its good files, and its faults as messages."""

    name: str
    role: Role
    present: bool
    sizes: Mapping[Split, Size]
    faults: tuple[str, ...]


def count(path: Path) -> Size:
    """Returns the size of a CoNLL-U file by looking at the first column alone: quick, and no check."""
    sentences = words = 0
    inside = False
    with path.open("rb") as lines:
        for line in lines:
            is_word = line[:1].isdigit() and line.partition(b"\t")[0].isdigit()
            words += is_word
            sentences += is_word and not inside
            inside = (inside or is_word) and not line.isspace()
    return Size(sentences, words)


def treebank_at(folder: Path) -> Treebank:
    """Returns the treebank of one folder. DataError where the folder has no treebank files."""
    matches = (_FILE.fullmatch(path.name) for path in sorted(folder.glob("*-ud-*.conllu")))
    keys = [match["key"] for match in matches if match]
    if not keys:
        raise DataError(f"{folder}: no treebank: files named like fo_oft-ud-test.conllu are needed")
    return Treebank(folder, keys[0], entry_of(folder.name))


def licence_of(folder: Path) -> str | None:
    """Returns the licence of a treebank's folder as UD's metadata in its README name it ("CC BY-SA 4.0"), else None.

    Where the README has no such metadata, those of the folder around it count: the embedded treebanks share theirs.
    """
    return _metadata(folder, "License")


def genres_of(folder: Path) -> tuple[str, ...]:
    """Returns the genres of a treebank's folder as its README's metadata name them ("news wiki"); see `licence_of`."""
    return tuple(dict.fromkeys((_metadata(folder, "Genre") or "").lower().split()))


def _metadata(folder: Path, key: str) -> str | None:
    pattern = re.compile(_METADATA.format(key), re.MULTILINE | re.IGNORECASE)
    for readme in (*sorted(folder.glob("README*")), *sorted(folder.parent.glob("README*"))):
        text = readme.read_text("utf-8", errors="replace") if readme.is_file() else ""
        if found := pattern.search(text.partition("=== Machine-readable metadata")[2]):
            return found[1]
    return None


def treebanks(folder: Path) -> list[Treebank]:
    """Returns the treebanks of a release: its folders `UD_*` that hold CoNLL-U files, by name."""
    return [treebank_at(path) for path in sorted(folder.glob("UD_*")) if any(path.glob("*-ud-*.conllu"))]


def find(folder: Path, name: str) -> Treebank:
    """Returns a treebank of the release in `folder` by any of its names.

    `UD_Faroese-OFT`, `Faroese-OFT`, `Faroese OFT`, `fo_oft` and the paper's spelling are taken, whatever their case.
    DataError, with near names, for a treebank that is unknown or not in `folder`.
    """
    present = treebanks(folder)
    by_key = {key: each for each in present for key in _keys(each.name, each.key, each.entry)}
    if found := by_key.get(_plain(name)):
        return found
    for entry in catalogue():
        if _plain(name) in _keys(entry.name, entry.key, entry):
            raise DataError(
                f"{entry.name} is not among the {len(present)} treebanks in {folder}: import a release that has it "
                "(`sublingual data import PATH`) or name another folder (`--ud PATH`)"
            )
    close = difflib.get_close_matches(_plain(name), by_key, n=8, cutoff=0.5)
    near = [*dict.fromkeys(by_key[key].name for key in close)][:4] or [treebank.name for treebank in present[:4]]
    raise DataError(
        f"unknown treebank {name!r} among the {len(present)} in {folder}; near ones: {', '.join(near) or 'none'}. "
        "`sublingual data list` shows all"
    )


def table(folder: Path) -> list[Row]:
    """Returns the paper's 98 treebanks, there or not, then the others of the release, with sizes from the files."""
    present = {treebank.name: treebank for treebank in treebanks(folder)}
    named = [_row(entry, present.pop(entry.name, None)) for entry in catalogue()]
    return named + [
        Row(each.name, each.role, each.code, None, present=True, sizes=each.sizes()) for each in present.values()
    ]


def check(folder: Path) -> Iterator[Checked]:
    """Yields, treebank by treebank, what the strict reader says of every file of the release and what is missing.

    Of the paper's treebanks those are missing that are not there, and splits that the treebank's part in it needs.
    """
    present = {treebank.name: treebank for treebank in treebanks(folder)}
    for entry in catalogue():
        treebank = present.pop(entry.name, None)
        missing = Checked(entry.name, entry.role, present=False, sizes={}, faults=(f"{entry.name} is not there",))
        yield _checked(treebank) if treebank else missing
    yield from map(_checked, present.values())


def _row(entry: Entry, treebank: Treebank | None) -> Row:
    sizes = treebank.sizes() if treebank else {}
    return Row(entry.name, entry.role, entry.code, entry.transfer_language, present=treebank is not None, sizes=sizes)


def _checked(treebank: Treebank) -> Checked:
    sizes: dict[Split, Size] = {}
    faults = [f"{treebank.name} has no {split} split" for split in _NEEDED[treebank.role] if not treebank.files(split)]
    for split in SPLITS:
        if not treebank.files(split):
            continue
        try:
            sentences = treebank.sentences(split)
        except DataError as fault:
            faults.append(str(fault))
        else:
            sizes[split] = Size(len(sentences), sum(len(sentence.words) for sentence in sentences))
    return Checked(treebank.name, treebank.role, present=True, sizes=sizes, faults=tuple(faults))


def _keys(name: str, key: str, entry: Entry | None) -> set[str]:
    printed = {entry.printed} if entry and entry.role == "test" else set()
    return {_plain(each) for each in {name, key, *printed} if each}


def _plain(name: str) -> str:
    text = re.sub(r"[\s_-]+", " ", name.strip().rstrip("/").rpartition("/")[2]).lower()
    return text.removeprefix("ud ")
