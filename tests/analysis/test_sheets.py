"""What stands in the cells of both tables, and the same as plain numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sublingual.analysis.material import Material
from sublingual.analysis.records import Run
from sublingual.analysis.rendering import probability
from sublingual.analysis.results import Results
from sublingual.analysis.statistics import compare_systems
from sublingual.analysis.system_sheets import system_rows, system_sheet
from sublingual.analysis.tables import system_table, treebank_table
from sublingual.analysis.treebank_sheets import mean_rows, treebank_rows, treebank_sheet, treebank_summary

MakeRun = Callable[..., Run]
BASES = {"nonep-static": "nonep-full"}


@pytest.fixture
def runs(run_of: MakeRun) -> list[Run]:
    """Two systems on four treebanks with two supports each; static lacks Welsh and is not adapted on Wolof."""
    las = {"UD_Faroese-OFT": (40.0, 44.0), "UD_Gothic-PROIEL": (20.0, 24.0), "UD_Welsh-CCG": (50.0, 50.0)}
    las |= {"UD_Wolof-WTB": (30.0, 30.0)}
    found = []
    for treebank, scores in las.items():
        for seed, value in enumerate(scores):
            other = {"support_seed": seed, "n_words": 90, "cpu_seconds": 1800.0}
            other["code"] = "ar" if treebank == "UD_Wolof-WTB" else "no"
            found.append(run_of("nonep-full", treebank, value, **other))
            if treebank != "UD_Welsh-CCG":
                is_adapted = treebank != "UD_Wolof-WTB" or seed == 0
                found.append(run_of("nonep-static", treebank, value + 1 + 2 * seed, is_adapted=is_adapted, **other))
    return found


def test_a_line_a_system(runs: list[Run]) -> None:
    sheet = system_sheet(system_table(runs))
    assert sheet.columns == ("system", "LAS", "sd", "sd in a treebank", "zero-shot", "best", "runs", "CPU-hours")
    assert sheet.rows == (
        ("nonep-full", "32.00", "2.83", "2.83", "20.00 ± 0.00", "0 (0 %)", "8", "4.00"),
        ("nonep-static", "34.00", "4.24", "4.24", "20.00 ± 0.00", "2 (100 %)", "6", "3.00"),
    )
    assert "CPU-hours: of these tests, without training" in sheet.notes
    assert "zero-shot ±: its sd over the seeds, of the mean over treebanks; it has no interval" in sheet.notes
    assert system_rows(system_table(runs))[0]["zero_shot_sd"] == 0


def test_comparisons_stand_in_the_line_of_their_system(runs: list[Run]) -> None:
    kept = [run for run in runs if run.treebank not in ("UD_Welsh-CCG", "UD_Wolof-WTB")]
    found = compare_systems(kept, BASES)
    sheet = system_sheet(system_table(kept), found)
    assert sheet.columns[-3:] == ("difference", "95 %", "p")
    assert sheet.rows[0][-3:] == ("-", "-", "-")
    d = found[0].las
    assert sheet.rows[1][-3:] == ("+2.00", f"{d.low:+.2f} to {d.high:+.2f}", probability(found[0].holm))
    assert sheet.notes[-1].startswith(
        "difference: of nonep-static to nonep-full; 95 % and p: treebanks as drawn from many, by Student's t; p corrected for 1"
    )
    base, other = system_rows(system_table(kept), found)
    assert base.keys() == other.keys()
    assert (base["base"], base["difference"]) == (None, None)
    assert (other["base"], other["difference"], other["p_value"]) == ("nonep-full", pytest.approx(2), d.p_value)
    assert other["caution"] == "one training run; intervals leave training variance out"


def test_pairs_that_are_left_out_are_said(runs: list[Run]) -> None:
    kept = [run for run in runs if run.treebank == "UD_Faroese-OFT"]
    fewer = [run for run in kept if (run.system, run.support_seed) != ("nonep-static", 1)]
    found = compare_systems(fewer, BASES)
    note = "nonep-static against nonep-full: 1 pairs of treebank and support seed are left out, since not all training runs"
    assert system_sheet(system_table(fewer), found).notes[-1].startswith(note)


def test_a_line_a_treebank_and_a_mean_a_group(runs: list[Run]) -> None:
    sheet = treebank_sheet(treebank_table(runs, bases=BASES))
    assert sheet.columns == ("treebank", "transfer", "similarity", "words", "nonep-full", "nonep-static")
    assert sheet.rows == (
        ("UD_Wolof-WTB", "ar", "0.90", "90", "20.00 → 30.00 ± 0.00", "20.00 → -"),
        ("mean of ar (0)", "ar", "-", "", "-", "-"),
        ("UD_Faroese-OFT", "no", "0.90", "90", "20.00 → 42.00 ± 2.83", "20.00 → 44.00 ± 4.24 (+2.00)"),
        ("UD_Gothic-PROIEL", "no", "0.90", "90", "20.00 → 22.00 ± 2.83", "20.00 → 24.00 ± 4.24 (+2.00)"),
        ("UD_Welsh-CCG", "no", "0.90", "90", "20.00 → 50.00 ± 0.00", ""),
        ("mean of no (2)", "no", "0.90", "", "20.00 → 32.00 ± 2.83", "20.00 → 34.00 ± 4.24 (+2.00)"),
        ("mean of all (2)", "-", "0.90", "", "20.00 → 32.00 ± 2.83", "20.00 → 34.00 ± 4.24 (+2.00)"),
        ("mean by words scored (2)", "-", "", "", "20.00 → 32.00 ± 2.83", "20.00 → 34.00 ± 4.24 (+2.00)"),
    )
    assert sheet.notes[0] == "zero-shot → adapted; sd and interval are of the adapted score, zero-shot has none here"
    said = "nonep-static against nonep-full: better on 2 treebanks (2 by more than 1 LAS), worse on 0 (0), equal on 0"
    assert sheet.notes[-2] == said  # two treebanks are too few for a correlation
    assert any(note.startswith("-: nonep-static is not reported as adapted") for note in sheet.notes)


def test_gain_and_similarity_are_told_where_there_are_enough_treebanks(run_of: MakeRun) -> None:
    runs = [
        run_of(system, f"t{i}", 30.0 + gain * i, similarity=0.5 + 0.1 * i, support_seed=0)
        for system, gain in (("a", 0), ("b", 2))
        for i in range(5)
    ]
    table = treebank_table(runs, bases={"b": "a"})
    assert treebank_sheet(table).notes[-2].endswith("equal on 1; similarity and gain: r +1.00 (95 %: +1.00 to +1.00)")
    (tally,) = treebank_summary(table)["tallies"]
    assert tally["similarity_and_gain"]["n"] == 5


def test_plain_rows_hold_a_treebank_and_a_system_each(runs: list[Run]) -> None:
    table = treebank_table(runs, bases=BASES)
    rows = treebank_rows(table)
    assert len(rows) == 7
    assert rows[1]["las"] is None
    assert (rows[1]["n_runs"], rows[1]["n_not_adapted"]) == (2, 1)
    assert (rows[3]["system"], rows[3]["base"], rows[3]["difference"]) == ("nonep-static", "nonep-full", 2.0)
    assert (rows[2]["base"], rows[2]["difference"], rows[2]["transfer"]) == (None, None, "no")
    means = mean_rows(table)
    assert [row.keys() == rows[0].keys() for row in means] == [True] * 8
    assert {row["mean"] for row in means} == {"of ar", "of no", "of all", "by words scored"}
    (total,) = (row for row in means if (row["mean"], row["system"]) == ("of all", "nonep-static"))
    assert (total["las"], total["difference"], total["base"], total["n_treebanks"]) == (34.0, 2.0, "nonep-full", 2)
    assert (total["treebank"], total["sd"]) == (None, pytest.approx(18**0.5))
    summary = treebank_summary(table)
    assert [(each["transfer"], each["n_treebanks"], each["n_compared"]) for each in summary["groups"]] == [
        ("ar", 1, 0),
        ("no", 3, 2),
    ]
    assert summary["total"]["las"] == {"nonep-full": 32.0, "nonep-static": 34.0}
    assert summary["tallies"][0]["far_better"] == 2


def test_a_mean_s_gain_has_its_own_paired_interval(run_of: MakeRun) -> None:
    """All of b's runs are 2 above a's: the means vary, their difference does not; with c it is Student's of three runs."""
    las = {"a": (30.0, 40.0, 50.0), "b": (32.0, 42.0, 52.0), "c": (31.0, 42.0, 53.0)}
    runs = [
        run_of(name, t, each, training_seed=s, support_seed=s)
        for name, own in las.items()
        for t in ("x", "y")
        for s, each in enumerate(own)
    ]
    results = Results(Material(runs=tuple(runs)), "a", n_resamples=20_000)
    rows = {
        row["system"]: row for row in mean_rows(results.treebanks, beside=results.beside) if row["mean"] == "of all"
    }
    assert (rows["b"]["difference"], rows["b"]["difference_low"]) == (2.0, None)
    assert rows["b"]["las_low"] < 30
    t, sd = 4.303, 1.0  # of two degrees of freedom; of the gains 1, 2, 3
    assert rows["c"]["difference_low"] == pytest.approx(2 - t * sd / 3**0.5, abs=0.2)
    assert rows["c"]["difference_high"] == pytest.approx(2 + t * sd / 3**0.5, abs=0.2)
    line = [
        row for row in treebank_sheet(results.treebanks, beside=results.beside).rows if row[0].startswith("mean of all")
    ]
    found = re.search(r"\(\+2\.00 \[(.*), (.*)\]\)$", line[0][-1])
    assert found is not None
    assert float(found[1]) == pytest.approx(rows["c"]["difference_low"], abs=0.006)
