"""The paper's own rows through our tables: what follows from them, what the paper prints otherwise (docs/protocol.md 0.7)."""

from __future__ import annotations

from importlib.resources import files
from statistics import mean

import pytest

from sublingual.analysis.paper import SYSTEMS, misprints, paper_runs
from sublingual.analysis.tables import bases_of, system_table, treebank_table


def original() -> str:
    return (files("sublingual") / "resources" / "table2.csv").read_text(encoding="utf-8")


def changed() -> str:
    """The paper's rows with NonEp full on Yakut at 99.85 in place of 30.85."""
    text = original()
    assert text.count("Hindi,,,30.85,") == 1
    return text.replace("Hindi,,,30.85,", "Hindi,,,99.85,")


def test_all_rows_become_runs() -> None:
    runs = paper_runs()
    assert len(runs) == 86 * 6
    assert len({run.key for run in runs}) == 86 * 6
    (run,) = [run for run in runs if (run.system, run.treebank) == ("meta-dynamic", "UD_Yupik-SLI")]
    assert (run.las, run.code, run.zero_shot, run.is_adapted) == (33.92, "hi", None, True)


def test_table_1_follows_from_the_rows() -> None:
    table = system_table(paper_runs())
    assert [row.system for row in table.rows] == list(SYSTEMS)
    assert [row.wins for row in table.rows] == [1, 20, 7, 12, 22, 24]
    assert [row.ties for row in table.rows] == [0] * 6
    assert len(table.treebanks) == 86
    assert [round(row.las or 0, 2) for row in table.rows] == [37.60, 40.38, 39.10, 39.65, 39.25, 40.06]


def test_treebanks_better_and_worse_than_full_are_those_of_the_rows() -> None:
    """docs/protocol.md 26."""
    table = treebank_table(paper_runs(), bases=bases_of(SYSTEMS, "full"))
    counts = {each.system: (each.better, each.worse, each.far_worse) for each in table.tallies}
    assert counts["nonep-static"] == (70, 16, 14)
    assert counts["nonep-dynamic"] == (70, 16, 5)
    assert counts["meta-static"][1] == 49
    assert counts["meta-dynamic"][:2] == (42, 44)


def test_groups_are_the_paper_s() -> None:
    groups = treebank_table(paper_runs()).groups
    sizes = {group.code: len(group.rows) for group in groups}
    assert sizes == {"ar": 13, "cs": 6, "et": 15, "hi": 24, "it": 12, "no": 8, "ru": 8}
    hindi = [float(line.split(",")[9]) for line in original().splitlines() if ",Hindi," in line]
    assert groups[3].mean.las["meta-full"] == pytest.approx(mean(hindi))


def test_the_misprints_are_those_that_are_known() -> None:
    """Each beside what the rows give; all other printed means, shares and similarities follow from the rows."""
    runs = paper_runs()
    assert [str(cell) for cell in misprints(system_table(runs), treebank_table(runs))] == [
        "Table 2, total, nonep-full: 37.61, by the rows 37.599",
        "Table 1, LAS, nonep-dynamic: 39.0, by the rows 39.10",
        "Table 2, total, nonep-dynamic: 39.04, by the rows 39.100",
        "Table 2, total, meta-full: 39.67, by the rows 39.653",
        "Table 1, LAS, meta-dynamic: 39.9, by the rows 40.06",
        "Table 2, total, meta-dynamic: 39.92, by the rows 40.063",
        "Table 2, ar, nonep-full: 43.07, by the rows 43.076",
        "Table 2, ar, meta-static: 40.66, by the rows 40.694",
        "Table 2, cs, similarity: 0.83, by the rows 0.815",
        "Table 2, et, meta-static: 31.30, by the rows 31.291",
        "Table 2, hi, similarity: 0.74, by the rows 0.732",
        "Table 2, hi, nonep-static: 31.42, by the rows 31.239",
        "Table 2, hi, meta-full: 32.73, by the rows 31.376",
        "Table 2, hi, meta-static: 32.55, by the rows 31.199",
        "Table 2, hi, meta-dynamic: 32.07, by the rows 32.650",
        "Table 2, it, nonep-dynamic: 41.77, by the rows 41.731",
        "Table 2, no, nonep-full: 50.48, by the rows 50.529",
        "Table 2, ru, nonep-dynamic: 46.62, by the rows 46.692",
    ]


def test_changing_one_row_changes_the_tables() -> None:
    before, after = system_table(paper_runs()), system_table(paper_runs(changed()))
    assert [row.wins for row in after.rows] == [2, 19, 7, 12, 22, 24]
    assert after.rows[0].las == pytest.approx((before.rows[0].las or 0) + 69 / 86)
    assert after.rows[1:][1:] == before.rows[2:]
    was, now = (treebank_table(runs).groups for runs in (paper_runs(), paper_runs(changed())))
    assert now[3].mean.las["nonep-full"] == pytest.approx((was[3].mean.las["nonep-full"] or 0) + 69 / 24)
    assert now[:3] == was[:3]


def test_a_row_that_no_longer_fits_the_print_is_a_misprint_too() -> None:
    runs = paper_runs(changed())
    found = {(cell.row, cell.column) for cell in misprints(system_table(runs), treebank_table(runs))}
    assert {("hi", "nonep-full"), ("LAS", "nonep-full"), ("best %", "nonep-full"), ("best %", "nonep-static")} <= found
