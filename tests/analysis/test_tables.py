"""Table 1 and Table 2 from made-up runs, against sums by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import stdev
from typing import Any

import pytest

from sublingual.analysis.details import Details, Learned
from sublingual.analysis.records import Run
from sublingual.analysis.system_sheets import system_sheet
from sublingual.analysis.tables import bases_of, system_table, treebank_table
from sublingual.errors import ConfigError

MakeRun = Callable[..., Run]


def runs_of(make: MakeRun, system: str, las: dict[str, list[float]], **other: Any) -> list[Run]:
    """One run a support seed, from each treebank's scores."""
    return [
        make(system, treebank, value, support_seed=seed, **other)
        for treebank, values in las.items()
        for seed, value in enumerate(values)
    ]


@pytest.fixture
def two(run_of: MakeRun) -> list[Run]:
    base = runs_of(run_of, "nonep-full", {"x": [10.0, 14.0], "y": [50.0, 60.0]}, cpu_seconds=900.0)
    other = runs_of(run_of, "nonep-static", {"x": [13.0, 11.0], "y": [58.0, 55.0]}, zero_shot=25.0, cpu_seconds=450.0)
    return [*base, *other]


def test_a_system_s_mean_is_over_treebanks_of_the_means_over_seeds(run_of: MakeRun) -> None:
    runs = runs_of(run_of, "a", {"x": [10.0, 20.0, 60.0], "y": [50.0]})
    (row,) = system_table(runs).rows
    assert row.las == pytest.approx((30 + 50) / 2)
    assert (row.wins, row.n_runs) == (2, 4)


def test_deviations_are_over_seeds(two: list[Run]) -> None:
    first, second = system_table(two).rows
    assert first.sd == pytest.approx(stdev([30, 37]))
    assert first.sd_in_treebank == pytest.approx((stdev([10, 14]) + stdev([50, 60])) / 2)
    assert second.sd == pytest.approx(stdev([35.5, 33]))


def test_zero_shot_runs_and_hours_stand_beside(two: list[Run]) -> None:
    first, second = system_table(two).rows
    assert (first.zero_shot, second.zero_shot) == (20.0, 25.0)
    assert (first.n_runs, first.cpu_hours, second.cpu_hours) == (4, 1.0, 0.5)


def test_zero_shot_has_its_deviation_over_seeds_too(run_of: MakeRun) -> None:
    """Also of a system that is adapted nowhere; without it where it is not known of all."""
    runs = [
        run_of("nonep-full", treebank, 50.0, zero_shot=las + 4.0 * seed, training_seed=seed, support_seed=seed)
        for treebank, las in (("x", 10.0), ("y", 30.0))
        for seed in (0, 1, 2)
    ]
    (row,) = system_table(runs).rows
    assert (row.sd, row.zero_shot, row.zero_shot_sd) == (0.0, 24.0, pytest.approx(stdev([20, 24, 28])))
    failed = [replace(run, system="meta-full", is_adapted=False) for run in runs]
    assert system_table([*runs, *failed]).rows[1].zero_shot_sd == row.zero_shot_sd
    unknown = [*runs[:-1], replace(runs[-1], zero_shot=None)]
    assert system_table(unknown).rows[0].zero_shot_sd is None


def test_the_parser_of_stage_1_and_baselines_are_no_competitors_of_two_systems(run_of: MakeRun) -> None:
    """As in Table 1; with a single system beside them they are."""
    las = {"nonep-full": (10.0, 50.0), "nonep-static": (12.0, 50.0), "stage1": (90.0, 90.0), "udify": (95.0, 95.0)}
    runs = [run_of(name, t, x) for name, values in las.items() for t, x in zip(("x", "y"), values, strict=True)]
    table = system_table(runs)
    assert [(row.wins, row.ties) for row in table.rows] == [(1, 1), (2, 1), (None, None), (None, None)]
    assert table.notes[1] == (
        "best: share of the 2 treebanks among all rows but stage1, udify; a tie counts for each of its systems (ties: 1)"
    )
    assert [row[5] for row in system_sheet(table).rows] == ["1 (50 %)", "2 (100 %)", "-", "-"]
    alone = system_table([run for run in runs if run.system in ("nonep-full", "stage1")])
    assert [row.wins for row in alone.rows] == [0, 2]


def test_a_tie_counts_for_each(two: list[Run]) -> None:
    table = system_table(two)
    assert [(row.wins, row.ties) for row in table.rows] == [(1, 1), (2, 1)]  # x: 12 and 12, y: 55 and 56.5
    assert "best: share of the 2 treebanks; a tie counts for each of its systems (ties: 1)" in table.notes


