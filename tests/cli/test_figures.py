"""From records that the commands write to tables, figures and the report; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
BANKS = ("UD_Swedish-Demo", "UD_Turkish-Demo")


@pytest.fixture(scope="module")
def results(run: Run, model: Path, ud_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Records of a tiny parser on two treebanks, of its own language's test, and facts with pieces."""
    folder = tmp_path_factory.mktemp("results")
    records, own, facts = (folder / name for name in ("records.jsonl", "own.jsonl", "facts.jsonl"))
    few = ("--seeds", 2, "-n", 4, "--reserve", 6, "--cap", 12, "--set", "steps=1", "--ud", ud_folder)
    assert run("fewshot", model, *BANKS, "--records", records, *few).code == 0
    usual = ("--seeds", 2, "--cap", 12, "--set", "steps=1", "--ud", ud_folder)
    assert run("fewshot", model, *BANKS, "--records", records, *usual).code == 0
    assert run("test", model, "UD_English-Demo", "--records", own, "--ud", ud_folder).code == 0
    encoder = json.loads((model / "manifest.json").read_text(encoding="utf-8"))["encoder"]["name"]
    ran = run("data", "facts", facts, "UD_English-Demo", *BANKS, "--encoder", encoder, "--ud", ud_folder)
    assert ran.code == 0, ran.err
    assert "3 treebanks in" in ran.err
    return [records, own, facts]


def test_facts_of_the_treebanks_that_the_paper_uses_are_the_default(run: Run, ud_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "facts.jsonl"
    assert run("data", "facts", out, "--ud", ud_folder).code == 0
    assert out.read_text(encoding="utf-8") == ""  # the embedded ones are none of the paper's
    assert run("data", "facts", out, "--all", "--ud", ud_folder).code == 0
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(found) == 10
    assert {each["licence"] for each in found} == {"CC0 1.0"}
    assert "pieces" not in found[0]["splits"]["test"]
    ran = run("data", "facts", tmp_path / "no" / "facts.jsonl", "--ud", ud_folder)
    assert (ran.code, "there is no folder" in ran.last) == (1, True)


def test_labels_are_counted_from_the_file_that_the_parser_was_trained_on(run: Run, results: list[Path]) -> None:
    found = json.loads(run("table", *results, "--by", "label-list", "--json").out)
    unseen = {row["label"] for row in found["rows"] if row["kind"] == "unseen"}
    facts = [json.loads(line) for line in results[2].read_text(encoding="utf-8").splitlines()]
    seen = facts[0]["splits"]["train"]["files"][0]["labels"]
    assert unseen
    assert not unseen & seen.keys()
    assert all(seen[row["label"]] == row["n_training"] for row in found["rows"] if row["label"] in seen)
    table = json.loads(run("table", *results, "--by", "label", "--json").out)
    assert [(row["system"], row["kind"]) for row in table["rows"]] == [
        (system, kind) for system in ("stage1 (n=4 of 6)", "stage1") for kind in ("unseen", "rare")
    ]
    assert {row["n_labels"] for row in table["rows"] if row["kind"] == "unseen"} == {len(unseen)}
    assert table["n_labels"] == len({row["label"] for row in found["rows"]})
    assert any("(the paper: 233)" in note for note in table["notes"])
    ran = run("table", *results[:2], "--by", "label")
    assert "no facts of 1 files that the parsers were trained on (UD_English-Demo)" in ran.last


@pytest.mark.parametrize(
    ("by", "column"),
    [
        ("label", "unseen"),
        ("label-list", "in training"),
        ("language", "treebank"),
        ("data", "licence"),
        ("training", "used"),
    ],
)
def test_other_tables_come_in_every_form(run: Run, results: list[Path], by: str, column: str) -> None:
    for form in ("md", "latex", "tsv"):
        ran = run("table", *results, "--by", by, "--format", form, "--resamples", 20)
        assert ran.code == 0, ran.err
        assert column in ran.out
    plain = run("table", *results, "--by", by, "--format", "csv", "--resamples", 20)
    assert plain.out.count("\n") >= 2


def test_supports_of_another_size_are_rows_of_their_own(run: Run, results: list[Path]) -> None:
    rows = json.loads(run("table", results[0], "--json", "--resamples", 20).out)["rows"]
    assert [row["system"] for row in rows] == ["stage1 (n=4 of 6)", "stage1"]
    assert all(row["las_low"] <= row["las"] <= row["las_high"] for row in rows if row["las"] is not None)


def test_tables_that_the_files_do_not_hold_are_refused(run: Run, results: list[Path]) -> None:
    for by, message in (
        ("conflict", "no conflicts.json"),
        ("factor", "gains need a base to be gains over"),
        ("paper", "no system and treebank of the paper"),
    ):
        ran = run("table", *results, "--by", by)
        assert (ran.code, message in ran.last) == (2, True), ran.err
    assert "--by data: no facts of treebanks" in run("table", results[0], "--by", "data").last


def test_the_paper_s_rows_with_facts_have_sizes(run: Run, results: list[Path]) -> None:
    assert run("table", "--paper", results[2], "--by", "factor", "--base", "full").code == 0
    ran = run("table", "--paper", results[0])
    assert "--paper: its rows are the records" in ran.last


def test_a_figure_is_written_as_svg_or_pdf(run: Run, tmp_path: Path, results: list[Path]) -> None:
    pytest.importorskip("matplotlib")
    for name in ("1", "factors"):
        outs = [tmp_path / f"{name}.{ending}" for ending in ("svg", "pdf")]
        ran = run("figure", name, "--paper", "--out", outs[0], "--out", outs[1])
        assert ran.code == 0, ran.err
        assert all(out.stat().st_size > 5000 for out in outs)
    assert run("figure", "curve", results[0], "--out", tmp_path / "c.svg", "--resamples", 20).code == 0
    assert "stage1, 2 treebanks" in (tmp_path / "c.svg").read_text(encoding="utf-8")
    ran = run("figure", "masks", results[0], "--out", tmp_path / "m.svg")
    assert (ran.code, "no records of controls" in ran.last) == (2, True)
    assert not (tmp_path / "m.svg").exists()
    ran = run("figure", "1", "--paper", "--out", tmp_path / "f.svg", "--out", tmp_path / "f.png")
    assert (ran.code, "f.png: figures are written as .svg or .pdf" in ran.last) == (2, True)
    assert not (tmp_path / "f.svg").exists()  # nothing is drawn before
    assert "unknown figure '7'" in run("figure", "7", "--paper", "--out", tmp_path / "m.svg").last


def test_without_matplotlib_a_figure_says_how_to_get_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    ran = run("figure", "1", "--paper", "--out", tmp_path / "f.svg")
    assert (ran.code, ran.last) == (2, "sublingual: figures need matplotlib: pip install 'sublingual[analysis]'")


def test_a_report_is_one_page_of_all_that_the_files_hold(run: Run, tmp_path: Path, results: list[Path]) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "report.html"
    ran = run("report", *results, out, "--resamples", 20)
    assert ran.code == 0, ran.err
    text = out.read_text(encoding="utf-8")
    assert "toy treebanks" in text
    assert "UD_Turkish-Demo" in text
    assert "Unseen and rare labels (Table 3)" in text
    assert text.count("<svg") == 1  # the learning curve is all that can be drawn
    assert run("report", results[0]).last.endswith(
        "the last name is the page to write, OUT.html; " + f"{results[0]} is none"
    )
