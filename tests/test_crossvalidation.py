"""Cross-validation against plain loops of `adapt` and `parse`; limits, resumption, nested choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sublingual import crossvalidation
from sublingual.adaptation import AdaptConfig, adapt
from sublingual.candidates import Setting, readied
from sublingual.crossvalidation import Runs, chosen, cross_validate, n_nested_runs, planned_folds
from sublingual.data.conllu import Sentence
from sublingual.estimate import choose
from sublingual.journal import Journal
from sublingual.parsing import Parser
from sublingual.scoring import sentence_counts

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

CONFIG = AdaptConfig(steps=3, precision="fp32", encoder_rate=1e-2, classifier_rate=5e-2)
Make = Callable[..., "Runs"]


@pytest.fixture
def support(demo: Callable[..., list[Sentence]]) -> list[Sentence]:
    return demo("Swedish", 9)


@pytest.fixture
def parser(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser(dropout=True))


@pytest.fixture
def setting(parser: Parser, support: list[Sentence]) -> Setting:
    return readied(Setting("plain", parser, CONFIG, steps=(3,)), support)


@pytest.fixture
def runs(support: list[Sentence], tmp_path: Path) -> Make:
    def make(*, limit: float = 1e9, purpose: int = 0) -> Runs:
        return Runs(support, 4, limit, Journal(tmp_path / "folds.json", purpose={"n": purpose}))

    return make


@pytest.fixture
def adaptations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of sentences of each adaptation that is made from now on."""
    made: list[int] = []

    def spied(parser: Parser, support: list[Sentence], **options: Any) -> Any:
        made.append(len(support))
        return adapt(parser, support, **options)

    monkeypatch.setattr(crossvalidation, "adapt", spied)
    return made


def las_right(
    setting: Setting, support: list[Sentence], held_out: tuple[int, ...], *, steps: int, seed: int
) -> dict[int, int]:
    """The words right of each held-out sentence, by a plain adaptation to the others."""
    rest = [s for i, s in enumerate(support) if i not in held_out]
    adapted = adapt(setting.parser, rest, config=replace(setting.config, steps=steps), seed=seed, gates=setting.gates)
    gold = [support[i] for i in held_out]
    return dict(zip(held_out, sentence_counts(gold, adapted.parser.parse(gold))["las"].tolist(), strict=True))


def test_the_counts_are_those_of_a_plain_loop(setting: Setting, support: list[Sentence], runs: Make) -> None:
    made = runs()
    found = cross_validate(setting, made, n_folds=3, repetitions=2)
    assert found is not None
    totals = np.zeros(9)
    for fold in planned_folds(made, n_folds=3, repetitions=2):
        for i, n in las_right(setting, support, fold.held_out, steps=3, seed=4 + fold.repetition).items():
            totals[i] += n
    assert found.sample.right.tolist() == (totals / 2).tolist()
    assert found.sample.words.tolist() == [len(s.words) for s in support]
    assert found.sample.zero_shot.tolist() == sentence_counts(support, setting.parser.parse(support))["las"].tolist()
    assert (found.n_folds, found.n_repetitions, found.n_done, found.n_planned) == (3, 2, 6, 6)
    assert set(found.sample.n_train) == {6.0}


def test_a_look_on_the_way_is_what_so_many_steps_give(setting: Setting, support: list[Sentence], runs: Make) -> None:
    ran = runs().run(replace(setting, steps=(2, 1, 3)), (0, 5))
    for steps in (1, 2, 3):
        expected = las_right(setting, support, (0, 5), steps=steps, seed=4)
        heads = {i: support[i].with_tree(p.heads, p.labels) for i, p in ran.parsed[steps].items()}
        assert {i: sentence_counts([support[i]], [tree])["las"][0] for i, tree in heads.items()} == expected


def test_no_steps_are_the_parser_as_it_was(setting: Setting, support: list[Sentence], runs: Make) -> None:
    found = cross_validate(replace(setting, steps=(0,)), runs(), n_folds=3, repetitions=1)
    assert found is not None
    assert found.sample.right.tolist() == found.sample.zero_shot.tolist()


