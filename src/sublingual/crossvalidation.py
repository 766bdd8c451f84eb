"""Cross-validation on a support set: what to expect of adaptation, and which settings to adapt with.

A run adapts to some of the sentences and parses the others, at several steps on its way if asked to. Finished runs are kept in
a journal; a run that would end after the time limit is not begun, and one that lasts beyond it is given up.

Choosing is nested (Varma and Simon 2006): a fold is scored with the settings that were chosen without it. For that, a fold k
and a fold j are left out together, and the one run serves both choices: k's, scored on j, and j's, scored on k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from time import monotonic

import numpy as np
from jaxtyping import Float

from sublingual.adaptation import adapt
from sublingual.candidates import Setting
from sublingual.confidence import confident
from sublingual.data.conllu import Sentence
from sublingual.estimate import Fold, HeldOut, Sample, choose, counted, folds, right_words
from sublingual.journal import Journal
from sublingual.parsing import Parser

FOLDS, REPETITIONS, NESTED_FOLDS = 5, 3, 4


@dataclass(frozen=True)
class Ran:
    """One run: the sentences that it left out, by the number of steps and the place in the support set."""

    parsed: dict[int, dict[int, HeldOut]]
    n_train: int
    seconds: float


@dataclass(frozen=True)
class Validated:
    """What cross-validation gave.

    parsed: each sentence's tree of the first repetition that held it out, by its place. n_done and n_planned count folds over
    all repetitions; n_repetitions are those that were begun. seconds: of all runs.
    """

    sample: Sample
    parsed: dict[int, HeldOut]
    n_folds: int
    n_repetitions: int
    n_done: int
    n_planned: int
    seconds: float


@dataclass(frozen=True)
class Option:
    """A setting and a number of steps, and the LAS that it has in cross-validation."""

    setting: Setting
    steps: int
    las: float

    @property
    def name(self) -> str:
        return f"{self.setting.name}, {self.steps} steps"


@dataclass(frozen=True)
class Choice:
    """The option that was chosen out of those tried, and what to expect of choosing so (nested cross-validation)."""

    chosen: Option
    options: tuple[Option, ...]
    n_left_out: int
    validated: Validated


class OutOfTimeError(Exception):
    """Nothing more can be done within the limit."""


@dataclass
class Runs:
    """Makes the runs of one support set within a limit of seconds, those of earlier processes counted in.

    `progress` is told the gradient steps that were taken. Raises OutOfTimeError from `run`.
    """

    sentences: Sequence[Sentence]
    seed: int
    limit: float
    journal: Journal
    progress: Callable[[int], None] = lambda _: None
    _seconds: dict[str, float] = field(default_factory=dict)
    _longest: dict[int, float] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """The seconds of all runs that were asked for."""
        return sum(self._seconds.values(), 0.0)

    def run(self, setting: Setting, held_out: Sequence[int], *, repetition: int = 0) -> Ran:
        """Returns what the setting makes of the sentences at these places, adapted to the others."""
        name = f"{setting.name}/{','.join(map(str, setting.steps))}/{repetition}/{','.join(map(str, held_out))}"
        kept = self.journal.get(name)
        if kept is None:
            kept = self._new(setting, held_out, repetition)
            self.journal.put(name, kept)
        else:
            self.progress(max(setting.steps))
        self._seconds[name] = kept["seconds"]
        self._longest[max(setting.steps)] = max(kept["seconds"], self._longest.get(max(setting.steps), 0.0))
        parsed = {
            int(steps): {int(i): HeldOut(*map(tuple, columns)) for i, columns in trees.items()}
            for steps, trees in kept["parsed"].items()
        }
        return Ran(parsed, len(self.sentences) - len(held_out), kept["seconds"])

    def _new(self, setting: Setting, held_out: Sequence[int], repetition: int) -> dict[str, object]:
        """One run, as the journal keeps it."""
        if self.spent + self._longest.get(max(setting.steps), 0.0) > self.limit:
            raise OutOfTimeError
        began = monotonic()
        rest = [s for i, s in enumerate(self.sentences) if i not in set(held_out)]
        asked = [self.sentences[i] for i in held_out]
        parsed: dict[str, dict[str, tuple[tuple[object, ...], ...]]] = {}

        def look(step: int, parser: Parser) -> None:
            if step in setting.steps:
                found = confident(parser, asked)
                trees = [(c.sentence.heads, c.sentence.labels, tuple(c.words.round(4).tolist())) for c in found]
                parsed[str(step)] = dict(zip(map(str, held_out), trees, strict=True))

        def watch(step: int, parser: Parser) -> None:
            self.progress(1)
            if monotonic() - began > self.limit - self.spent:
                raise OutOfTimeError
            look(step, parser)

        look(0, setting.unadapted)
        config = setting.at(max(setting.steps))
        adapt(setting.parser, rest, config=config, seed=self.seed + repetition, gates=setting.gates, watch=watch)
        return {"parsed": parsed, "seconds": monotonic() - began}


def planned_folds(runs: Runs, *, n_folds: int = FOLDS, repetitions: int = REPETITIONS) -> tuple[Fold, ...]:
    """Returns how the support set is cut; more repetitions begin with those of fewer."""
    return folds(runs.sentences, n_folds=n_folds, repetitions=repetitions, generator=np.random.default_rng(runs.seed))


def n_nested_runs(runs: Runs, *, n_folds: int = NESTED_FOLDS) -> int:
    """Returns how many runs `chosen` makes of each setting."""
    n = len(planned_folds(runs, n_folds=n_folds, repetitions=1))
    return n + (n * (n - 1) // 2 if n > 2 else 0)


def in_time(setting: Setting, runs: Runs, planned: Sequence[Fold]) -> Iterator[tuple[Fold, Ran]]:
    """Yields what the setting makes of each fold until the time is up."""
    for fold in planned:
        try:
            yield fold, runs.run(setting, fold.held_out, repetition=fold.repetition)
        except OutOfTimeError:
            return


def cross_validate(
    setting: Setting, runs: Runs, *, n_folds: int = FOLDS, repetitions: int = REPETITIONS
) -> Validated | None:
    """Returns what the folds gave that were done in time; None where it was fewer than two.

    Raises DataError for a support set that has not two different annotated sentences.
    """
    planned = planned_folds(runs, n_folds=n_folds, repetitions=repetitions)
    done = list(in_time(setting, runs, planned))
    if len(done) < 2:
        return None
    steps = setting.steps[0]
    trees = [(i, parsed, ran.n_train) for _, ran in done for i, parsed in ran.parsed[steps].items()]
    return _validated(setting, runs, trees, done=len(done), planned=planned)


def _validated(
    setting: Setting,
    runs: Runs,
    trees: Sequence[tuple[int, HeldOut, int]],
    *,
    done: int,
    planned: Sequence[Fold],
) -> Validated:
    first: dict[int, HeldOut] = {}
    for i, parsed, _ in trees:
        first.setdefault(i, parsed)
    return Validated(
        sample=_sample(setting, runs.sentences, trees),
        parsed=first,
        n_folds=sum(fold.repetition == 0 for fold in planned),
        n_repetitions=1 + planned[done - 1].repetition,
        n_done=done,
        n_planned=len(planned),
        seconds=runs.spent,
    )


def _sample(setting: Setting, sentences: Sequence[Sentence], trees: Sequence[tuple[int, HeldOut, int]]) -> Sample:
    """The counts of all sentences that were held out, zero-shot ones added."""
    places = sorted({i for i, _, _ in trees})
    unadapted = setting.unadapted.parse([sentences[i] for i in places])
    columns = []
    for i, before in zip(places, unadapted, strict=True):
        own = [(_n_right(sentences[i], parsed), n_train) for j, parsed, n_train in trees if j == i]
        right = right_words(sentences[i], before.heads, before.labels)
        columns.append((counted(sentences[i]).sum(), right.sum(), *np.mean(own, axis=0)))
    return Sample(*np.array(columns, dtype=np.float64).T)


def _n_right(gold: Sentence, parsed: HeldOut) -> int:
    return int(right_words(gold, parsed.heads, parsed.labels).sum())


def chosen(settings: Sequence[Setting], runs: Runs, *, n_folds: int = NESTED_FOLDS) -> Choice | None:
    """Returns the setting and steps that suit the sentences best, out of those for which the time sufficed.

    The first setting with its first number of steps is the default, which stays unless another is better by more
    than a standard error (`estimate.choose`); with two folds, which leave nothing to choose by, it stays. None where the
    time did not even suffice to cross-validate it. Raises DataError as `cross_validate` does.
    """
    cut = planned_folds(runs, n_folds=n_folds, repetitions=1)
    table = _Table(len(runs.sentences), cut)
    tried: list[Setting] = []
    try:
        for setting in settings if len(cut) > 2 else settings[:1]:
            table.add_(setting, runs)
            tried.append(setting)
    except OutOfTimeError:
        pass
    if not tried:
        return _default(settings, runs, n_folds)
    options = [(setting, steps) for setting in tried for steps in setting.steps]
    best, trees = table.chosen(options if len(cut) > 2 else options[:1], runs.sentences)
    las = [100 * n / table.n_words(runs.sentences) for n in table.right(options, runs.sentences).sum(axis=1)]
    found = tuple(Option(*option, las=value) for option, value in zip(options, las, strict=True))
    validated = _validated(found[best].setting, runs, trees, done=len(cut), planned=cut)
    return Choice(found[best], found, len(settings) - len(tried), validated)


def _default(settings: Sequence[Setting], runs: Runs, n_folds: int) -> Choice | None:
    """The first setting, unchosen: what is there of its folds."""
    validated = cross_validate(settings[0], runs, n_folds=n_folds, repetitions=1)
    if validated is None:
        return None
    sample = validated.sample
    option = Option(settings[0], settings[0].steps[0], 100 * float(sample.right.sum() / sample.words.sum()))
    return Choice(option, (option,), len(settings) - 1, validated)


class _Table:
    """The runs of all settings that were tried: each fold left out alone, and each pair of folds."""

    def __init__(self, n_sentences: int, cut: Sequence[Fold]) -> None:
        self.n_sentences, self.cut = n_sentences, cut
        self.alone: dict[tuple[str, int], Ran] = {}
        self.pairs: dict[tuple[str, int, int], Ran] = {}

    def add_(self, setting: Setting, runs: Runs) -> None:
        """Makes the setting's runs."""
        for k, fold in enumerate(self.cut):
            self.alone[setting.name, k] = runs.run(setting, fold.held_out)
        for j, k in combinations(range(len(self.cut)), 2) if len(self.cut) > 2 else ():
            both = tuple(sorted(self.cut[j].held_out + self.cut[k].held_out))
            self.pairs[setting.name, j, k] = runs.run(setting, both)

    def n_words(self, sentences: Sequence[Sentence]) -> int:
        return sum(int(counted(sentences[i]).sum()) for fold in self.cut for i in fold.held_out)

    def right(
        self, options: Sequence[tuple[Setting, int]], sentences: Sequence[Sentence], *, without: int | None = None
    ) -> Float[np.ndarray, "options sentences"]:
        """The words right of each sentence when held out; with `without`, by runs that saw nothing of that fold either."""
        found = np.zeros((len(options), self.n_sentences))
        for row, (setting, steps) in zip(found, options, strict=True):
            for k, fold in enumerate(self.cut):
                if k == without:
                    continue
                pair = (min(k, without), max(k, without)) if without is not None else None
                ran = self.alone[setting.name, k] if pair is None else self.pairs[setting.name, *pair]
                for i in fold.held_out:
                    row[i] = _n_right(sentences[i], ran.parsed[steps][i])
        return found

    def chosen(
        self, options: Sequence[tuple[Setting, int]], sentences: Sequence[Sentence]
    ) -> tuple[int, list[tuple[int, HeldOut, int]]]:
        """The option that is chosen by all folds, and each fold's trees by the option that is chosen without it."""
        trees = []
        for k, fold in enumerate(self.cut):
            seen = [i for other in self.cut if other is not fold for i in other.held_out]
            own = 0 if len(options) == 1 else choose(self.right(options, sentences, without=k)[:, seen])
            setting, steps = options[own]
            ran = self.alone[setting.name, k]
            trees += [(i, ran.parsed[steps][i], ran.n_train) for i in fold.held_out]
        everywhere = [i for fold in self.cut for i in fold.held_out]
        return choose(self.right(options, sentences)[:, everywhere]), trees
