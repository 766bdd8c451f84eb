"""`table`: from files of records and from the paper's rows, in each form, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.analysis.paper import paper_runs

Run = Callable[..., Any]

LAS = {
    ("nonep-full", "UD_Faroese-OFT"): (40.0, 44.0),
    ("nonep-full", "UD_Welsh-CCG"): (50.0, 52.0),
    ("nonep-static", "UD_Faroese-OFT"): (43.0, 47.0),
    ("nonep-static", "UD_Welsh-CCG"): (50.0, 54.0),
    ("meta-full", "UD_Faroese-OFT"): (10.0, 11.0),
    ("meta-full", "UD_Welsh-CCG"): (10.0, 11.0),
}


def line(system: str, treebank: str, seed: int, las: float, similarity: float = 0.9) -> str:
    code = {"UD_Welsh-CCG": "it"}.get(treebank, "no")
    return json.dumps(
        {
            "system": system,
            "treebank": treebank,
            "support_seed": seed,
            "training_seed": 0,
            "transfer": {"method": "nearest", "code": code, "similarity": similarity, "gates_off": 3},
            "support": ["s1"],
            "sentences": 10,
            "is_adapted": system != "meta-full",
            "zero_shot": {"n_words": 90, "las": {"f1": 30.0}},
            "adapted": {"n_words": 90, "las": {"f1": las}},
            "config": {},
            "cpu_seconds": 1800.0,
        }
    )


@pytest.fixture
def records(tmp_path: Path) -> Path:
    lines = [line(*key, seed, las) for key, scores in LAS.items() for seed, las in enumerate(scores)]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def cells(text: str) -> list[list[str]]:
    return [each.split("\t") for each in text.splitlines()]


def test_a_line_a_system_with_what_must_be_said_on_stderr(run: Run, records: Path) -> None:
    ran = run("table", records)
    assert ran.code == 0
    rows = cells(ran.out)
    low, high = map(float, rows[1].pop(2).split(" to "))
    assert 0 <= low < 46.5 < high <= 100  # two supports a treebank
    assert [*rows[:1], rows[1], [*rows[2][:2], *rows[2][3:]], rows[3]] == [
        ["system", "LAS", "95 % of LAS", "sd", "sd in a treebank", "zero-shot", "best", "runs", "CPU-hours"],
        ["nonep-full", "46.50", "2.12", "2.12", "30.00 ± 0.00", "0 (0 %)", "4", "2.00"],
        ["nonep-static", "48.50", "2.83", "2.83", "30.00 ± 0.00", "2 (100 %)", "4", "2.00"],
        ["meta-full", "-", "-", "-", "-", "30.00 ± 0.00", "-", "4", "2.00"],
    ]
    assert "-: meta-full is not reported as adapted, its steps did not lower the support loss" in ran.err
    assert "one training run of nonep-full" in ran.err
    assert "toy treebanks" not in ran.err


def test_differences_to_a_base_are_tested(run: Run, records: Path) -> None:
    ran = run("table", records, "--base", "full", "--resamples", 199)
    rows = cells(ran.out)
    assert rows[0][-3:] == ["difference", "95 %", "p"]
    assert rows[1][-3:] == rows[3][-3:] == ["-"] * 3
    assert rows[2][-3] == "+2.00"
    assert run("table", records, "--base", "full", "--resamples", 199).out == ran.out
    (static,) = [
        row
        for row in json.loads(run("table", records, "--base", "nonep-full", "--resamples", 199, "--json").out)["rows"]
        if row["base"]
    ]
    assert (static["system"], static["difference"]) == ("nonep-static", pytest.approx(2))
    assert static["low"] <= 2 <= static["high"]
    assert static["caution"] == "one training run; intervals leave training variance out"


def test_a_base_without_scores_gives_no_differences(run: Run, records: Path) -> None:
    ran = run("table", records, "--base", "meta-full")
    assert ran.code == 0
    assert cells(ran.out)[0][-1] == "CPU-hours"


def test_a_line_a_treebank_by_transfer_language(run: Run, records: Path) -> None:
    ran = run("table", records, "--by", "treebank", "--base", "full")
    assert [row[0] for row in cells(ran.out)] == [
        "treebank",
        "UD_Welsh-CCG",
        "mean of it (1)",
        "UD_Faroese-OFT",
        "mean of no (1)",
        "mean of all (2)",
        "mean by words scored (2)",
    ]
    assert [re.sub(r"\[.*?\]", "[]", cell) for cell in cells(ran.out)[3][4:]] == [
        "59.26",
        "69.20",
        "30.00 → 42.00 ± 2.83 []",
        "30.00 → 45.00 ± 2.83 [] (+3.00)",
        "30.00 → -",
    ]
    assert "nonep-static against nonep-full: better on 2 treebanks (1 by more than 1 LAS)" in ran.err


def test_each_form_has_the_same_rows(run: Run, records: Path) -> None:
    markdown, latex, tsv = (run("table", records, "--format", form) for form in ("md", "latex", "tsv"))
    own = next(row for row in cells(tsv.out) if row[0] == "nonep-static")
    assert f"| {' | '.join(own)} |" in markdown.out
    assert " & ".join(own).replace("%", r"\%").replace("±", r"$\pm$") + r" \\" in latex.out
    assert "\t".join(own) in tsv.out
    for ran in (markdown, latex, tsv):
        assert "one training run of" in ran.out
        assert ran.err == ""
    plain = run("table", records, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(plain.out)))
    assert [(row["system"], row["las"], row["wins"]) for row in rows] == [
        ("nonep-full", "46.5", "0"),
        ("nonep-static", "48.5", "2"),
        ("meta-full", "", ""),
    ]
    assert "one training run of" in plain.err


def test_files_have_what_is_printed(run: Run, records: Path, tmp_path: Path) -> None:
    """One table in several files is drawn from the records once."""
    forms = {"md": "md", "tsv": "tsv", "csv": "csv", "tex": "latex"}
    ran = run("table", records, *(word for ending in forms for word in ("--out", tmp_path / f"t.{ending}")))
    assert (ran.code, ran.out) == (0, "")
    assert "one training run of" in ran.err
    for ending, form in forms.items():
        assert (tmp_path / f"t.{ending}").read_text(encoding="utf-8") == run("table", records, "--format", form).out
    both = run("table", records, "--out", tmp_path / "t.md", "--json")
    assert json.loads(both.out)["rows"]
    ran = run("table", records, "--out", tmp_path / "t.doc")
    assert (ran.code, ran.last) == (2, "sublingual: t.doc: tables are written as .md, .tsv, .csv, .tex")
    assert "there is no folder" in run("table", records, "--out", tmp_path / "no" / "t.md").last


def test_json_has_rows_groups_and_notes(run: Run, records: Path) -> None:
    found = json.loads(run("table", records, "--by", "treebank", "--json").out)
    assert len([row for row in found["rows"] if row["mean"] is None]) == 6
    assert len(found["rows"]) == 6 + 2 * 6
    assert [group["transfer"] for group in found["groups"]] == ["it", "no"]
    assert any("one training run of" in note for note in found["notes"])
    of_systems = json.loads(run("table", records, "--json").out)
    assert of_systems["treebanks"] == ["UD_Faroese-OFT", "UD_Welsh-CCG"]


def test_systems_and_treebanks_can_be_chosen(run: Run, records: Path) -> None:
    ran = run("table", records, "--system", "nonep-static", "--treebank", "UD_Welsh-CCG")
    assert [row[:2] for row in cells(ran.out)[1:]] == [["nonep-static", "52.00"]]
    ran = run("table", records, "--system", "nonep-statik")
    assert (ran.code, ran.last) == (
        2,
        "sublingual: no record of system 'nonep-statik'; did you mean 'nonep-static'?",
    )


def test_guidance_says_which_system_for_which_language(run: Run, tmp_path: Path) -> None:
    """Static is better where the nearest language is like, full where it is not; a control does not count."""
    path, lines = tmp_path / "records.jsonl", []
    for i, treebank in enumerate([*dict.fromkeys(each.treebank for each in paper_runs())][:16]):
        for system, las in (("nonep-full", 42), ("nonep-static", 45 if i > 7 else 40), ("nonep-shuffle", 90)):
            lines.append(line(system, treebank, 0, las, similarity=0.5 + i / 40))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rule = "one question: similarity below 0.688: nonep-full (mean LAS 42.0 on 8 treebanks)"
    for form in ("md", "tsv", "latex", "csv"):
        ran = run("table", path, "--by", "guidance", "--format", form, "--resamples", 99)
        assert ran.code == 0, ran.err
        assert rule in (ran.err if form == "csv" else ran.out)
        assert "one question" in ran.out
    rows = [*csv.DictReader(io.StringIO(ran.out))]
    assert rows[0]["rule"] == "Always: nonep-static (mean LAS 42.5 on 16 treebanks)"
    found = json.loads(run("table", path, "--by", "guidance", "--json", "--resamples", 99).out)
    assert found["rules"]["one question"] == {
        **{"factor": "similarity", "name": "similarity", "threshold": 0.6875},
        "low": {"system": "nonep-full", "las": 42.0, "n": 8},
        "high": {"system": "nonep-static", "las": 45.0, "n": 8},
    }
    assert found["advice"] == found["notes"][0]
    assert "no rule asks for domains: name a file of `sublingual data facts` too" in found["notes"]


def test_guidance_from_too_few_languages_is_refused(run: Run, records: Path) -> None:
    ran = run("table", records, "--by", "guidance")
    needs = "guidance needs two systems and eight languages that all of them have"
    assert (ran.code, ran.last) == (2, f"sublingual: --by guidance: {needs}")


def test_the_paper_s_rows_give_its_wins_and_name_its_misprints(run: Run) -> None:
    ran = run("table", "--paper")
    assert [row[5] for row in cells(ran.out)[1:]] == [
        "1 (1 %)",
        "20 (23 %)",
        "7 (8 %)",
        "12 (14 %)",
        "22 (26 %)",
        "24 (28 %)",
    ]
    assert "printed otherwise: Table 2, total, meta-dynamic: 39.92, by the rows 40.063" in ran.err
    by_treebank = run("table", "--paper", "--by", "treebank", "--base", "full")
    assert len(by_treebank.out.splitlines()) == 1 + 86 + 7 + 1
    assert "similarity and gain: r +0.32" in by_treebank.err
    assert "printed otherwise" not in run("table", "--paper", "--treebank", "UD_Welsh-CCG").err


def test_the_paper_s_gains_beside_themselves_have_equal_slopes(run: Run) -> None:
    ran = run("table", "--paper", "--by", "paper-factor", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(row["system"], row["factor"]) for row in rows[:3]] == [
        ("nonep-static", "similarity"),
        ("nonep-static", "pretraining"),
        ("nonep-dynamic", "similarity"),
    ]
    assert all(row[key] == row[f"printed_{key}"] for row in rows for key in ("r", "slope", "slope_low", "slope_high"))
    assert "95 %: Student's t over treebanks" in ran.err


def test_the_points_of_a_grid_are_a_table_and_no_tests(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "choices" / "nonep"
    folder.mkdir(parents=True)
    for i, rate in enumerate((1e-4, 5e-5)):
        record = json.loads(line("nonep-full", "UD_Welsh-CCG", 0, 40.0 + i))
        stage2 = {"outer": {"encoder_rate": rate, "classifier_rate": 1e-3}}
        record["parser"] = {"encoder": "tiny", "settings": {"stage2": stage2}}
        (folder / f"{i}.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    files = sorted(folder.iterdir())
    ran = run("table", *files, "--by", "choice", "--base", "full")
    assert [row[:6] for row in cells(ran.out)] == [
        ["choice", "point", "loop", "encoder rate", "classifier rate", "LAS"],
        ["nonep", "0", "outer", "0.0001", "0.001", "40.00"],
        ["nonep", "1", "outer", "5e-05", "0.001", "41.00"],
    ]
    assert [row[-1] for row in cells(ran.out)] == ["chosen", "", "chosen"]
    assert "nonep: UD_Welsh-CCG" in ran.err
    assert json.loads(run("table", *files, "--by", "choice", "--json").out)["rows"][1]["is_chosen"]
    ran = run("table", *files)
    said = (
        "--by system: no records of `fewshot` or `test` in these files; those in choices/NAME are of a choice of rates"
    )
    assert (ran.code, said in ran.last) == (2, True)


def test_what_cannot_be_done_is_refused(run: Run, records: Path) -> None:
    ran = run("table")
    assert (ran.code, ran.last) == (2, "sublingual: name files of records, or give --paper")
    ran = run("table", records, "--paper")
    assert ran.last.startswith("sublingual: --paper: its rows are the records; name files of `data facts` alone")
    ran = run("table", records, "--by", "conflict")
    assert ran.last == "sublingual: --by conflict: no conflicts.json (`joint` or `meta` with --conflicts)"
    ran = run("table", records, "--by", "choice")
    assert ran.last.startswith("sublingual: --by choice: no records in a folder choices/NAME")
    ran = run("table", records, "--json", "--format", "md")
    assert (ran.code, ran.last) == (2, "sublingual: --json and --format md: give one of them")
    records.write_text(records.read_text(encoding="utf-8") + '{"system": "no', encoding="utf-8")
    ran = run("table", records)
    assert ran.code == 1
    assert ran.last.startswith(f"sublingual: {records}:13: no JSON; a run that was cut short leaves half a line")
