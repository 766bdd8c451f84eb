"""Labels that training never or hardly showed (section 6, Table 3): which they are, and how often they are right.

Full labels, with their subtypes. Seen is what the files have that the parsers were trained on, found by their SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import numpy as np

from sublingual.analysis.cells import cells_of, compared_treebanks
from sublingual.analysis.details import TrainingFile
from sublingual.analysis.facts import Facts
from sublingual.analysis.intervals import Draw, Interval, SeedsGain, seeds_gain, seeds_interval
from sublingual.analysis.records import Run, by_system, full_of
from sublingual.errors import DataError, LanguageError
from sublingual.languages import resolve

RARE_BELOW = 0.001
"""A label is rare if it makes up a smaller share of the training words (section 6)."""

KINDS = ("unseen", "rare")


@dataclass(frozen=True)
class Right:
    """How one system did on some labels, over all runs.

    gold: their words; label: of these with the right full label; both: with the right head too. labels, languages: on how
    many of them any word is right in both. percent, sd, interval: of `both`, over all words, and over the training runs (over
    the supports of a single one). shares: by seed; gain: over the full system of its own loop.
    """

    gold: int
    label: int
    both: int
    labels: int
    languages: int
    sd: float | None
    interval: Interval | None
    shares: Mapping[object, float] = field(default_factory=dict)
    gain: SeedsGain | None = None

    @property
    def percent(self) -> float | None:
        return 100 * self.both / self.gold if self.gold else None

    @property
    def percent_label(self) -> float | None:
        """Per cent with the right label, whatever the head."""
        return 100 * self.label / self.gold if self.gold else None


@dataclass(frozen=True)
class LabelRow:
    """One label of the test data: how often training had it, its words in the test data once, and how each system did."""

    label: str
    kind: str
    n_training: int
    n_test: int
    languages: tuple[str, ...]
    systems: Mapping[str, Right]


@dataclass(frozen=True)
class LabelTable:
    """All labels of the test data by kind (unseen, rare, else common), and each system over the unseen and the rare ones."""

    rows: tuple[LabelRow, ...]
    systems: Mapping[str, Mapping[str, Right]]
    n_training_words: int
    training: tuple[TrainingFile, ...]

    def count(self, kind: str) -> int:
        """Returns how many labels are of that kind."""
        return sum(row.kind == kind for row in self.rows)

    def mean_over_labels(self, system: str, kind: str) -> float | None:
        """Returns the mean of the labels' per cent, in which each label counts alike, however many its words; None for none."""
        found = [row.systems[system].percent for row in self.rows if row.kind == kind]
        known = [percent for percent in found if percent is not None]
        return fmean(known) if known else None

    def most_of(self, kind: str) -> tuple[str, float] | None:
        """Returns the label that has most of the right words of a kind, all systems together, and its share of them."""
        right = {row.label: sum(own.both for own in row.systems.values()) for row in self.rows if row.kind == kind}
        total = sum(right.values())
        label = max(right, key=lambda name: right[name], default="")
        return (label, right[label] / total) if total else None


