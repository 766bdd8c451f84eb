"""What LAS to expect on new text, estimated from the support set itself. Needs no torch.

Each sentence is parsed by parsers that were adapted to the others (cross-validation). Three things keep the mean of that from
being the answer. The folds train on fewer sentences than the parser that the user gets: the gain over no adaptation is
stretched to the whole set along a curve. Words of one sentence are right or wrong together: the interval is over sentences,
by the variance of a ratio with sentences as clusters (Cochran 1977, section 6.4). And cross-validation tells how good
adaptation to such sentences is in the mean, not how good this one is (Bates, Hastie and Tibshirani 2021): the spread that
is left was measured on the four validation languages and comes on top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import base_relation
from sublingual.errors import DataError

LEVEL = 0.95
_NORMAL = 1e6  # degrees of freedom from which on Student's t is the normal distribution
_SIMPSON = np.array([1.0, *[4.0, 2.0] * 999, 4.0, 1.0])


@dataclass(frozen=True)
class Calibration:
    """Constants of early runs on the validation languages; a later fit is less careful; no test had a say (docs/log.md).

    curve: the gain from n sentences goes as log(1 + n / curve). spread: standard deviation, in LAS, of a parser's true score
    around the estimate beyond what the sampling of its sentences explains.
    """

    curve: float = 3.0
    spread: float = 2.0

    def stretch(self, n: int, *, of: float) -> float:
        """Returns how many times the gain from `of` sentences that from `n` is.

        >>> round(Calibration(curve=3.0).stretch(20, of=16.0), 2)
        1.1
        """
        return math.log1p(n / self.curve) / math.log1p(of / self.curve)


@dataclass(frozen=True)
class Fold:
    """Sentences that are parsed by a parser adapted to all others; a repetition is a new cut into folds, and a new seed."""

    repetition: int
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class HeldOut:
    """A support sentence as parsed without having been seen, and the probability that each word's head and label are right."""

    heads: tuple[int, ...]
    labels: tuple[str, ...]
    sure: tuple[float, ...]


@dataclass(frozen=True)
class Sample:
    """What came out for each support sentence: the words that count, how many were right, and on how many it was trained.

    words: those with head and label; zero_shot: right without adaptation; right: right when held out, the mean over the
    repetitions; n_train: the sentences that it was adapted to then, in the mean. What was never held out is not in it.
    """

    words: Float[np.ndarray, " sentences"]
    zero_shot: Float[np.ndarray, " sentences"]
    right: Float[np.ndarray, " sentences"]
    n_train: Float[np.ndarray, " sentences"]


@dataclass(frozen=True)
class Estimate:
    """The LAS to expect of a parser on new sentences like those of its support set, in per cent.

    las: after adaptation to all n sentences; low, high: its 95 % interval; zero_shot: that of the parser before, on the same
    sentences; raw: the mean of the folds, not corrected for their smaller training sets. n_sentences and n_words are those
    that were held out.
    """

    las: float
    low: float
    high: float
    zero_shot: float
    raw: float
    n_sentences: int
    n_words: int

    @property
    def margin(self) -> float:
        """Half the width of the interval, the wider half where it was cut at 0 or 100."""
        return max(self.las - self.low, self.high - self.las)


def folds(
    sentences: Sequence[Sentence], *, n_folds: int, repetitions: int, generator: np.random.Generator
) -> tuple[Fold, ...]:
    """Returns cuts of the sentences into folds of about the same number of words, one cut a repetition.

    Sentences of the same words are held out together, so that none is in its own training set; those without a word that
    counts are always trained on. With fewer different sentences than folds each is a fold. Raises DataError for fewer than
    two, of which none can be held out.
    """
    groups = _groups(sentences)
    if len(groups) < 2:
        raise DataError(
            f"{len(groups)} annotated sentences that differ: an estimate needs two or more; annotate more (or --no-estimate)"
        )
    k = min(n_folds, len(groups))
    sizes = [sum(len(sentences[i].words) for i in group) for group in groups]
    found = []
    for repetition in range(repetitions):
        order = generator.permutation(len(groups)).tolist()
        order.sort(key=sizes.__getitem__, reverse=True)  # stable: those of one size stay in random order
        cut: list[list[int]] = [[] for _ in range(k)]
        for at in range(0, len(order), k):  # of k sentences of about one length each fold gets one
            block = order[at : at + k]
            for fold, group in zip(generator.permutation(k).tolist(), block, strict=False):
                cut[fold] += groups[group]
        found += [Fold(repetition, tuple(sorted(fold))) for fold in cut]
    return tuple(found)


def _groups(sentences: Sequence[Sentence]) -> list[list[int]]:
    """The places of the sentences that have a word that counts, those of the same words together."""
    by_words: dict[tuple[str, ...], list[int]] = {}
    for i, sentence in enumerate(sentences):
        if counted(sentence).any():
            by_words.setdefault(sentence.words, []).append(i)
    return list(by_words.values())


