"""Gold and parsed sentences -> UAS, LAS and CLAS as the CoNLL 2018 shared task counts them, for gold words.

Zeman et al. 2018, section 6: relation subtypes are ignored, punctuation counts, CLAS looks at content relations only.
With the same words on both sides counting is a comparison of arrays; `official_score` asks the official scorer itself.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from sublingual.data.conllu import Sentence
from sublingual.data.rules import cycles
from sublingual.data.textfiles import read_text
from sublingual.errors import ConfigError, DataError

MetricName = Literal["uas", "las", "clas", "las_full", "label", "label_full"]
_OTHER_WORDS = "score parses of the gold words, or use --official, which aligns others"
METRICS: tuple[MetricName, ...] = ("uas", "las", "clas", "las_full", "label", "label_full")

# The official list: a relation that is neither here nor functional (punct, an invented one) is no content relation.
CONTENT_RELATIONS = frozenset(
    {"nsubj", "obj", "iobj", "csubj", "ccomp", "xcomp", "obl", "vocative", "expl", "dislocated", "advcl", "advmod"}
    | {"discourse", "nmod", "appos", "nummod", "acl", "amod", "conj", "fixed", "flat", "compound", "list", "parataxis"}
    | {"orphan", "goeswith", "reparandum", "root", "dep"}
)

COUNTS = np.dtype([(name, np.int64) for name in ("words", "content_gold", "content_system", *METRICS)])
"""One record a sentence: its words, its content words by the gold and by the system's labels, and what is correct."""


@dataclass(frozen=True)
class Metric:
    """The counts of one metric, and its rates in per cent.

    correct: words that both sides have alike; gold, system: words that count on each side; aligned: words of the gold
    side that count and have a counterpart (with gold words: all that count; None where the official scorer has none).
    """

    correct: int
    gold: int
    system: int
    aligned: int | None

    @property
    def precision(self) -> float:
        return 100 * self.correct / self.system if self.system else 0.0

    @property
    def recall(self) -> float:
        return 100 * self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 200 * self.correct / (self.gold + self.system) if self.gold + self.system else 0.0


