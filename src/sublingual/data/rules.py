"""The rules that one sentence's lines must keep: each broken one is a `Fault` with its line and the way to mend it.

Fault ids are udvalidate's where it has one, so that users can look them up (https://universaldependencies.org).
The reader and `sublingual check` both call `sentence_faults`: what is an error here is what the reader refuses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from sublingual.data.blocks import (
    COLUMNS,
    DEPREL,
    FORM,
    HEAD,
    ID,
    N_COLUMNS,
    Block,
    Fault,
    Heads,
)

Row = tuple[int, Sequence[str]]  # which line of the block, and its cells

_WORD_ID = re.compile(r"[1-9][0-9]*")
_RANGE_ID = re.compile(r"([1-9][0-9]*)-([1-9][0-9]*)")
_EMPTY_ID = re.compile(r"(0|[1-9][0-9]*)\.([1-9][0-9]*)")
_HEAD = re.compile(r"[0-9]+")
_TOO_LONG = 10**9  # stands for any number of more than nine digits: beyond every sentence, and cheap to convert


def number(text: str) -> int | None:
    """The number that `text` writes in ASCII digits; None for `_` and for `+1`, `1_0`, `١`, which int() takes."""
    if not _HEAD.fullmatch(text):
        return None
    return int(text) if len(text) < 10 else _TOO_LONG


def cycles(heads: Sequence[int]) -> list[list[int]]:
    """The cycles of the graph in which word i+1 hangs on `heads[i]` (0 is the root), each a list of word numbers.

    The tree is sound exactly if this is empty and one head is 0. Linear and iterative, so long sentences do no harm.
    """
    found = []
    visit = [0] * (len(heads) + 1)
    visit[0] = -1
    for start in range(1, len(visit)):
        word = start
        while not visit[word]:
            visit[word] = start
            word = heads[word - 1]
        if visit[word] == start:
            found.append(_around(heads, word))
    return found


def _around(heads: Sequence[int], start: int) -> list[int]:
    cycle, word = [start], heads[start - 1]
    while word != start:
        cycle.append(word)
        word = heads[word - 1]
    return cycle


def sentence_faults(block: Block, heads: Heads) -> Iterator[Fault]:
    """Every fault of the sentence `block`, which has at least one line that is no comment.

    heads: "gold" wants a full single-rooted tree, "partial" checks the heads that are there, "ignored" looks at none.
    """
    broken = False
    for fault in _line_faults(block):
        broken = broken or fault.id != "misplaced-comment"
        yield fault
    rows = rows_of(block)
    yield from _cell_faults(block, rows, heads)
    if broken:
        return  # what the other lines say of word numbers would only repeat the same fault
    id_problems = list(id_faults(block, rows))
    yield from id_problems
    if heads != "ignored":
        words = words_of(rows)
        yield from _label_faults(block, words, heads)
        if all(fault.severity != "error" for fault in id_problems):
            yield from _tree_faults(block, words, heads)


def rows_of(block: Block) -> list[Row]:
    """The lines of ten columns, each with its index in the block."""
    cells = ((index, line.split("\t")) for index, line in enumerate(block.lines) if line[0] != "#" and line.strip())
    return [(index, row) for index, row in cells if len(row) == N_COLUMNS]


def words_of(rows: Sequence[Row]) -> list[Row]:
    """The rows that are words: no multiword ranges, no empty nodes."""
    return [row for row in rows if _WORD_ID.fullmatch(row[1][ID])]


def _line_faults(block: Block) -> Iterator[Fault]:
    started = False
    for index, line in enumerate(block.lines):
        if line.startswith("#"):
            if started:
                message = f"comment {show(line)} between the words: move it before the sentence's first word"
                yield block.fault(index, "misplaced-comment", message)
            continue
        started = True
        if not line.strip():
            started = False
            message = "the line looks empty but holds spaces or tabs: sentences end with a line without any character"
            yield block.fault(index, "pseudo-empty-line", message)
        elif not ("0" <= line[0] <= "9"):
            message = f"{show(line)} is no line of CoNLL-U: each starts with a digit (a word) or # (a comment)"
            yield block.fault(index, "invalid-line", message)
        elif (width := line.count("\t") + 1) != N_COLUMNS:
            yield block.fault(index, "number-of-columns", _columns_message(line, width))


def _columns_message(line: str, width: int) -> str:
    message = f"{width} columns, {N_COLUMNS} needed"
    if width == 1 and len(line.split()) >= 8:
        return f"{message}; separated by spaces? Columns are separated by single tabs"
    if width == N_COLUMNS + 1 and line.endswith("\t"):
        return f"{message}; the line ends with a tab too many"
    return f"{message}, separated by tabs; an empty column is written _"


def _cell_faults(block: Block, rows: Sequence[Row], heads: Heads) -> Iterator[Fault]:
    for index, row in rows:
        is_word = bool(_WORD_ID.fullmatch(row[ID]))
        for column, cell in enumerate(row):
            ignored = heads == "ignored" and is_word and column in (HEAD, DEPREL)
            if not cell and not ignored:
                message = f"column {column + 1} ({COLUMNS[column]}) is empty: write _ where there is no value"
                yield block.fault(index, "empty-column", message)
        if "." not in row[ID] and row[FORM] and _is_blank(row[FORM]):
            message = f"FORM {show(row[FORM])} holds only spaces: a word needs a visible form"
            yield block.fault(index, "blank-form", message)


def _is_blank(form: str) -> bool:
    """Whether nothing is left of `form` once the official scorer has removed its space characters (category Zs)."""
    return all(unicodedata.category(character) == "Zs" for character in form)


def id_faults(block: Block, rows: Sequence[Row]) -> Iterator[Fault]:
    """The faults of the word numbers, multiword ranges and empty nodes; never loops over a declared range."""
    n_words = sum([row[ID].isdecimal() for _, row in rows])
    word = covered = opened = nodes = 0
    for index, row in rows:
        id = row[ID]
        if id == str(word + 1):
            word, nodes = word + 1, 0
        elif _WORD_ID.fullmatch(id):
            message = f"word number {show(id)} where {word + 1} is due: words are numbered 1, 2, 3, ..."
            yield block.fault(index, "word-id-sequence", message)
            return
        elif match := _RANGE_ID.fullmatch(id):
            first, last = (number(text) or 0 for text in match.groups())
            yield from _range_faults(block, index, id, (first, last), word=word, n_words=n_words, covered=covered)
            covered, opened = max(covered, last), first
        elif match := _EMPTY_ID.fullmatch(id):
            nodes += 1
            if (number(match[1]), number(match[2])) != (word, nodes) or opened > word:
                due = f"{word}.{nodes}" + (f" before the multiword range of word {opened}" if opened > word else "")
                message = f"empty node {show(id)} where {due} is due; it is kept as it is and not parsed"
                yield block.fault(index, "misplaced-empty-node", message, severity="warning")
        else:
            message = f"ID {show(id)}: allowed are a word (3), a multiword range (3-4), an empty node (3.1)"
            yield block.fault(index, "invalid-word-interval" if "-" in id else "invalid-word-id", message)
    if rows and not n_words:
        yield block.fault(rows[0][0], "no-words", "the sentence has no words: remove it or give it a word")


def _range_faults(
    block: Block, index: int, id: str, ends: tuple[int, int], *, word: int, n_words: int, covered: int
) -> Iterator[Fault]:
    first, last = ends
    if first > last:
        message = f"multiword range {show(id)} ends before it starts: write FIRST-LAST with FIRST < LAST"
        yield block.fault(index, "reversed-word-interval", message)
    elif last > n_words:
        message = f"multiword range {show(id)} but the sentence has {n_words} words"
        yield block.fault(index, "word-interval-out", message)
    elif first <= covered:
        message = f"multiword range {show(id)} overlaps the one before it, which ends at word {covered}"
        yield block.fault(index, "overlapping-word-intervals", message)
    elif first != word + 1:
        message = f"multiword range {show(id)} stands after word {word}: move it directly before word {first}"
        yield block.fault(index, "misplaced-word-interval", message)


def _label_faults(block: Block, words: Sequence[Row], heads: Heads) -> Iterator[Fault]:
    for index, row in words:
        label = row[DEPREL]
        if label == "_" and heads == "gold":
            message = f"word {row[ID]} has no DEPREL (_): every word needs its relation here"
            yield block.fault(index, "missing-deprel", message)
        elif any(map(str.isspace, label)):
            message = f"DEPREL {show(label)} holds a space: relations are written without any"
            yield block.fault(index, "invalid-whitespace", message)


def _tree_faults(block: Block, words: Sequence[Row], heads: Heads) -> Iterator[Fault]:
    lines = [index for index, _ in words]
    cells = [row[HEAD] for _, row in words]
    numbers = [number(cell) for cell in cells]
    yield from _head_faults(block, cells, lines, heads)
    roots = [word for word, head in enumerate(numbers, 1) if head == 0]
    if len(roots) > 1:
        message = f"{len(roots)} words have head 0 ({_list(roots)}): exactly one word is the root"
        yield block.fault(lines[roots[1] - 1], "multiple-roots", message)
    in_range = [0 if head is None or head > len(words) else head for head in numbers]
    for cycle in cycles(in_range):
        if len(cycle) > 1:  # a self loop is named by _head_faults
            ending = "" if roots else ", and no word has head 0"
            message = f"words {_list([*cycle, cycle[0]], ' -> ')} form a cycle{ending}: give one of them a head outside"
            yield block.fault(lines[cycle[0] - 1], "non-tree", message)


def _head_faults(block: Block, cells: Sequence[str], lines: Sequence[int], heads: Heads) -> Iterator[Fault]:
    for word, cell in enumerate(cells, 1):
        head = number(cell)
        if cell == "_" and heads == "gold":
            message = f"word {word} has no HEAD (_): every word needs its head here"
            yield block.fault(lines[word - 1], "missing-head", message)
        elif head is None and cell not in ("_", ""):
            message = f"HEAD {show(cell)} is no number: allowed are 0 to {len(cells)}, and _ where it is not annotated"
            yield block.fault(lines[word - 1], "invalid-head", message)
        elif head is not None and head > len(cells):
            message = f"head {show(cell)[1:-1]} but the sentence has {len(cells)} words"
            yield block.fault(lines[word - 1], "unknown-head", message)
        elif head == word:
            message = f"word {word} is its own head: give it another, or 0 if it is the root"
            yield block.fault(lines[word - 1], "head-self-loop", message)


def show(value: str) -> str:
    """`value` in quotes, cut where it is long."""
    return repr(value if len(value) <= 40 else value[:37] + "...")


def _list(words: Sequence[int], separator: str = ", ") -> str:
    shown = separator.join(map(str, words[:12]))
    return shown if len(words) <= 12 else f"{shown}{separator}... {words[-1]}"