def test_a_run_that_was_not_adapted_empties_its_cell(two: list[Run], run_of: MakeRun) -> None:
    failed = [run_of("nonep-static", "z", 70.0), run_of("nonep-static", "z", 71.0, support_seed=1, is_adapted=False)]
    runs = [*two, *failed, *runs_of(run_of, "nonep-full", {"z": [80.0, 80.0]})]
    table = system_table(runs)
    assert [row.las for row in table.rows] == [row.las for row in system_table(two).rows]
    assert table.treebanks == ("x", "y")
    assert (
        "-: nonep-static is not reported as adapted, its steps did not lower the support loss: z (1 of 2 runs)"
        in table.notes
    )
    assert "means and wins leave out what not all systems have: z" in table.notes
    (row,) = [row for row in treebank_table(runs).total.rows if row.treebank == "z"]
    assert (row.cells["nonep-full"].las, row.cells["nonep-static"].las, row.cells["nonep-static"].sd) == (
        80,
        None,
        None,
    )
    assert row.cells["nonep-static"].zero_shot == 20.0


def test_a_system_that_is_nowhere_adapted_does_not_empty_the_others(two: list[Run], run_of: MakeRun) -> None:
    failed = runs_of(run_of, "meta-full", {"x": [1.0, 1.0], "y": [1.0, 1.0]}, is_adapted=False)
    table = system_table([*two, *failed])
    assert [(row.las, row.wins) for row in table.rows[:2]] == [(row.las, row.wins) for row in system_table(two).rows]
    last = table.rows[2]
    assert (last.las, last.sd, last.wins, last.zero_shot, last.n_runs) == (None, None, None, 20.0, 4)


def test_without_any_adapted_run_there_are_no_scores(run_of: MakeRun) -> None:
    table = system_table(runs_of(run_of, "a", {"x": [1.0]}, is_adapted=False))
    assert table.treebanks == ()
    assert (table.rows[0].las, table.rows[0].zero_shot) == (None, None)


def test_a_treebank_that_one_system_lacks_is_not_compared(two: list[Run], run_of: MakeRun) -> None:
    table = system_table([*two, run_of("nonep-full", "z", 99.0)])
    assert table.treebanks == ("x", "y")
    assert table.rows[0].las == pytest.approx(33.5)


def test_notes_say_where_runs_are_not_alike(two: list[Run], run_of: MakeRun) -> None:
    assert system_table(two).notes[2:] == (
        "one training run of nonep-full, nonep-static; intervals and sd leave its training variance out",
    )
    more = [*two, run_of("nonep-static", "x", 12.0, support_seed=5, training_seed=1, settings='{"steps": 5}')]
    notes = system_table(more).notes
    assert "not all systems had the same support seeds: x" in notes
    assert "nonep-static: runs of 2 settings of adaptation, which differ in steps (5 or None)" in notes
    assert "one training run of nonep-full; intervals and sd leave its training variance out" in notes


def test_treebanks_are_grouped_by_transfer_language(run_of: MakeRun) -> None:
    runs = [
        run_of("a", treebank, las, code=code, similarity=similarity, n_words=words)
        for treebank, las, code, similarity, words in [
            ("v", 10.0, "no", 0.8, 100),
            ("w", 20.0, "ar", 0.5, 200),
            ("x", 40.0, "no", 0.9, 301),
            ("y", 33.0, None, None, 400),
        ]
    ]
    table = treebank_table(runs)
    assert [(group.code, [row.treebank for row in group.rows]) for group in table.groups] == [
        ("ar", ["w"]),
        ("no", ["v", "x"]),
        (None, ["y"]),
    ]
    norwegian = table.groups[1]
    assert norwegian.similarity == pytest.approx(0.85)
    assert norwegian.mean.las == {"a": 25.0}
    assert norwegian.mean.zero_shot == {"a": 20.0}
    assert (table.groups[2].similarity, table.total.mean.las, len(table.total.mean.treebanks)) == (
        None,
        {"a": 25.75},
        4,
    )
    assert [row.n_words for row in norwegian.rows] == [100, 301]


def test_the_group_is_the_nearest_language_s_whatever_the_way_of_transfer(run_of: MakeRun) -> None:
    others = [("mixture", None), ("random", "cs"), ("nearest", "no")]
    runs = [run_of("a", "x", 1.0, method=method, code=code) for method, code in others]
    assert [group.code for group in treebank_table(runs).groups] == ["no"]
    assert [group.code for group in treebank_table(runs[:2]).groups] == [None]


def test_better_and_worse_are_counted_at_any_difference_and_beyond_a_point(run_of: MakeRun) -> None:
    gains = {"s": 0.1, "t": 1.0, "u": 1.1, "v": -0.1, "w": -1.0, "x": -1.1, "y": 0.0, "z": 5.0}
    base = [run_of("nonep-full", treebank, 30.2) for treebank in gains]
    other = [run_of("nonep-static", treebank, 30.2 + gain) for treebank, gain in gains.items()]
    (tally,) = treebank_table([*base, *other], bases={"nonep-static": "nonep-full"}).tallies
    assert (tally.better, tally.worse, tally.equal, tally.far_better, tally.far_worse) == (4, 3, 1, 2, 1)


