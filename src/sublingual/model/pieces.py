"""Words to pieces: each word cut by the encoder's own tokenizer, remembered, and laid into windows the encoder can take."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from sublingual.data.batches import UNKNOWN, Encoded
from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import LabelVocabulary
from sublingual.errors import EncoderError

_log = logging.getLogger(__name__)


class WordPieces:
    """Cuts words with a fast tokenizer, each by itself, and remembers the result.

    A word that gives no piece at all (a zero-width space, say) gets the unknown piece; a word that spells a special
    piece (`<mask>`, `[CLS]`) is cut like any other text. Where a word inside a text is cut with the space before it
    (byte-level BPE), every word is. The tokenizer's own pre-tokenizer comes first: a BERT's splits "U.S." at its dots,
    which UDify's bare WordPiece does not (docs/protocol.md 0.10). Words are read in the normal form NFC, whatever their
    bytes. `limit` is the longest window, special pieces included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, limit: int) -> None:
        if not tokenizer.is_fast:
            raise EncoderError(
                f"{tokenizer.name_or_path}: its tokenizer is not a fast one; give a folder with tokenizer.json"
            )
        if tokenizer.mask_token_id is None or tokenizer.unk_token_id is None:
            raise EncoderError(
                f"{tokenizer.name_or_path}: its tokenizer names no mask or no unknown piece; both are needed"
            )
        self.tokenizer = tokenizer
        self.backend = tokenizer.backend_tokenizer
        self.backend.encode_special_tokens = True
        self.backend.no_padding()
        self.backend.no_truncation()
        self.unknown: int = tokenizer.unk_token_id
        self.mask_piece: int = tokenizer.mask_token_id
        self.prefix, self.suffix = self._special()
        self.room = limit - len(self.prefix) - len(self.suffix)
        self.lead = self._lead()
        self.reserved = frozenset(tokenizer.all_special_ids) - {self.unknown}
        self.known: dict[str, tuple[int, ...]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> WordPieces:
        """Returns itself: it never gives another answer, and a copy of a large tokenizer takes a second."""
        return self

    def _special(self) -> tuple[list[int], list[int]]:
        encoding = self.backend.encode(["a"], is_pretokenized=True, add_special_tokens=True)
        special = encoding.special_tokens_mask
        inner = [i for i, s in enumerate(special) if not s]
        return encoding.ids[: inner[0]], encoding.ids[inner[-1] + 1 :]

    def _lead(self) -> str:
        whole, alone, spaced = (self.backend.encode(s, add_special_tokens=False).ids for s in ("a a", "a", " a"))
        return " " if whole == alone + spaced and spaced != alone else ""

    @property
    def special(self) -> list[int]:
        """The ids that every window or training step may need, whatever the text."""
        pad = self.tokenizer.pad_token_id
        return sorted({*self.prefix, *self.suffix, self.unknown, self.mask_piece, *([] if pad is None else [pad])})

    def learn_(self, words: Iterable[str]) -> None:
        """Cuts the words that were not met before, all in one call (it changes this object's memory only)."""
        new = [word for word in dict.fromkeys(words) if word not in self.known]
        if not new:
            return
        texts = [[self.lead + unicodedata.normalize("NFC", word)] for word in new]
        encodings = self.backend.encode_batch(texts, is_pretokenized=True, add_special_tokens=False)
        cut = [tuple(self._ordinary(encoding.ids)) for encoding in encodings]
        _warn("give no piece and are read as unknown", [w for w, ids in zip(new, cut, strict=True) if not ids])
        _warn(f"are cut to {self.room} pieces", [w for w, ids in zip(new, cut, strict=True) if len(ids) > self.room])
        self.known |= {w: ids[: self.room] or (self.unknown,) for w, ids in zip(new, cut, strict=True)}

    def _ordinary(self, ids: list[int]) -> list[int]:
        """The ids with the characters of each special piece in its place: Unigram finds `<mask>` in its vocabulary."""
        if self.reserved.isdisjoint(ids):
            return ids
        return [j for i in ids for j in (self._characters(i) if i in self.reserved else (i,))]

    def _characters(self, special: int) -> list[int]:
        found = (self.backend.token_to_id(character) for character in str(self.backend.id_to_token(special)))
        return [self.unknown if i is None or i in self.reserved else i for i in found]

    def of(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Returns the piece ids of each word, at least one each; a word longer than a window is cut to it."""
        self.learn_(words)
        return [self.known[word] for word in words]

    def encode(self, sentences: Sequence[Sentence], *, vocabulary: LabelVocabulary | None = None) -> list[Encoded]:
        """Returns the sentences in pieces; without a vocabulary heads and labels are left out (input to be parsed)."""
        self.learn_(word for sentence in sentences for word in sentence.words)
        encoded = [self._encode(sentence, vocabulary) for sentence in sentences]
        long = [e.sentence.place for e in encoded if len(e.windows) > 1]
        _warn("are longer than the encoder's limit and are read in overlapping windows", long, what="sentences")
        return encoded

    def _encode(self, sentence: Sentence, vocabulary: LabelVocabulary | None) -> Encoded:
        pieces = [self.known[word] for word in sentence.words]
        windows, first = self._windows(pieces)
        heads = np.full(len(pieces), UNKNOWN, dtype=np.int64)
        labels = np.full(len(pieces), UNKNOWN, dtype=np.int64)
        if vocabulary is not None:
            heads[:] = [UNKNOWN if head is None else head for head in sentence.heads]
            labels[:] = [UNKNOWN if label is None else vocabulary.index[label] for label in sentence.labels]
        return Encoded(sentence, windows, first, heads, labels)

    def _windows(self, pieces: Sequence[tuple[int, ...]]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        sizes = np.array([len(p) for p in pieces])
        starts = np.concatenate([[0], np.cumsum(sizes)])  # [words + 1]
        windows, offsets, depths = [], [], []
        length = 0
        for begin, end in _spans(starts, self.room):
            inner = [i for p in pieces[begin:end] for i in p]
            windows.append(np.array([*self.prefix, *inner, *self.suffix], dtype=np.int64))
            place = starts[:-1] - starts[begin]  # of each word in this window
            inside = (np.arange(len(pieces)) >= begin) & (np.arange(len(pieces)) < end)
            depths.append(np.where(inside, np.minimum(place + 1, starts[end] - starts[:-1]), 0))
            offsets.append(length + len(self.prefix) + place)
            length += len(windows[-1])
        deepest = np.argmax(np.stack(depths), axis=0)  # [words]
        return tuple(windows), np.stack(offsets)[deepest, np.arange(len(pieces))]


def _warn(fault: str, found: Sequence[str], *, what: str = "words") -> None:
    """Logs in one line what was met, the first five by name."""
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        shown = (repr(f[:40]) if what == "words" else f for f in found[:5])  # a sentence's place is told whole
        _log.warning("%d %s %s: %s%s", len(found), what, fault, ", ".join(shown), more)


def _spans(starts: np.ndarray, room: int) -> list[tuple[int, int]]:
    """Cuts words at `starts` into runs of at most `room` pieces, each beginning in the middle of the one before."""
    n = len(starts) - 1
    spans = []
    begin = 0
    while True:
        end = int(np.searchsorted(starts, starts[begin] + room, side="right")) - 1
        spans.append((begin, end))
        if end >= n:
            return spans
        middle = int(np.searchsorted(starts, (starts[begin] + starts[end]) // 2, side="left"))
        begin = min(max(middle, begin + 1), end)
