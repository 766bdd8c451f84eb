"""A dependency tree as a drawing: one self-contained SVG text, words below, labelled arcs above. Needs no torch.

Arcs that overlap lie at different heights, each label sits on its own arc, and words stand far enough apart for both, so
labels of a projective tree never meet a line or one another. Colours are those of the text around, so that the drawing
goes with light and dark pages; what is wrong is dashed as well as red, and reads in grey.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from sublingual.data.blocks import FORM, ID
from sublingual.data.conllu import Sentence
from sublingual.errors import DataError

# All lengths are in the SVG's user units, one CSS pixel each.
WORD_SIZE, LABEL_SIZE, TOKEN_SIZE = 16.0, 11.0, 12.0
_ROW = 21.0  # from one height of arcs to the next
_FIRST = 20.0  # from the words to the lowest arcs
_WORD_GAP, _LABEL_GAP, _END_GAP, _MARGIN = 14.0, 10.0, 7.0, 12.0
_CORNER = 6.0
_COLOURS = {"plain": "currentColor", "wrong": "#d64545", "gold": "#4f9a6b"}
_RTL_MARKS = {"R", "AL"}
_NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(sentence: Sentence, *, gold: Sentence | None = None) -> str:
    """Returns the sentence's tree as an SVG element.

    With `gold`, the same words with the right tree: arcs whose head or full label differ are dashed and red, and the
    right arcs stand below the words in green. Words without a head (`_`) have no arc. Words are laid from right to left
    where most letters are of such a script; multiword tokens stand small under their words. Raises DataError where
    `gold` has other words.

    >>> draw(Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["nsubj", "root"]))[:4]
    '<svg'
    """
    if gold is not None and gold.words != sentence.words:
        raise DataError(f"{gold.place}: not the words of {sentence.place}; draw a parse of the gold words")
    return _Drawing(sentence, gold).svg()


def boxed(sentence: Sentence, *, gold: Sentence | None = None) -> str:
    """Returns the drawing in an HTML box that scrolls sideways, from the side on which the sentence starts."""
    direction = "rtl" if is_right_to_left(sentence.words) else "ltr"
    style = "overflow-x:auto;max-width:100%"
    return f'<div class="tree" dir="{direction}" tabindex="0" style="{style}">{draw(sentence, gold=gold)}</div>'


def text_width(text: str, *, size: float) -> float:
    """Returns the width of the text in a sans-serif font of that size, estimated a little too wide rather than narrow."""
    return size * sum(map(_em, text))


def is_right_to_left(words: Iterable[str]) -> bool:
    """Tells whether most letters of the words are of a script written from right to left."""
    marks = [unicodedata.bidirectional(character) for word in words for character in word]
    return sum(mark in _RTL_MARKS for mark in marks) > marks.count("L")


@dataclass(frozen=True, slots=True)
class _Arc:
    """An arc; `head` is 0 for the root's. Words count from 1."""

    word: int
    head: int
    label: str
    kind: str

    @property
    def ends(self) -> tuple[int, int]:
        """The words under its ends, from left to right; a root arc stands over one word."""
        other = self.head or self.word
        return min(self.word, other), max(self.word, other)

    @property
    def label_width(self) -> float:
        return text_width(self.label, size=LABEL_SIZE)


class _Side:
    """The arcs on one side of the words: the height of each, and where at its words it ends."""

    def __init__(self, arcs: Sequence[_Arc]) -> None:
        self.arcs = sorted(arcs, key=lambda arc: (arc.ends[1] - arc.ends[0], arc.word))
        self.level = self._levels()
        self.n_levels = max(self.level.values(), default=0)
        self.offset = self._offsets()

    def _levels(self) -> dict[_Arc, int]:
        """The height of each arc from 1: above all shorter ones that it overlaps; the roots' share one above all."""
        level: dict[_Arc, int] = {}
        for arc in self.arcs:
            if arc.head:
                level[arc] = 1 + max((level[other] for other in level if _overlap(arc, other)), default=0)
        top = 1 + max(level.values(), default=0)
        return level | {arc: top for arc in self.arcs if not arc.head}

    def _offsets(self) -> dict[tuple[_Arc, int], float]:
        """Where each arc ends relative to its word's middle: the longer, the nearer to the middle, the root's on it."""
        at: dict[int, list[tuple[float, _Arc]]] = {}
        for arc in self.arcs:
            left, right = arc.ends
            for word, side in {left: 1.0, right: -1.0}.items() if arc.head else ((left, 0.0),):
                at.setdefault(word, []).append((side / max(right - left, 1), arc))
        offsets = {}
        for word, ends in at.items():
            ends.sort(key=lambda end: end[0])
            for place, (_, arc) in enumerate(ends):
                offsets[arc, word] = (place - (len(ends) - 1) / 2) * _END_GAP
        return offsets

    def width(self, word: int) -> float:
        """The room that the ends of arcs, and a root's label, need at a word."""
        n_ends = sum(1 for _, at in self.offset if at == word)
        roots = (arc for arc in self.arcs if not arc.head and arc.word == word)
        labels = (arc.label_width + 2 * abs(self.offset[arc, word]) for arc in roots)
        return max(n_ends * _END_GAP, *labels, 0.0)

    def distances(self) -> Iterable[tuple[int, int, float]]:
        """How far apart the middles of two words must be at least, for the label of the arc between them."""
        for arc in self.arcs:
            left, right = arc.ends
            if left < right:
                ends = self.offset[arc, left] - self.offset[arc, right]
                yield left, right, arc.label_width + _LABEL_GAP + ends


