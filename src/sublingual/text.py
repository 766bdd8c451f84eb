"""Raw text -> sentences of words, by Unicode's own rules for words and sentences (UAX #29) as the library ICU has them.

What to expect. The rules know scripts and punctuation, not languages: nothing is learned, nothing has to be loaded. Against
the tokens of UD 2.9 test files (bench/segmentation.py) they reach an F1 of 96 to 100 for most languages that write spaces
(Turkish 99.8, Faroese 98.8, Wolof 97.0, Tamil 96.5, English 96.0), 92 for Welsh (clitics as in "o'r" stay one word), 83 for
South Levantine Arabic, and 74 to 80 where spaces do not divide words (Chinese, Japanese and Thai, by ICU's dictionaries;
Vietnamese). No token is split into several syntactic words, so that the F1 of words is lower where UD does (Tamil 81.0, Wolof
92.4, English 94.0). Sentences end after . ! ? and their likes: F1 91 to 97 for edited prose (Faroese, Welsh, Wolof,
Turkish), 75 to 78 for Tamil and English, 32 for Vietnamese, 0 where such marks are not written (Thai, transcribed speech).
Abbreviations end a sentence too early where a capital follows, and web addresses are cut at their marks. Who has sentences
or words already gives them as such.

Spaces are kept as UDPipe keeps them: `SpaceAfter=No`, and `SpacesAfter` or `SpacesBefore` for anything but one space, with
the escapes \\s \\t \\n \\r \\p (|) \\\\; so `plain_text` gives the text back. (Line ends are LF; NUL is refused.)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sublingual.data.blocks import FORM, ID, MISC, N_COLUMNS
from sublingual.data.conllu import Sentence, parse_conllu, read_conllu
from sublingual.data.textfiles import clean_text, read_text
from sublingual.errors import ConfigError

Form = Literal["conllu", "text", "presegmented", "horizontal", "vertical"]
FORMS: tuple[Form, ...] = get_args(Form)

_PARAGRAPH_END = re.compile(r"(\n[^\S\n]*\n\s*)")
_REPEATABLE = {"Po", "Pd", "Pc", "Sm"}  # ..., --, __, ==: one word, as in UD; brackets and quotes are not
_ESCAPES = {" ": "\\s", "\t": "\\t", "\n": "\\n", "\r": "\\r", "|": "\\p", "\\": "\\\\"}
_PLAIN = {escape: character for character, escape in _ESCAPES.items()}
_ESCAPE = re.compile(r"\\[strnp\\]")


@dataclass(frozen=True, slots=True)
class Markup:
    """What MISC says of a word of raw text besides `SpaceAfter=No`, by the names of UDPipe's options.

    ranges: its place in the text, `TokenRange=START:END`. normalized_spaces: not which spaces are around it.
    """

    ranges: bool = False
    normalized_spaces: bool = False


@dataclass(frozen=True, slots=True)
class _Span:
    """A word's place in the text."""

    start: int
    end: int


def read_sentences(path: Path | str, *, form: str = "conllu") -> list[Sentence]:
    """The sentences of a file in that form ("-" is standard input); see `sentences_of`."""
    if form == "conllu":
        return read_conllu(path, heads="ignored")
    _refuse_unknown(form)
    found = read_text(path)
    return _of_text(found.checked(), form=form, source=found.source)


def sentences_of(
    text: str, *, form: str = "conllu", source: str = "<text>", markup: Markup = Markup()
) -> list[Sentence]:
    """The sentences of a text in one of five forms; heads are not looked at.

    conllu; text: raw, an empty line ends a paragraph; presegmented: one sentence a line, cut into words here;
    horizontal: one sentence a line, words between spaces; vertical: one word a line (what follows a tab is left out),
    sentences between empty lines. In the last two a no-break space stands for a space inside a word, and two empty lines
    (vertical) or one (horizontal) begin a paragraph. `markup` is for raw text and presegmented.
    Raises DataError for what is no such text, ConfigError for another form.

    >>> [s.words for s in sentences_of("It rains. Why?", form="text")]
    [('It', 'rains', '.'), ('Why', '?')]
    """
    if form == "conllu":
        return parse_conllu(text, source=source, heads="ignored")
    _refuse_unknown(form)
    return _of_text(clean_text(text, source).checked(), form=form, source=source, markup=markup)


def plain_text(sentences: Sequence[Sentence]) -> str:
    """The text that the sentences write, with the spaces that their MISC columns name (one space where they do not)."""
    return "".join(part for sentence in sentences for row in _tokens(sentence) for part in _with_spaces(row))


def _refuse_unknown(form: str) -> None:
    if form not in FORMS:
        raise ConfigError(f"unknown form of text {form!r}; allowed: {', '.join(FORMS)}")


def _of_text(text: str, *, form: str, source: str, markup: Markup = Markup()) -> list[Sentence]:
    if form in ("horizontal", "vertical"):
        return _of_words(_one_a_line(text) if form == "vertical" else _between_spaces(text), source=source)
    return _of_raw(text, by_line=form == "presegmented", source=source, markup=markup)


def _one_a_line(text: str) -> Iterator[list[str]]:
    """The words between empty lines; none where an empty line follows another."""
    words = []
    for line in text.split("\n"):
        word = line.partition("\t")[0]
        if word.strip():
            words.append(word)
        else:
            yield words
            words = []
    yield words