@dataclass(frozen=True)
class Score:
    """The scores of a file.

    uas: head; las: head and label without its subtype; clas: as las, words with content relations only.
    Not official: las_full: head and full label; label, label_full: the label alone, without and with its subtype.
    """

    n_sentences: int
    n_words: int
    uas: Metric
    las: Metric
    clas: Metric
    las_full: Metric
    label: Metric
    label_full: Metric

    @classmethod
    def from_counts(cls, counts: np.ndarray) -> Score:
        """Return the scores of the sentences whose counts (of dtype COUNTS) are given."""
        total = {name: int(counts[name].sum()) for name in COUNTS.fields or ()}
        words = total["words"]
        metrics = {name: Metric(total[name], words, words, words) for name in METRICS}
        content = total["content_gold"]
        metrics["clas"] = Metric(total["clas"], content, total["content_system"], content)
        return cls(n_sentences=len(counts), n_words=words, **metrics)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON: for each metric its counts, precision, recall and F1 in per cent."""
        plain: dict[str, Any] = {"n_sentences": self.n_sentences, "n_words": self.n_words}
        for name in METRICS:
            metric: Metric = getattr(self, name)
            rates = {"precision": metric.precision, "recall": metric.recall, "f1": metric.f1}
            plain[name] = asdict(metric) | rates
        return plain


def score(gold: Sequence[Sentence], system: Sequence[Sentence]) -> Score:
    """Return the scores of `system` against `gold`, which must have the same sentences and words.

    As the official scorer does, it refuses trees with a cycle or without a single root, on either side. Raises
    DataError, which names the sentence.

    >>> gold = [Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["nsubj", "root"])]
    >>> parsed = [Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["obj", "root"])]
    >>> score(gold, parsed).las.f1
    50.0
    """
    return Score.from_counts(sentence_counts(gold, system))


def sentence_counts(gold: Sequence[Sentence], system: Sequence[Sentence]) -> np.ndarray:
    """Return one record of dtype COUNTS for each sentence; what `score` sums up. See there."""
    _check_same_words(gold, system)
    starts = np.cumsum([0, *(len(sentence.words) for sentence in gold)])  # [sentences + 1]
    gold_heads, system_heads = _heads(gold, starts, side="gold"), _heads(system, starts, side="system")
    relations = _Relations(chain.from_iterable(sentence.labels for sentence in chain(gold, system)))
    gold_labels, system_labels = relations.numbers(gold, side="gold"), relations.numbers(system, side="system")
    gold_content, system_content = relations.content[gold_labels], relations.content[system_labels]
    head = gold_heads == system_heads  # [words]
    label = relations.base[gold_labels] == relations.base[system_labels]
    label_full = gold_labels == system_labels
    correct = {
        "words": np.ones(len(head), dtype=bool),
        "content_gold": gold_content,
        "content_system": system_content,
        "uas": head,
        "las": head & label,
        "clas": head & label & gold_content,
        "las_full": head & label_full,
        "label": label,
        "label_full": label_full,
    }
    counts = np.empty(len(gold), dtype=COUNTS)
    for name, flags in correct.items():
        counts[name] = _sums(flags, starts)
    return counts


def signature(metric: str = "las") -> str:
    """Return the line that says how a number was counted, to be printed beside it, as sacreBLEU does.

    >>> signature().rpartition("|")[0]
    'LAS|conll18|gold-tokens|subtypes:off|punct:on|single-root'
    """
    if metric not in METRICS:
        raise ConfigError(f"metric {metric!r}: one of {', '.join(METRICS)} is allowed")
    fields = [metric.removesuffix("_full").upper(), "conll18", "gold-tokens"]
    if metric != "uas":
        fields.append("subtypes:on" if metric.endswith("_full") else "subtypes:off")
    fields.append("punct:off" if metric == "clas" else "punct:on")
    return "|".join([*fields, "single-root", f"v:{version('sublingual')}"])


def official_score(gold_path: Path | str, system_path: Path | str) -> Mapping[str, Metric]:
    """Return udtools' own counts of two CoNLL-U files, by the names that it prints (UAS, LAS, CLAS, MLAS, BLEX, ...).

    It aligns words itself, so the files may differ in them. Raises ConfigError where udtools is not installed and
    DataError for a file that cannot be read and, with udtools' words, for what it refuses.
    """
    try:
        from udtools import udeval  # an extra, under another licence; and its import takes a second
    except ImportError as error:
        raise ConfigError("udtools, the official scorer, is missing: pip install 'sublingual[official]'") from error
    loaded = []
    for path in (gold_path, system_path):
        text = io.StringIO(read_text(path).checked())
        try:
            loaded.append(udeval.load_conllu(text, str(path), {}))
        except (udeval.UDError, ValueError, IndexError, RecursionError) as error:
            raise DataError(
                f"{path}: refused by the official scorer: {error}; see `sublingual check {path}`"
            ) from error
    try:
        evaluation = udeval.evaluate(*loaded)
    except udeval.UDError as error:
        raise DataError(f"{system_path}: the official scorer cannot align it with {gold_path}: {error}") from error
    return {
        name: Metric(found.correct, found.gold_total, found.system_total, found.aligned_total)
        for name, found in evaluation.items()
    }


def _check_same_words(gold: Sequence[Sentence], system: Sequence[Sentence]) -> None:
    """Raise DataError at the first sentence whose words are not the same on both sides."""
    for one, other in zip(gold, system, strict=False):
        if one.words is not other.words and not _are_same_words(one.words, other.words):
            raise DataError(f"{other.place}: not the words of gold sentence {one.place}: {_difference(one, other)}")
    if len(gold) != len(system):
        first = max(gold, system, key=len)[min(len(gold), len(system))]
        raise DataError(
            f"{first.place}: the first sentence without a counterpart, gold has {len(gold)} sentences and system "
            f"{len(system)}; score a parse of the whole gold file"
        )


def _are_same_words(words: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether the forms are equal; spaces inside (category Zs) do not count, as the official scorer has it."""
    return words == others or list(map(_without_spaces, words)) == list(map(_without_spaces, others))


def _without_spaces(form: str) -> str:
    return "".join(character for character in form if unicodedata.category(character) != "Zs")