def label_table(
    runs: Sequence[Run], facts: Mapping[str, Facts], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> LabelTable:
    """Returns how the systems do on labels that are unseen or rare in the training files of all of them together.

    Like the other tables on the treebanks on which all of them are adapted; a system that nowhere is has no row.
    Raises DataError for records without a breakdown by label, and where the facts lack a training file.
    """
    lacking = [run for run in runs if run.details.breakdown is None or run.details.parser is None]
    if lacking or not runs:
        place = lacking[0].place if lacking else "no records"
        raise DataError(f"{place}: no breakdown by label; repeat these runs with `sublingual fewshot --records`")
    training = training_files(runs)
    seen = _counted(training, facts)
    total = sum(seen.values())
    own = _compared(runs)
    in_test = _in_test([run for of_system in own.values() for run in of_system])
    kinds = {label: _kind(seen[label], total) for label in sorted({label for own in in_test.values() for label in own})}
    draw = _Intervals(Draw(generator), n_resamples)
    rows = tuple(_row(label, kind, seen[label], in_test, own, draw) for label, kind in kinds.items())
    systems = {
        name: {kind: _right(of_system, [label for label, its in kinds.items() if its == kind], draw) for kind in KINDS}
        for name, of_system in own.items()
    }
    gains = {
        name: {
            kind: replace(own, gain=draw.gain(own, systems.get(full_of(name), {}).get(kind)))
            for kind, own in each.items()
        }
        for name, each in systems.items()
    }
    return LabelTable(rows, gains, total, training)


def training_files(runs: Sequence[Run]) -> tuple[TrainingFile, ...]:
    """Returns the files that the parsers of the runs were trained on, each once."""
    found: dict[str, TrainingFile] = {}
    for run in runs:
        for file in run.details.parser.data if run.details.parser is not None else ():
            if file.use == "train":
                found.setdefault(file.sha256, file)
    return tuple(found.values())


def languages_of(treebanks: Sequence[str]) -> tuple[str, ...]:
    """Returns the codes of the treebanks' languages, each once; a treebank of no known language stands for itself."""
    return tuple(dict.fromkeys(_language(treebank) for treebank in treebanks))


def _language(treebank: str) -> str:
    try:
        return resolve(treebank).code
    except LanguageError:
        return treebank


def _counted(training: Sequence[TrainingFile], facts: Mapping[str, Facts]) -> Counter[str]:
    known = {file.sha256: file for each in facts.values() for split in each.splits.values() for file in split.files}
    if absent := [file.name for file in training if file.sha256 not in known]:
        raise DataError(
            f"no facts of {len(absent)} files that the parsers were trained on ({', '.join(dict.fromkeys(absent))}): write "
            f"them with `sublingual data facts FILE {' '.join(dict.fromkeys(absent))}` and name that file too"
        )
    counted: Counter[str] = Counter()
    for file in training:
        counted.update(known[file.sha256].labels)
    return counted


def _kind(n: int, total: int) -> str:
    if n == 0:
        return "unseen"
    return "rare" if n < RARE_BELOW * total else "common"


def _compared(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs by system on the treebanks that are compared."""
    cells, systems = cells_of(runs), by_system(runs)
    compared = compared_treebanks(cells)
    adapted = [name for name, own in cells.items() if any(cell.las is not None for cell in own.values())]
    return {name: [run for run in systems[name] if run.treebank in compared] for name in adapted}


def _in_test(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    """The gold words of each label by treebank: the most that a run scored, since supports differ."""
    found: dict[str, dict[str, int]] = {}
    for run in runs:
        assert run.details.breakdown is not None
        own = found.setdefault(run.treebank, {})
        for label, counts in run.details.breakdown.labels.items():
            own[label] = max(own.get(label, 0), counts[0])
    return found


def _row(
    label: str,
    kind: str,
    n_training: int,
    in_test: Mapping[str, Mapping[str, int]],
    own: Mapping[str, Sequence[Run]],
    draw: _Intervals,
) -> LabelRow:
    treebanks = [treebank for treebank, counts in in_test.items() if label in counts]
    n_test = sum(in_test[treebank][label] for treebank in treebanks)
    systems = {name: _right(runs, [label], draw) for name, runs in own.items()}
    return LabelRow(label, kind, n_training, n_test, languages_of(treebanks), systems)


def _right(runs: Sequence[Run], labels: Sequence[str], draw: _Intervals) -> Right:
    """Of all words with one of these labels."""
    gold = label_right = both = 0
    is_trained_anew = len({run.training_seed for run in runs}) > 1
    by_seed: dict[object, list[int]] = {}
    labels_right, languages = set(), set()
    for run in runs:
        assert run.details.breakdown is not None
        pair = by_seed.setdefault(run.training_seed if is_trained_anew else run.support_seed, [0, 0])
        for label in labels:
            counts = run.details.breakdown.labels.get(label, (0, 0, 0, 0))
            gold, label_right, both = gold + counts[0], label_right + counts[2], both + counts[3]
            pair[0], pair[1] = pair[0] + counts[0], pair[1] + counts[3]
            if counts[3]:
                labels_right.add(label)
                languages.add(_language(run.treebank))
    shares = {seed: 100 * right / n for seed, (n, right) in by_seed.items() if n}
    sd = stdev(shares.values()) if len(shares) > 1 else None
    found = len(labels_right), len(languages)
    return Right(gold, label_right, both, *found, sd, draw([*shares.values()]), shares)


@dataclass(frozen=True)
class _Intervals:
    """The interval of a mean over seeds."""

    draw: Draw
    n_resamples: int

    def __call__(self, shares: Sequence[float]) -> Interval | None:
        return seeds_interval(shares, draw=self.draw, n_resamples=self.n_resamples)

    def gain(self, own: Right, full: Right | None) -> SeedsGain | None:
        """By how much it is above the full system, which has none over itself."""
        if full is None or full is own:
            return None
        return seeds_gain(own.shares, full.shares, draw=self.draw, n_resamples=self.n_resamples)