def test_readied_parsers_have_the_pieces_of_all_sentences(
    tiny_parser: Callable[..., BiaffineParser], support: list[Sentence]
) -> None:
    trimmed = Parser(tiny_parser(keep=list(support[0].words)))
    ready = readied(Setting("trimmed", trimmed, CONFIG), support).parser.network
    assert not ready.encoder.lacking(ready.encoder.pieces.encode(support, vocabulary=None))
    assert trimmed.network.encoder.lacking(ready.encoder.pieces.encode(support, vocabulary=None))


def test_finished_runs_are_not_made_again(setting: Setting, runs: Make, adaptations: list[int]) -> None:
    first = cross_validate(setting, runs(), n_folds=3, repetitions=1)
    again = cross_validate(setting, runs(), n_folds=3, repetitions=1)
    assert adaptations == [6, 6, 6]
    assert first is not None
    assert again is not None
    assert again.parsed == first.parsed
    assert again.sample.right.tolist() == first.sample.right.tolist()
    assert again.seconds == first.seconds
    cross_validate(setting, runs(purpose=1), n_folds=3, repetitions=1)
    assert len(adaptations) == 6


def test_what_was_stopped_goes_on_and_gives_the_same(
    setting: Setting, runs: Make, adaptations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cross_validate(setting, runs(purpose=7), n_folds=3, repetitions=2)
    adaptations.clear()
    stopping = runs()
    steps = iter(range(100))

    def interrupt(n: int) -> None:
        if next(steps) == 7:  # in the third run
            raise KeyboardInterrupt

    stopping.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        cross_validate(setting, stopping, n_folds=3, repetitions=2)
    resumed = cross_validate(setting, runs(), n_folds=3, repetitions=2)
    assert len(adaptations) == 3 + 4
    assert whole is not None
    assert resumed is not None
    assert resumed.parsed == whole.parsed
    assert resumed.sample.right.tolist() == whole.sample.right.tolist()


def test_progress_is_told_every_step_also_those_done_before(setting: Setting, runs: Make) -> None:
    for _ in range(2):
        told: list[int] = []
        made = runs()
        made.progress = told.append
        cross_validate(setting, made, n_folds=3, repetitions=1)
        assert sum(told) == 9


class Clock:
    """Seconds that pass with the steps that are taken, not with the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("sublingual.crossvalidation.monotonic", lambda: self.now)

    def tick(self, n: int) -> None:
        self.now += n


@pytest.mark.parametrize(("limit", "n_done"), [(18, 6), (17.5, 5), (9, 3), (6, 2)])
def test_no_run_is_begun_that_would_end_after_the_limit(
    setting: Setting, runs: Make, adaptations: list[int], monkeypatch: pytest.MonkeyPatch, limit: float, n_done: int
) -> None:
    made = runs(limit=float(limit))
    made.progress = Clock(monkeypatch).tick
    found = cross_validate(setting, made, n_folds=3, repetitions=2)
    assert found is not None
    assert (found.n_done, found.n_planned, len(adaptations)) == (n_done, 6, n_done)
    assert len(found.sample.words) == 9 if n_done >= 3 else len(found.sample.words) < 9
    assert found.n_repetitions == (1 if n_done <= 3 else 2)


def test_a_run_beyond_the_limit_is_given_up(
    setting: Setting, runs: Make, adaptations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runs(limit=2.0)
    clock = Clock(monkeypatch)
    made.progress = clock.tick
    assert cross_validate(setting, made, n_folds=3, repetitions=2) is None
    assert (clock.now, len(adaptations)) == (3.0, 1)


def test_time_of_an_earlier_process_counts(setting: Setting, runs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, n_done in ((9.0, 3), (12.0, 4)):
        made = runs(limit=limit)
        made.progress = Clock(monkeypatch).tick
        found = cross_validate(setting, made, n_folds=3, repetitions=2)
        assert found is not None
        assert found.n_done == n_done


# nested choice


@pytest.fixture
def alike() -> list[Sentence]:
    """Sentences of one pattern: what is learned of some holds for the others."""
    words = ["fisken", "maten", "ugglan", "bilen", "huset", "boken", "stolen", "vägen", "dagen"]
    tree = {"heads": [2, 0, 2, 2], "labels": ["nsubj", "root", "obj", "punct"]}
    return [Sentence.from_words(["Katten", "ser", word, "."], **tree) for word in words]  # type: ignore[arg-type]


@pytest.fixture
def settings(tiny_parser: Callable[..., BiaffineParser], alike: list[Sentence]) -> list[Setting]:
    """Two ways to adapt: the default learns nothing."""
    still = replace(CONFIG, encoder_rate=0.0, classifier_rate=0.0)
    learning = replace(CONFIG, encoder_rate=3e-3, classifier_rate=3e-2, dropout=False)
    setting = readied(Setting("still", Parser(tiny_parser()), still, steps=(1, 6)), alike)
    return [setting, replace(setting, name="learning", config=learning)]


@pytest.fixture
def alike_runs(alike: list[Sentence], tmp_path: Path) -> Make:
    def make(*, limit: float = 1e9) -> Runs:
        return Runs(alike, 4, limit, Journal(tmp_path / "alike.json", purpose={}))

    return make


def nested_by_hand(settings: list[Setting], support: list[Sentence], folds: list[tuple[int, ...]]) -> np.ndarray:
    """The words right of each sentence with the option that was chosen on the other folds: every run made for itself."""
    options = [(setting, steps) for setting in settings for steps in setting.steps]
    right = np.zeros(len(support))
    for outer in folds:
        inner = np.zeros((len(options), len(support)))
        for row, (setting, steps) in zip(inner, options, strict=True):
            for held_out in folds:
                if held_out is not outer:
                    both = tuple(sorted({*outer, *held_out}))
                    found = las_right(setting, support, both, steps=steps, seed=4)
                    row[list(held_out)] = [found[i] for i in held_out]
        seen = [i for held_out in folds if held_out is not outer for i in held_out]
        setting, steps = options[choose(inner[:, seen])]
        found = las_right(setting, support, outer, steps=steps, seed=4)
        right[list(outer)] = [found[i] for i in outer]
    return right


def test_the_nested_estimate_is_that_of_plain_nested_loops(
    settings: list[Setting], alike: list[Sentence], alike_runs: Make
) -> None:
    made = alike_runs()
    found = chosen(settings, made, n_folds=3)
    assert found is not None
    folds = [fold.held_out for fold in planned_folds(made, n_folds=3, repetitions=1)]
    assert found.validated.sample.right.tolist() == nested_by_hand(settings, alike, folds).tolist()
    assert [(o.setting.name, o.steps) for o in found.options] == [
        ("still", 1),
        ("still", 6),
        ("learning", 1),
        ("learning", 6),
    ]
    assert (found.chosen.setting.name, found.chosen.steps) == ("learning", 6)
    alone = [las_right(settings[1], alike, fold, steps=6, seed=4) for fold in folds]
    assert found.options[3].las == pytest.approx(100 * sum(sum(one.values()) for one in alone) / 36)


def test_each_pair_of_folds_is_one_run(settings: list[Setting], alike_runs: Make, adaptations: list[int]) -> None:
    chosen(settings, alike_runs(), n_folds=4)
    n = 4 + len(list(combinations(range(4), 2)))
    assert len(adaptations) == 2 * n == 2 * n_nested_runs(alike_runs(), n_folds=4)


def test_settings_for_which_the_time_does_not_suffice_are_left_out(
    settings: list[Setting], alike_runs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = alike_runs(limit=6.0 * 7)  # the first takes six runs of six steps
    made.progress = Clock(monkeypatch).tick
    found = chosen(settings, made, n_folds=3)
    assert found is not None
    assert {o.setting.name for o in found.options} == {"still"}
    assert found.n_left_out == 1


@pytest.mark.parametrize(("limit", "n_done"), [(30.0, 3), (12.0, 2)])
def test_without_time_to_choose_the_default_is_estimated(
    settings: list[Setting], alike_runs: Make, monkeypatch: pytest.MonkeyPatch, limit: float, n_done: int
) -> None:
    made = alike_runs(limit=limit)
    made.progress = Clock(monkeypatch).tick
    found = chosen(settings, made, n_folds=3)
    assert found is not None
    assert [(o.setting.name, o.steps) for o in found.options] == [("still", 1)]
    assert (found.validated.n_done, found.n_left_out) == (n_done, 1)


def test_two_sentences_leave_nothing_to_choose_by(
    settings: list[Setting], alike: list[Sentence], tmp_path: Path
) -> None:
    made = Runs(alike[:2], 4, 1e9, Journal(tmp_path / "two.json", purpose={}))
    found = chosen(settings, made)
    assert found is not None
    assert (found.chosen.setting.name, found.chosen.steps) == ("still", 1)
    assert n_nested_runs(made) == 2