def test_treebanks_without_both_scores_are_not_counted(run_of: MakeRun) -> None:
    runs = [
        run_of("a", "x", 1.0),
        run_of("b", "x", 2.0),
        run_of("a", "y", 1.0),
        run_of("a", "z", 1.0),
        run_of("b", "z", 2.0, is_adapted=False),
    ]
    (tally,) = treebank_table(runs, bases={"b": "a"}).tallies
    assert (tally.better, tally.worse, tally.equal) == (1, 0, 0)


def test_a_base_is_one_system_or_each_loop_s_full_one() -> None:
    systems = ["nonep-full", "nonep-static", "nonep-static (mixture)", "meta-full", "meta-dynamic", "stage1"]
    assert bases_of(systems, "full") == {
        "nonep-static": "nonep-full",
        "nonep-static (mixture)": "nonep-full",
        "meta-dynamic": "meta-full",
    }
    assert bases_of(systems, "stage1") == dict.fromkeys(systems[:-1], "stage1")
    with pytest.raises(ConfigError, match="no record of system 'stage2'; did you mean 'stage1'?"):
        bases_of(systems, "stage2")
    with pytest.raises(
        ConfigError, match="base 'full': no system has a full one of its loop; there are: stage1, meta-x"
    ):
        bases_of(["stage1", "meta-x"], "full")


def test_means_by_words_and_without_small_treebanks(run_of: MakeRun) -> None:
    sizes = {"x": (59, 100), "y": (60, 300), "z": (500, 600)}
    las = {"x": 10.0, "y": 40.0, "z": 70.0}
    runs = [run_of("a", t, las[t], n_sentences=n, n_words=words) for t, (n, words) in sizes.items()]
    by_words, large = treebank_table(runs).averages
    assert (by_words.name, by_words.las) == ("by words scored", {"a": pytest.approx((1000 + 12000 + 42000) / 1000)})
    assert (large.name, large.treebanks) == ("without 1 of under 60 sentences", ("y", "z"))
    assert large.las == {"a": 55.0}


def test_a_cap_makes_no_treebank_small(run_of: MakeRun) -> None:
    runs = [run_of("a", t, 10.0, n_sentences=50, n_words=500) for t in ("x", "y")]
    assert [each.name for each in treebank_table(runs, sentences={"x": 900, "y": 55}).averages][-1] == (
        "without 1 of under 60 sentences"
    )
    assert not any("under 60" in each.name for each in treebank_table(runs, sentences={"x": 900, "y": 60}).averages)


def test_a_mean_by_words_weighs_the_test_files_where_they_are_known(run_of: MakeRun) -> None:
    """A capped test scores as many sentences of a small treebank as of a large one."""
    runs = [run_of("a", "x", 10.0, n_sentences=100, n_words=100), run_of("a", "y", 70.0, n_sentences=100, n_words=100)]
    (by_words,) = treebank_table(runs, words={"x": 100, "y": 500}).averages
    assert (by_words.name, by_words.las) == ("by the words of the test files", {"a": pytest.approx(60.0)})
    assert [row.test_words for row in treebank_table(runs, words={"x": 100, "y": 500}).total.rows] == [100, 500]
    (scored,) = treebank_table(runs, words={"x": 100, "y": None}).averages
    assert (scored.name, scored.las) == ("by words scored", {"a": 40.0})


def test_without_sizes_there_are_no_such_means(run_of: MakeRun) -> None:
    assert treebank_table([run_of("a", "x", 10.0), run_of("a", "y", 20.0, n_words=5)]).averages == ()


def test_a_system_without_scores_leaves_its_other_means_empty(run_of: MakeRun) -> None:
    size = {"n_sentences": 100, "n_words": 10}
    runs = [run_of("a", "x", 10.0, **size), run_of("b", "x", 20.0, is_adapted=False, **size)]
    (by_words,) = treebank_table(runs).averages
    assert by_words.las == {"a": 10.0, "b": None}


def test_what_stage_2_took_is_the_mean_over_the_training_runs(run_of: MakeRun) -> None:
    runs = [
        replace(
            run_of("meta-full", treebank, 40.0, training_seed=seed),
            details=Details(parser=Learned("bundled", settings={"stage2_cpu_seconds": 600.0 * (seed + 1)})),
        )
        for seed in (0, 1)
        for treebank in ("x", "y")
    ]
    table = system_table([*runs, run_of("stage1", "x", 30.0), run_of("stage1", "y", 30.0)])
    assert [row.stage2_minutes for row in table.rows] == [15.0, None]
    assert "CPU-minutes of stage 2, in the mean over the training runs: meta-full 15.0" in system_sheet(table).notes