def _difference(one: Sentence, other: Sentence) -> str:
    """Return what the first difference between the words of two sentences is."""
    for position, (form, system_form) in enumerate(zip(one.words, other.words, strict=False), start=1):
        if _without_spaces(form) != _without_spaces(system_form):
            return f"word {position} is {system_form!r}, in gold {form!r}; {_OTHER_WORDS}"
    return f"{len(other.words)} words, in gold {len(one.words)}; {_OTHER_WORDS}"


def _heads(sentences: Sequence[Sentence], starts: Int[np.ndarray, " ends"], *, side: str) -> Int[np.ndarray, " words"]:
    """Return the heads of all words in one array; raise DataError where they are no single-root trees."""
    try:
        heads = np.fromiter(chain.from_iterable(sentence.heads for sentence in sentences), np.int64, int(starts[-1]))
    except TypeError:
        _refuse_unannotated(sentences, "heads", side=side)
        raise
    lengths = np.diff(starts)  # [sentences]
    outside = heads > np.repeat(lengths, lengths)  # a Sentence has no negative heads
    parent = np.zeros(len(heads) + 1, dtype=np.int64)  # node i + 1 is word i of the file, node 0 every sentence's root
    parent[1:] = np.where((heads == 0) | outside, 0, np.repeat(starts[:-1], lengths) + heads)
    for _ in range(int(lengths.max(initial=0)).bit_length()):  # each round doubles the height that is climbed
        parent = parent[parent]
    no_tree = (_sums(heads == 0, starts) != 1) | (_sums(outside | (parent[1:] > 0), starts) > 0)
    if no_tree.any():
        sentence = sentences[int(no_tree.argmax())]
        raise DataError(
            f"{sentence.place}: no single-root tree in {side}, {_tree_fault(sentence.heads)}; the official scorer "
            f"refuses such trees, and `sublingual check` on the file lists them all"
        )
    return heads


def _tree_fault(heads: Sequence[int | None]) -> str:
    """Return what keeps these heads from being a tree with one root."""
    known = [head or 0 for head in heads]
    if max(known) > len(known):
        return f"head {max(known)} but the sentence has {len(known)} words"
    if found := cycles(known):
        return f"words {', '.join(map(str, found[0][:20]))} form a cycle"
    return f"{known.count(0)} words have head 0"


def _refuse_unannotated(sentences: Sequence[Sentence], column: Literal["heads", "labels"], *, side: str) -> None:
    """Raise DataError at the first sentence that has a word without a head or a label."""
    name = {"heads": "HEAD", "labels": "DEPREL"}[column]
    for sentence in sentences:
        values = getattr(sentence, column)
        if None in values:
            word = values.index(None) + 1
            raise DataError(
                f"{sentence.place}: word {word} has no {name} in {side}; scoring needs every word annotated"
            )


def _sums(flags: Bool[np.ndarray, " words"], starts: Int[np.ndarray, " ends"]) -> Int[np.ndarray, " sentences"]:
    """Return how many flags are set in each sentence."""
    running = np.concatenate([[0], np.cumsum(flags)])
    sums: Int[np.ndarray, " sentences"] = running[starts[1:]] - running[starts[:-1]]
    return sums


class _Relations:
    """The relations of a file as numbers: `base` maps each to that of its universal part, `content` tells the kind."""

    def __init__(self, labels: Iterable[str | None]) -> None:
        self.index = {label: number for number, label in enumerate(set(labels))}
        universal = [(label or "").partition(":")[0] for label in self.index]
        base_index = {label: number for number, label in enumerate(dict.fromkeys(universal))}
        self.base = np.array([base_index[label] for label in universal], dtype=np.int64)
        self.content = np.array([label in CONTENT_RELATIONS for label in universal], dtype=bool)

    def numbers(self, sentences: Sequence[Sentence], *, side: str) -> Int[np.ndarray, " words"]:
        """Return the full label of each word; raise DataError where one has none."""
        if None in self.index:
            _refuse_unannotated(sentences, "labels", side=side)
        labels = chain.from_iterable(sentence.labels for sentence in sentences)
        return np.fromiter(map(self.index.__getitem__, labels), np.int64)
