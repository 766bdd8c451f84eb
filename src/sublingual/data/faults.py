"""All faults of a CoNLL-U file at once (`sublingual check`): what the reader refuses, what it takes with a warning."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from sublingual.data.blocks import (
    COLUMNS,
    DEPREL,
    DEPS,
    FEATS,
    FORM,
    HEAD,
    ID,
    LEMMA,
    UPOS,
    XPOS,
    Block,
    Fault,
    Heads,
    Severity,
)
from sublingual.data.rules import Row, number, rows_of, sentence_faults, show, words_of
from sublingual.data.textfiles import Text, read_text
from sublingual.data.vocabulary import base_relation, published_labels

__all__ = ["MAX_SHOWN", "Fault", "check", "check_text", "report"]

MAX_SHOWN = 20  # of each kind, as udvalidate

_FEATS = re.compile(r"_|[^=|]+=[^=|]+(\|[^=|]+=[^=|]+)*")
_DEPS = re.compile(r"_|[0-9]+(\.[0-9]+)?:[^|]+(\|[0-9]+(\.[0-9]+)?:[^|]+)*")
_LABEL = re.compile(r"[a-z]+(:[a-z]+)?(@[a-z]+)?")
_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs"}


def check(path: Path | str, *, heads: Heads = "partial") -> list[Fault]:
    """The faults of a CoNLL-U file in the order of its lines; "-" is standard input.

    `read_conllu(path, heads=heads)` refuses the file exactly if one of them is an error. Words with HEAD `_` are
    counted in a note unless heads="gold". Of each kind 20 are listed, and one entry with their `count` stands for
    the rest. Raises DataError where the file cannot be opened or unpacked.
    """
    return check_text(read_text(path), heads=heads)


def check_text(text: Text, *, heads: Heads = "partial") -> list[Fault]:
    """The faults of a text that was read already, as `check` lists them."""
    return _capped(_file_faults(text, heads))


def report(faults: Sequence[Fault]) -> str:
    """The faults as lines of text, one each, and their sum in the last line."""
    sums: Counter[str] = Counter()
    for fault in faults:
        sums[fault.severity] += fault.count
    parts = [f"{sums[kind]} {kind}{'' if sums[kind] == 1 else 's'}" for kind in ("error", "warning", "note")]
    return "\n".join([*map(str, faults), ", ".join(parts)])


def _capped(faults: Iterable[Fault]) -> list[Fault]:
    shown = []
    seen: Counter[tuple[str, Severity]] = Counter()
    last: dict[tuple[str, Severity], Fault] = {}
    for fault in faults:
        kind = (fault.id, fault.severity)
        seen[kind] += 1
        last[kind] = fault
        if seen[kind] <= MAX_SHOWN:
            shown.append(fault)
    for kind, fault in last.items():
        rest = seen[kind] - MAX_SHOWN
        if rest > 0:
            message = f"and {rest} more of this kind, the last one here"
            shown.append(Fault(fault.id, fault.severity, fault.place, message, rest))
    return shown


def _file_faults(text: Text, heads: Heads) -> Iterator[Fault]:
    yield from text.faults
    if any(fault.severity == "error" for fault in text.faults):
        return
    due = 1  # the line where the next sentence should start
    counts: Counter[str] = Counter()
    last_comments: Fault | None = None
    for block in text.blocks():
        if last_comments:
            yield last_comments
        yield from _blank_lines(text, due, block.line)
        due = block.line + len(block.lines) + 1
        last_comments = _comments_alone(block)
        if not last_comments:
            yield from sentence_faults(block, heads)
            yield from _warnings(block, heads)
            _count(block, counts)
    yield from _end_faults(text, due, last_comments)
    yield from _notes(text, counts, heads)


def _blank_lines(text: Text, due: int, line: int) -> Iterator[Fault]:
    if line > due:
        message = f"blank lines too many: {line - due}; sentences are separated by exactly one"
        yield Block((), text.source, due).fault(0, "extra-empty-line", message, severity="warning")


def _comments_alone(block: Block) -> Fault | None:
    if block.count_comments() < len(block.lines):
        return None
    message = "comments without a sentence; they are left out"
    return block.fault(0, "empty-sentence", message, severity="warning")


def _end_faults(text: Text, due: int, last_comments: Fault | None) -> Iterator[Fault]:
    if last_comments:
        message = "comments after the last sentence; they are left out"
        yield Fault("misplaced-comment", "warning", last_comments.place, message)
    n_lines = text.text.count("\n")
    yield from _blank_lines(text, due, n_lines + 1)
    if due > 1 and n_lines < due - 1:
        message = "no blank line after the last sentence; one is written"
        yield Block((), text.source, due - 2).fault(0, "missing-empty-line", message, severity="warning")


def _warnings(block: Block, heads: Heads) -> Iterator[Fault]:
    for index, line in enumerate(block.lines):
        if not unicodedata.is_normalized("NFC", line):
            message = "not in Unicode's normal form NFC; it is kept as it is"
            yield block.fault(index, "unicode-normalization", message, severity="warning")
    rows = rows_of(block)
    for index, row in rows:
        yield from _cell_warnings(block, index, row)
    if heads != "ignored":
        yield from _label_warnings(block, words_of(rows))


def _cell_warnings(block: Block, index: int, row: Sequence[str]) -> Iterator[Fault]:
    for column in (UPOS, XPOS, FEATS, DEPS):
        if any(map(str.isspace, row[column])):
            message = f"{COLUMNS[column]} {show(row[column])} holds a space; it is kept as it is"
            yield block.fault(index, "invalid-whitespace", message, severity="warning")
    for column in (FORM, LEMMA):
        cell = row[column]
        if cell.strip() != cell:
            id = "leading-whitespace" if cell[0].isspace() else "trailing-whitespace"
            message = f"{COLUMNS[column]} {show(cell)} starts or ends with a space; it is kept as it is"
            yield block.fault(index, id, message, severity="warning")
    if row[FEATS] and not _FEATS.fullmatch(row[FEATS]):
        message = (
            f"FEATS {show(row[FEATS])} is no list Name=Value|Name=Value; it is kept, but annotation tools refuse it"
        )
        yield block.fault(index, "invalid-feature", message, severity="warning")
    if row[DEPS] and not _DEPS.fullmatch(row[DEPS]):
        message = (
            f"DEPS {show(row[DEPS])} is no list head:relation|head:relation; it is kept, but annotation tools refuse it"
        )
        yield block.fault(index, "invalid-deps", message, severity="warning")
    if "-" in row[ID] and any(row[column] not in ("_", "") for column in (UPOS, HEAD, DEPREL, DEPS)):
        message = f"the range {row[ID]} of several words has annotation of its own; it is kept as it is and not read"
        yield block.fault(index, "mwt-nonempty-field", message, severity="warning")
    if row[FORM] and all(unicodedata.category(character) in _INVISIBLE for character in row[FORM]):
        message = f"FORM {ascii(row[FORM])[:40]} has no visible character; an encoder sees nothing of it"
        yield block.fault(index, "invisible-form", message, severity="warning")


def _label_warnings(block: Block, words: Sequence[Row]) -> Iterator[Fault]:
    for index, row in words:
        head, label = number(row[HEAD]), row[DEPREL]
        if label in ("_", ""):
            continue
        if not _LABEL.fullmatch(label):
            message = f"DEPREL {show(label)} is no relation of UD (lower case, one subtype): it is taken as it is"
            yield block.fault(index, "invalid-deprel", message, severity="warning")
        elif (base := base_relation(label)) not in _published():
            message = (
                f"DEPREL {show(label)} is no relation of UD, {show(base)} being none: no parser can be adapted to it"
            )
            yield block.fault(index, "unknown-deprel", message, severity="warning")
        is_root = label.partition(":")[0] == "root"
        if head is not None and is_root != (head == 0):
            id, message = (
                ("root-is-not-0", f"word {row[ID]} is labelled root but has head {head}; it is taken as it is")
                if is_root
                else ("0-is-not-root", f"word {row[ID]} has head 0 but is labelled {label}; it is taken as it is")
            )
            yield block.fault(index, id, message, severity="warning")


@lru_cache(maxsize=1)
def _published() -> frozenset[str]:
    return frozenset(published_labels().labels)


def _count(block: Block, counts: Counter[str]) -> None:
    rows = rows_of(block)
    words = words_of(rows)
    counts["sentences"] += 1
    counts["words"] += len(words)
    counts["without head"] += sum(row[HEAD] == "_" for _, row in words)
    counts["empty nodes"] += sum("." in row[ID] for _, row in rows)


def _notes(text: Text, counts: Counter[str], heads: Heads) -> Iterator[Fault]:
    where = Block((), text.source, 1)
    if not counts["sentences"]:
        yield where.fault(0, "no-sentences", "the file holds no sentences", severity="note")
    if counts["without head"] and heads == "partial":
        message = f"{counts['without head']} of {counts['words']} words have no HEAD (_): taken as not annotated"
        yield where.fault(0, "not-annotated", message, severity="note")
    if counts["empty nodes"]:
        message = f"empty nodes: {counts['empty nodes']}, kept as they are and not parsed"
        yield where.fault(0, "empty-nodes", message, severity="note")