def _between_spaces(text: str) -> Iterator[list[str]]:
    """The words of each line, none of an empty one."""
    return (re.findall(r"[^ \t]+", line) for line in text.split("\n"))


def _of_words(groups: Iterable[list[str]], *, source: str) -> list[Sentence]:
    """The sentences of a text that is cut into words already; a group without words begins a paragraph."""
    found: list[Sentence] = []
    begins = ["# newdoc", "# newpar"]
    for group in groups:
        words = [word for form in group if (word := form.replace("\u00a0", " ").strip())]
        if words:
            comments = [*begins, f"# sent_id = {len(found) + 1}"]
            found.append(_sentence([(word, "_") for word in words], comments, source=source))
            begins = []
        elif found:
            begins = ["# newpar"]
    return found


def _of_raw(text: str, *, by_line: bool, source: str, markup: Markup) -> list[Sentence]:
    """The sentences of raw text, each word with the spaces around it."""
    sentences = list(_cut(text, by_line=by_line))
    starts = [words[0].start for _, words in sentences] + [len(text)]
    found = []
    for i, (begins, words) in enumerate(sentences):
        ends = [word.start for word in words[1:]] + [starts[i + 1]]
        miscs = [_misc(text, word, end=end, markup=markup) for word, end in zip(words, ends, strict=True)]
        if i == 0 and words[0].start and not markup.normalized_spaces:
            miscs[0] = [f"SpacesBefore={_escaped(text[: words[0].start])}", *miscs[0]]
        rows = [(text[w.start : w.end], "|".join(misc) or "_") for w, misc in zip(words, miscs, strict=True)]
        written = re.sub(r"\s+", " ", text[words[0].start : words[-1].end])
        found.append(_sentence(rows, [*begins, f"# sent_id = {i + 1}", f"# text = {written}"], source=source))
    return found


def _misc(text: str, word: _Span, *, end: int, markup: Markup) -> list[str]:
    """The values of the word's MISC column; the next one begins at `end`."""
    spaces = text[word.end : end]
    values = [] if spaces else ["SpaceAfter=No"]
    if spaces not in ("", " ") and not markup.normalized_spaces:
        values.append(f"SpacesAfter={_escaped(spaces)}")
    if markup.ranges:
        values.append(f"TokenRange={word.start}:{word.end}")
    return values


def _cut(text: str, *, by_line: bool) -> Iterator[tuple[list[str], list[_Span]]]:
    """Each sentence's words, and the comments that say what begins with it."""
    begins = ["# newdoc", "# newpar"]
    at = 0
    for paragraph in _PARAGRAPH_END.split(text):
        for sentence in re.findall(r"[^\n]*\n|[^\n]+", paragraph) if by_line else _by_rule("sentence", paragraph):
            words = _words(sentence, at)
            at += len(sentence)
            if words:
                yield begins, words
                begins = []
        begins = begins or ["# newpar"]


def _words(sentence: str, at: int) -> list[_Span]:
    """The words of a sentence that begins at that place of the text; repeated marks are one word."""
    found: list[_Span] = []
    last = ""
    for part in _by_rule("word", sentence):
        for piece in re.split(r"(\s+)", part):
            end = at + len(piece)
            if piece and not piece.isspace():
                if piece == last and unicodedata.category(piece) in _REPEATABLE:
                    found[-1] = _Span(found[-1].start, end)
                else:
                    found.append(_Span(at, end))
            last = piece if len(piece) == 1 else ""
            at = end
    return found


def _by_rule(unit: Literal["word", "sentence"], text: str) -> Iterator[str]:
    """The text's parts by Unicode's rules, which together are the text. A line end inside a sentence is a space."""
    try:
        from icu4py.breakers import SentenceBreaker, WordBreaker  # an extra of the package
    except ImportError as fault:
        raise ConfigError(
            "raw text needs the package icu4py: pip install 'sublingual[text]'; or give one word a line (vertical)"
        ) from fault
    breaker = WordBreaker(text, "und") if unit == "word" else SentenceBreaker(text.replace("\n", " "), "und")
    at = 0
    for part in breaker:
        yield text[at : at + len(part)]
        at += len(part)


def _escaped(spaces: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in spaces)


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda found: _PLAIN[found[0]], value)


def _sentence(rows: Sequence[tuple[str, str]], comments: Sequence[str], *, source: str) -> Sentence:
    """The sentence of these forms and MISC values. They hold no tab or line end: both were cut at."""
    empty = ("_",) * (N_COLUMNS - 3)
    numbered = tuple((str(i), form, *empty, misc) for i, (form, misc) in enumerate(rows, 1))
    return Sentence(tuple(comments), numbered, source)


def _tokens(sentence: Sentence) -> Iterator[tuple[str, ...]]:
    """The rows of what is written: multiword tokens in place of their words, no empty nodes."""
    covered = 0
    for row in sentence.rows:
        first, dash, last = row[ID].partition("-")
        if dash:
            covered = int(last)
            yield row
        elif first.isdecimal() and int(first) > covered:
            yield row


def _with_spaces(row: Sequence[str]) -> Iterator[str]:
    values = dict(value.partition("=")[::2] for value in row[MISC].split("|"))
    yield _unescaped(values.get("SpacesBefore", ""))
    yield row[FORM]
    after = "" if values.get("SpaceAfter") == "No" else " "
    yield _unescaped(values["SpacesAfter"]) if "SpacesAfter" in values else after