class _Drawing:
    """One drawing: first where everything stands, then its text."""

    def __init__(self, sentence: Sentence, gold: Sentence | None) -> None:
        self.sentence = sentence
        wrong = [] if gold is None else _differing(sentence, gold)
        self.above = _Side(list(_arcs(sentence, wrong=wrong)))
        self.below = _Side([] if gold is None else [arc for arc in _arcs(gold, kind="gold") if arc.word in wrong])
        self.tokens = list(_multiword_tokens(sentence))
        self.right_to_left = is_right_to_left(sentence.words)
        self.widths = [self._width(word) for word in range(1, len(sentence.words) + 1)]
        self.middles = self._middles()
        self.width = self.middles[-1] + self.widths[-1] / 2 + _MARGIN
        self.baseline = _MARGIN + _FIRST + _ROW * self.above.n_levels + WORD_SIZE
        self.underline = self.baseline + 8 + (TOKEN_SIZE + 6 if self.tokens else 0.0)
        depth = _FIRST + _ROW * self.below.n_levels if self.below.arcs else 0.0
        self.height = self.underline + depth + _MARGIN

    def _width(self, word: int) -> float:
        text = text_width(self.sentence.words[word - 1], size=WORD_SIZE)
        return max(text, self.above.width(word), self.below.width(word))

    def _middles(self) -> list[float]:
        """The middle of each word from left to right, as near to the one before as all distances allow."""
        needed: dict[int, list[tuple[int, float]]] = {}
        for left, right, distance in (*self.above.distances(), *self.below.distances(), *self._token_distances()):
            needed.setdefault(right, []).append((left, distance))
        middles = [_MARGIN + self.widths[0] / 2]
        for word, (before, own) in enumerate(pairwise(self.widths), start=2):
            least = middles[-1] + (before + own) / 2 + _WORD_GAP
            middles.append(max([least, *(middles[left - 1] + far for left, far in needed.get(word, ()))]))
        return middles

    def _token_distances(self) -> Iterable[tuple[int, int, float]]:
        for first, last, form in self.tokens:
            words = (self.widths[first - 1] + self.widths[last - 1]) / 2
            yield first, last, text_width(form, size=TOKEN_SIZE) + _LABEL_GAP - words

    def svg(self) -> str:
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        font = 'font-family="system-ui, sans-serif" text-anchor="middle" fill="currentColor"'
        name = _escaped(self.sentence.text or " ".join(self.sentence.words))
        direction = ' direction="rtl"' if self.right_to_left else ""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {font}{direction}>',
            f"<title>{name}</title>",
            *(self._arc(arc, up=True) for arc in self.above.arcs),
            *(self._arc(arc, up=False) for arc in self.below.arcs),
            *(self._label(arc, up=True) for arc in self.above.arcs),
            *(self._label(arc, up=False) for arc in self.below.arcs),
            *(self._word(word) for word in range(1, len(self.sentence.words) + 1)),
            *(self._token(first, last, form) for first, last, form in self.tokens),
            "</svg>",
        ]
        return "\n".join(parts)

    def _x(self, x: float) -> float:
        return self.width - x if self.right_to_left else x

    def _word(self, word: int) -> str:
        place = f'x="{self._x(self.middles[word - 1]):.1f}" y="{self.baseline:.1f}"'
        return f'<text class="word" {place} font-size="{WORD_SIZE:g}">{_escaped(self.sentence.words[word - 1])}</text>'

    def _token(self, first: int, last: int, form: str) -> str:
        left = self._x(self.middles[first - 1] - self.widths[first - 1] / 2)
        right = self._x(self.middles[last - 1] + self.widths[last - 1] / 2)
        y = self.baseline + 7
        return (
            f'<g class="token" opacity="0.6"><path d="M{left:.1f} {y - 3:.1f}V{y:.1f}H{right:.1f}V{y - 3:.1f}" '
            f'fill="none" stroke="currentColor"/><text x="{(left + right) / 2:.1f}" y="{y + TOKEN_SIZE + 1:.1f}" '
            f'font-size="{TOKEN_SIZE:g}">{_escaped(form)}</text></g>'
        )

    def _place(self, arc: _Arc, *, up: bool) -> _Place:
        side, sign = (self.above, -1) if up else (self.below, 1)
        base = self.baseline - WORD_SIZE - 1 if up else self.underline
        end = self._x(self.middles[arc.word - 1] + side.offset[arc, arc.word])
        start = self._x(self.middles[arc.head - 1] + side.offset[arc, arc.head]) if arc.head else end
        return _Place(start, end, base=base, y=base + sign * (_FIRST + _ROW * (side.level[arc] - 1)))

    def _arc(self, arc: _Arc, *, up: bool) -> str:
        place, colour = self._place(arc, up=up), _COLOURS[arc.kind]
        dashes = ' stroke-dasharray="5 3"' if arc.kind == "wrong" else ""
        tip = f"M{place.end:.1f} {place.base:.1f}l-3.5 {-7 if up else 7}h7z"
        return (
            f'<g class="arc {arc.kind}" data-word="{arc.word}" data-head="{arc.head}" fill="{colour}">'
            f'<path d="{place.line()}" fill="none" stroke="{colour}" stroke-opacity="0.75" stroke-width="1.2"{dashes}/>'
            f'<path d="{tip}"/></g>'
        )

    def _label(self, arc: _Arc, *, up: bool) -> str:
        """The arc's label, drawn after all lines and with a rim that parts it from lines that cross."""
        place = self._place(arc, up=up)
        y = place.y - 4 if up else place.y + LABEL_SIZE + 1
        return (
            f'<text class="label {arc.kind}" x="{(place.start + place.end) / 2:.1f}" y="{y:.1f}" direction="ltr" '
            f'font-size="{LABEL_SIZE:g}" fill="{_COLOURS[arc.kind]}" '
            f'style="paint-order:stroke;stroke:Canvas;stroke-width:3px">{_escaped(arc.label)}</text>'
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an arc is: x of its head's and its dependent's end, y of its ends and of its height."""

    start: float
    end: float
    _: KW_ONLY
    base: float
    y: float

    def line(self) -> str:
        """The path from the head up to the arc's height, along it and down; a root's straight down."""
        if self.start == self.end:
            return f"M{self.end:.1f} {self.y:.1f}V{self.base:.1f}"
        along, up = (1 if self.end > self.start else -1) * _CORNER, (1 if self.y < self.base else -1) * _CORNER
        return (
            f"M{self.start:.1f} {self.base:.1f}V{self.y + up:.1f}q0 {-up:g} {along:g} {-up:g}"
            f"H{self.end - along:.1f}q{along:g} 0 {along:g} {up:g}V{self.base:.1f}"
        )


def _arcs(sentence: Sentence, *, wrong: Sequence[int] = (), kind: str = "plain") -> Iterable[_Arc]:
    for word, (head, label) in enumerate(zip(sentence.heads, sentence.labels, strict=True), start=1):
        if head is not None:
            yield _Arc(word, head, label or "_", "wrong" if word in wrong else kind)


def _differing(sentence: Sentence, gold: Sentence) -> list[int]:
    found = zip(sentence.heads, sentence.labels, gold.heads, gold.labels, strict=True)
    return [word for word, (head, label, *right) in enumerate(found, start=1) if [head, label] != right]


def _overlap(arc: _Arc, other: _Arc) -> bool:
    return arc.ends[0] < other.ends[1] and other.ends[0] < arc.ends[1]


def _multiword_tokens(sentence: Sentence) -> Iterable[tuple[int, int, str]]:
    places: Mapping[str, int] = {
        row[ID]: word for word, row in enumerate((r for r in sentence.rows if r[ID].isdecimal()), 1)
    }
    for row in sentence.rows:
        first, hyphen, last = row[ID].partition("-")
        if hyphen:
            yield places[first], places[last], row[FORM]


def _em(character: str) -> float:
    """The width of a character in ems, by what kind of character it is."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in "ijltfrI.,;:!|'()[]":
        return 0.36
    if character in "mwMW" or ord(character) > 0x2FFF:
        return 0.95
    if character.isupper() or "\u0900" <= character < "\u1e00":  # most scripts of Asia and Africa
        return 0.75
    return 0.6


def _escaped(text: str) -> str:
    """The text as XML; what XML cannot hold, such as control characters, becomes U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text))
