"""What stands out in Table 2: classes of improvement, the printed baselines, and how each form shows it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal
from importlib.resources import files

import numpy as np
import pytest

from sublingual.analysis.beside import Beside
from sublingual.analysis.highlights import class_name, improvement_class
from sublingual.analysis.material import Material
from sublingual.analysis.paper import Baselines, baselines, paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.rendering import Entry, Sheet, is_text, latex, markdown, tabs
from sublingual.analysis.results import Results
from sublingual.analysis.tables import treebank_table
from sublingual.analysis.treebank_sheets import treebank_rows, treebank_sheet

MakeRun = Callable[..., Run]


@pytest.mark.parametrize(
    ("difference", "number"),
    [(None, 0), (-9.0, 0), (2.99, 0), (3.0, 1), (5.0, 2), (7.0, 3), (10.0, 4), (15.0, 5), (20.4, 6), (25.1, 6)],
)
def test_classes_of_improvement(difference: float | None, number: int) -> None:
    assert improvement_class(difference) == number


def test_classes_have_names() -> None:
    assert [class_name(n) for n in (1, 5, 6)] == ["+3 to +5", "+15 to +20", "+20 and more"]


def test_a_score_beats_what_is_printed_only_if_it_is_above_all_of_it() -> None:
    assert Baselines(50.0, 60.0).beaten_by(60.1)
    assert not Baselines(50.0, 60.0).beaten_by(60.0)
    assert Baselines(None, 60.0).beaten_by(61.0)
    assert not Baselines().beaten_by(99.0)
    assert baselines()["UD_Faroese-OFT"] == Baselines(59.26, 69.2)
    assert len(baselines()) == 86


def test_of_the_paper_s_rows_those_are_marked_that_it_marks() -> None:
    """Ligurian static is +20.4 and Faroese static above both baselines; Faroese full above UDify alone."""
    results = Results(Material(runs=paper_runs()), "full")
    sheet = treebank_sheet(results.treebanks, beside=results.beside)
    columns = {name: i for i, name in enumerate(sheet.columns)}
    lines = {row[0]: row for row in sheet.rows}

    def entry(treebank: str, system: str) -> Entry:
        found = lines[treebank][columns[system]]
        assert isinstance(found, Entry)
        return found

    assert entry("UD_Ligurian-GLT", "nonep-static").shade == 6
    assert entry("UD_Faroese-OFT", "nonep-static").underlined
    assert not entry("UD_Faroese-OFT", "nonep-full").underlined
    assert entry("UD_Faroese-OFT", "nonep-static") == "70.36 (+9.41)"
    assert lines["UD_Faroese-OFT"][columns["UDify"]] == "59.26"
    rows = treebank_rows(results.treebanks, beside=results.beside)
    text = (files("sublingual") / "resources" / "table2.csv").read_text(encoding="utf-8")
    improved, above = set(), set()
    for line in csv.DictReader(text.splitlines()):
        static, full = Decimal(line["nonep_static"]), Decimal(line["nonep_full"])
        printed = [Decimal(line[name]) for name in ("udify", "udapter") if line[name]]
        improved |= {line["ud_repo"]} if static - full >= 3 else set()
        above |= {line["ud_repo"]} if printed and static > max(printed) else set()
    assert {r["treebank"] for r in rows if r["system"] == "nonep-static" and r["improvement_class"]} == improved
    assert {r["treebank"] for r in rows if r["system"] == "nonep-static" and r["beats_printed"]} == above
    assert (len(improved), len(above)) == (39, 19)


def test_marks_in_each_form() -> None:
    cell = Entry("70.4 (+9.4)", shade=3, underlined=True)
    sheet = Sheet(("treebank", "a"), (("x", cell), ("y", "1.0")))
    assert "**<u>70.4 (+9.4)</u>** |" in markdown(sheet)
    assert r"x & \cellcolor{black!20}\underline{70.4 (+9.4)} \\" in latex(sheet)
    assert "x\t70.4 (+9.4)\n" in tabs(sheet)
    assert cell.leading("#there").link == "#there"
    assert (cell.leading("#there").shade, cell.leading("#there").short) == (3, "70.4 (+9.4)")


def test_columns_of_words_are_told_from_numbers() -> None:
    sheet = Sheet(("a", "b", "c", "d"), (("x", "1.0", "r +0.3", "-"), ("y", "+2", "-", ""), ("z", "no", "r -0.1", "w")))
    assert [is_text(sheet, i) for i in range(4)] == [True, False, False, True]


def test_stars_are_for_differences_that_stay_after_correction(run_of: MakeRun, study: list) -> None:
    from sublingual.analysis.material import read_material

    results = Results(read_material(study[:1]), "full", n_resamples=2000).main()
    sheet = treebank_sheet(results.treebanks, beside=results.beside)
    column = sheet.columns.index("nonep-static")
    starred = {row[0] for row in sheet.rows if row[column].endswith("*")}
    sure = {
        t for (system, t), d in (results.beside.differences or {}).items() if system == "nonep-static" and d.is_sure
    }
    assert starred == sure
    (note,) = [note for note in sheet.notes if note.startswith("nonep-static against")]
    assert f"for sure (Holm over treebanks) better on {len(sure)}, worse on 0" in note


def test_too_few_resamples_for_any_star_are_said(run_of: MakeRun) -> None:
    runs = [
        run_of(name, f"t{i}", las, support_seed=seed)
        for i in range(10)
        for name, las in (("a", 10.0), ("b", 12.0 + i))
        for seed in (0, 1)
    ]
    runs = [run if run.support_seed else run_of(run.system, run.treebank, run.las + 1) for run in runs]
    few = Results(Material(runs=tuple(runs)), "a", n_resamples=100)
    notes = treebank_sheet(few.treebanks, beside=few.beside).notes
    assert any(note.startswith("100 resamples are too few for any star") for note in notes) == bool(
        few.beside.differences
    )


def test_without_anything_beside_a_table_is_plain(run_of: MakeRun) -> None:
    sheet = treebank_sheet(treebank_table([run_of("a", "x", 1.0)]), beside=Beside())
    assert sheet.columns == ("treebank", "transfer", "similarity", "words", "a")
    assert np.all([not cell.endswith("*") for row in sheet.rows for cell in row])