def counted(sentence: Sentence) -> Bool[np.ndarray, " words"]:
    """Returns which words are annotated with head and label: only these can be right or wrong."""
    pairs = zip(sentence.heads, sentence.labels, strict=True)
    return np.array([head is not None and label is not None for head, label in pairs], dtype=bool)


def right_words(
    gold: Sentence, heads: Sequence[int | None], labels: Sequence[str | None]
) -> Bool[np.ndarray, " words"]:
    """Returns which words have the gold head and label without its subtype, as LAS counts them; False where none counts."""
    found = zip(gold.heads, gold.labels, heads, labels, strict=True)
    return np.array(
        [
            head is not None
            and label is not None
            and head == own
            and base_relation(label) == base_relation(other or "")
            for head, label, own, other in found
        ],
        dtype=bool,
    )


def estimate(sample: Sample, *, n: int, calibration: Calibration | None = None) -> Estimate:
    """Returns the LAS to expect after adaptation to all `n` sentences.

    The interval is symmetric but for 0 and 100. Raises DataError for fewer than two sentences.
    """
    if len(sample.words) < 2:
        raise DataError(f"{len(sample.words)} held-out sentences: an interval needs two or more")
    measured = calibration or Calibration()
    n_words = float(sample.words.sum())
    gain = sample.right - sample.zero_shot
    stretch = np.array([measured.stretch(n, of=float(of)) for of in sample.n_train])
    stretched = sample.zero_shot + stretch * gain if gain.sum() > 0 else sample.right
    las = float(stretched.sum()) / n_words
    margin = _margin(stretched, sample.words, spread=measured.spread / 100)
    return Estimate(
        las=100 * min(max(las, 0.0), 1.0),
        low=100 * max(las - margin, 0.0),
        high=100 * min(las + margin, 1.0),
        zero_shot=100 * float(sample.zero_shot.sum()) / n_words,
        raw=100 * float(sample.right.sum()) / n_words,
        n_sentences=len(sample.words),
        n_words=int(n_words),
    )


def _margin(right: Float[np.ndarray, " sentences"], words: Float[np.ndarray, " sentences"], *, spread: float) -> float:
    """Half the interval's width: Student's t, whose degrees of freedom are Satterthwaite's, the spread taken as known."""
    variance = ratio_variance(right, words)
    free = effective_number(words) - 1
    total = variance + spread**2
    return t_quantile(0.5 + LEVEL / 2, free=free * (total / variance) ** 2 if variance else math.inf) * math.sqrt(total)


def ratio_variance(right: Float[np.ndarray, " sentences"], words: Float[np.ndarray, " sentences"]) -> float:
    """Returns the variance of sum(right) / sum(words) over draws of the sentences."""
    n, ratio = len(words), right.sum() / words.sum()
    return float(n / (n - 1) * ((right - ratio * words) ** 2).sum() / words.sum() ** 2)


def effective_number(words: Float[np.ndarray, " sentences"]) -> float:
    """Returns how many sentences of one length say as much as these (Kish 1965); two at least."""
    return max(2.0, float(words.sum() ** 2 / (words**2).sum()))


def t_quantile(p: float, *, free: float) -> float:
    """Returns the quantile of Student's t, p from 0.5 to below 1; `free` (1 or more degrees of freedom) need not be whole."""
    free, low, high = min(free, _NORMAL), 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(middle, free) > 2 * (1 - p) else (low, middle)
    return math.sqrt(free) * math.tan(low)


def t_two_sided(t: float, *, free: float) -> float:
    """Returns how probable a Student's t as large as this is, either way."""
    free = min(free, _NORMAL)
    return min(1.0, _beyond(math.atan(abs(t) / math.sqrt(free)), free))


def _beyond(angle: float, free: float) -> float:
    """P(|t| > sqrt(free) tan(angle)): the density over the angle is that of cos(angle)^(free - 1), here by Simpson's rule."""
    height = 2 * math.exp(math.lgamma((free + 1) / 2) - math.lgamma(free / 2)) / math.sqrt(math.pi)
    end = min(math.pi / 2, angle + 12 / math.sqrt(free))
    values = np.cos(np.linspace(angle, end, len(_SIMPSON))).clip(min=0) ** (free - 1)
    return height * float(_SIMPSON @ values) * (end - angle) / (3 * (len(_SIMPSON) - 1))


def choose(right: Float[np.ndarray, "options sentences"], *, default: int = 0) -> int:
    """Returns the option with the most words right, but the default where the lead over it may be chance.

    A lead counts where it is more than one standard error, the sentences being paired: with twenty of them the best of many
    options is mostly the luckiest.
    """
    best = int(right.sum(axis=1).argmax())
    lead = right[best] - right[default]
    n = len(lead)
    error = math.sqrt(n / (n - 1) * float(((lead - lead.mean()) ** 2).sum())) if n > 1 else math.inf
    return best if lead.sum() > error else default
