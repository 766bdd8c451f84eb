"""CoNLL-U in and out: `Sentence` keeps every byte of its lines, readers refuse what could make a wrong tree.

Lossless for valid UD: reading and writing gives the same bytes, apart from HEAD and DEPREL set by `with_tree`. What the
reader takes with a warning is written as valid UD: line ends are LF, one blank line after each sentence, no byte order
mark, no comments without a sentence. Lines end at "\\n" only and columns at "\\t" only: forms may hold any other space.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from sublingual.data.blocks import (
    DEPREL,
    DEPS,
    FORM,
    HEAD,
    ID,
    N_COLUMNS,
    UPOS,
    Block,
    Fault,
    Heads,
    comment_value,
    place_of,
)
from sublingual.data.rules import cycles, id_faults, number, sentence_faults
from sublingual.data.textfiles import Text, clean_text, read_text, write_text
from sublingual.errors import ConfigError, DataError

_log = logging.getLogger(__name__)
_WIDTHS = {N_COLUMNS}
_PLAIN_IDS = [str(number) for number in range(1, 401)]


class _Numbers(dict[str, int | None]):
    """`rules.number` with the common values at hand; others are worked out and not kept."""

    def __missing__(self, text: str) -> int | None:
        return number(text)


_NUMBERS = _Numbers({str(value): value for value in range(401)})


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a treebank, its ten columns as they were read.

    comments: the comment lines without their line ends.
    rows: words, multiword ranges and empty nodes in file order, ten strings each.
    source, line: the file and its line (1-based) where the sentence starts, for messages; not compared.
    words, heads, labels: FORM, HEAD and DEPREL of the words alone (no ranges, no empty nodes), made from `rows`;
        heads count words from 1, 0 is the root; None stands for `_`, and for a HEAD that is no number, which only a
        sentence read with heads="ignored" can have. Labels keep their subtypes.

    Made by `read_conllu`, `parse_conllu` and `from_words`, which check it; the constructor itself does not.
    """

    comments: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    words: tuple[str, ...] = field(init=False, compare=False, repr=False)
    heads: tuple[int | None, ...] = field(init=False, compare=False, repr=False)
    labels: tuple[str | None, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rows = _word_rows(self.rows)
        labels: tuple[str | None, ...] = tuple([row[DEPREL] for row in rows])
        if "_" in labels:
            labels = tuple(None if label == "_" else label for label in labels)
        object.__setattr__(self, "words", tuple([row[FORM] for row in rows]))
        object.__setattr__(self, "heads", tuple([_NUMBERS[row[HEAD]] for row in rows]))
        object.__setattr__(self, "labels", labels)

    @property
    def sent_id(self) -> str | None:
        """The value of the first comment `# sent_id = X`."""
        return comment_value(self.comments, "sent_id")

    @property
    def text(self) -> str | None:
        """The value of the first comment `# text = X`."""
        return comment_value(self.comments, "text")

    @property
    def upos(self) -> tuple[str, ...]:
        """UPOS of each word, `_` where there is none."""
        return tuple(row[UPOS] for row in _word_rows(self.rows))

    @property
    def place(self) -> str:
        """`FILE:LINE (sent_id X)`, as messages about this sentence start."""
        return place_of(self.source, self.line, self.sent_id)

    @classmethod
    def from_words(
        cls,
        words: Sequence[str],
        *,
        heads: Sequence[int | None] | None = None,
        labels: Sequence[str | None] | None = None,
        upos: Sequence[str] | None = None,
        sent_id: str | None = None,
        text: str | None = None,
    ) -> Sentence:
        """A sentence of these words, one per column value given; raises DataError where it would be no valid CoNLL-U.

        >>> Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["nsubj", "root"]).heads
        (2, 0)
        """
        columns = {UPOS: upos, HEAD: heads, DEPREL: labels}
        rows = [[str(word), form, *["_"] * (N_COLUMNS - 2)] for word, form in enumerate(words, 1)]
        for column, values in columns.items():
            if values is None:
                continue
            if len(values) != len(rows):
                raise DataError(f"{len(values)} values for {len(rows)} words: give one for each")
            for row, value in zip(rows, values, strict=True):
                row[column] = "_" if value is None else str(value)
        comments = [f"# {key} = {value}" for key, value in (("sent_id", sent_id), ("text", text)) if value is not None]
        return _from_lines(comments, rows)

    def with_tree(self, heads: Sequence[int], labels: Sequence[str], *, drop_deps: bool = False) -> Sentence:
        """This sentence with another HEAD and DEPREL of each word, and nothing else changed.

        DEPS describes the tree that was there before: it is kept, or set to `_` by `drop_deps`. Raises DataError
        where `heads` are no tree with one root over this sentence's words.
        """
        self._check_tree(heads, labels)
        tree = iter(zip(map(str, heads), labels, strict=True))
        rows = []
        for row in self.rows:
            head, label = next(tree) if row[ID].isdecimal() else row[HEAD:DEPS]
            deps = "_" if drop_deps else row[DEPS]
            rows.append((*row[:HEAD], head, label, deps, *row[DEPS + 1 :]))
        return Sentence(self.comments, tuple(rows), self.source, self.line)

    def _check_tree(self, heads: Sequence[int], labels: Sequence[str]) -> None:
        n = len(self.words)
        if len(heads) != n or len(labels) != n:
            raise DataError(
                f"{self.place}: {len(heads)} heads and {len(labels)} labels for {n} words: give one for each"
            )
        for label in labels:
            if not label or label == "_" or any(map(str.isspace, label)):
                raise DataError(
                    f"{self.place}: {label!r} is no label: relations are not empty, not _ and hold no space"
                )
        if not all(0 <= head <= n for head in heads):
            raise DataError(f"{self.place}: heads {_short(heads)}: allowed are 0 to {n}")
        if list(heads).count(0) != 1 or cycles(heads):
            raise DataError(
                f"{self.place}: heads {_short(heads)} are no tree: one word hangs on 0, no words form a cycle"
            )

    def to_conllu(self) -> str:
        """The sentence's lines as CoNLL-U with the blank line that ends it."""
        return "\n".join((*self.comments, *map("\t".join, self.rows), "", ""))


def read_conllu(path: Path | str, *, heads: Heads = "gold") -> list[Sentence]:
    """The sentences of a CoNLL-U file, also .gz or .xz; "-" is standard input; [] for an empty file.

    heads: "gold" refuses words without HEAD or DEPREL (`_`) and anything but a tree with one root; "partial" takes
    `_` as not annotated and checks the rest; "ignored" does not look at HEAD and DEPREL (text to be parsed).
    Raises DataError at the first sentence with a fault, naming FILE:LINE (sent_id), the value and the mend;
    `sublingual.data.faults.check` lists all of them. CR LF and a byte order mark are taken with a logged warning.
    """
    return _Reader(heads).sentences(read_text(path))


def parse_conllu(text: str, *, source: str = "<text>", heads: Heads = "gold") -> list[Sentence]:
    """The sentences of CoNLL-U text, as `read_conllu` gives those of a file; messages call it `source`."""
    return _Reader(heads).sentences(clean_text(text, source))


def write_conllu(sentences: Iterable[Sentence], path: Path | str) -> None:
    """Writes a CoNLL-U file: whole under its name or not at all; "-" is standard output. Raises DataError."""
    if str(path).endswith((".gz", ".xz")):
        raise DataError(f"{path}: CoNLL-U is written unpacked: name it .conllu and pack it afterwards")
    write_text((sentence.to_conllu() for sentence in sentences), path)


class _Reader:
    """Reads one text. Good sentences pass by some quick comparisons; where one fails, `sentence_faults` has the word."""

    def __init__(self, heads: Heads) -> None:
        if heads not in get_args(Heads):
            raise ConfigError(f"heads={heads!r}: allowed are {', '.join(get_args(Heads))}")
        self.heads = heads
        self.good_labels: set[str | None] = {None} if heads == "partial" else set()
        self.left_out = 0

    def sentences(self, text: Text) -> list[Sentence]:
        text.checked()
        found = [sentence for block in text.blocks() if (sentence := self.sentence(block)) is not None]
        if self.left_out:
            _log.warning("%s: comments without a sentence, left out: %d", text.source, self.left_out)
        return found

    def sentence(self, block: Block) -> Sentence | None:
        """The sentence of `block`, None where it has comments alone; raises DataError for its first error."""
        n_comments = block.count_comments()
        if n_comments == len(block.lines):
            self.left_out += 1
            return None
        rows = tuple([tuple(line.split("\t")) for line in block.lines[n_comments:]])
        good_cells = {*map(len, rows)} == _WIDTHS and all(map(all, rows))
        if not (good_cells and self._has_good_ids(block, rows)) or any(map(str.isspace, [row[FORM] for row in rows])):
            _refuse(sentence_faults(block, self.heads))
        sentence = Sentence(tuple(block.lines[:n_comments]), rows, block.source, block.line)
        if not (self.heads == "ignored" or self._has_good_tree(sentence)):
            _refuse(sentence_faults(block, self.heads))
        return sentence

    def _has_good_ids(self, block: Block, rows: Sequence[tuple[str, ...]]) -> bool:
        if [row[ID] for row in rows] == _PLAIN_IDS[: len(rows)]:
            return True
        return next(id_faults(block, list(enumerate(rows, block.count_comments()))), None) is None

    def _has_good_tree(self, sentence: Sentence) -> bool:
        known = [head for head in sentence.heads if head is not None]
        n_words, n_roots = len(sentence.heads), known.count(0)
        if len(known) < n_words:
            return False  # not annotated throughout: the full check is quick enough
        return n_roots == 1 and max(known) <= n_words and not cycles(known) and self._has_good_labels(sentence)

    def _has_good_labels(self, sentence: Sentence) -> bool:
        if not self.good_labels.issuperset(sentence.labels):
            new = {label for label in sentence.labels if label and not any(map(str.isspace, label))}
            self.good_labels.update(new)
        return self.good_labels.issuperset(sentence.labels)


def _refuse(faults: Iterable[Fault]) -> None:
    """Raises DataError where one of `faults` is an error, naming the first and the number of the others."""
    errors = (fault for fault in faults if fault.severity == "error")
    for first in errors:
        rest = sum(1 for _ in errors)
        others = f" (and {rest} more; `sublingual check` lists all)" if rest else ""
        raise DataError(f"{first.place}: {first.message} [{first.id}]{others}")


def _from_lines(comments: Sequence[str], rows: Sequence[Sequence[str]]) -> Sentence:
    """The sentence of these comments and cells, which come from a caller: none may hold what separates them."""
    for cell in (*comments, *(cell for row in rows for cell in row)):
        if not {"\n", "\r", "\t", "\0"}.isdisjoint(cell) and not (cell in comments and "\t" in cell):
            raise DataError(f"{cell!r} holds a tab or line end, which CoNLL-U cannot hold: take it out")
    lines = [*comments, *map("\t".join, rows)]
    if not rows:
        raise DataError("a sentence needs at least one word")
    try:
        "\n".join(lines).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{error.object[error.start]!r} cannot be written as UTF-8: take it out") from error
    (sentence,) = parse_conllu("\n".join([*lines, "", ""]), source="<words>", heads="partial")
    return sentence


def _word_rows(rows: tuple[tuple[str, ...], ...]) -> Sequence[tuple[str, ...]]:
    if [row[ID] for row in rows] == _PLAIN_IDS[: len(rows)]:
        return rows
    return [row for row in rows if row[ID].isdecimal()]


def _short(heads: Sequence[int]) -> str:
    return str([int(head) for head in heads[:20]])[:-1] + (", ...]" if len(heads) > 20 else "]")
