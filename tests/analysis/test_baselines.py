"""Baselines beside the systems: what is said of them, and of treebanks that a parser learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sublingual.analysis.beside import Beside
from sublingual.analysis.details import Details, Learned, TrainingFile
from sublingual.analysis.factor_sheets import factor_rows, factor_sheet
from sublingual.analysis.material import Material
from sublingual.analysis.paper import baselines
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results
from sublingual.analysis.tables import system_table, treebank_table
from sublingual.analysis.treebank_pages import places_of, treebank_pages
from sublingual.analysis.treebank_sheets import treebank_rows, treebank_sheet
from sublingual.errors import ConfigError

MakeRun = Callable[..., Run]


def learned(treebank: str, use: str = "train") -> Details:
    return Details(parser=Learned("bundled", (TrainingFile(f"{treebank}.conllu", use, "0", 1, 1, treebank=treebank),)))


@pytest.fixture
def runs(run_of: MakeRun) -> list[Run]:
    """On Welsh the pooled parser had the training file, on Faroese it is as good as the other."""
    names = ("UD_Faroese-OFT", "UD_Welsh-CCG")
    systems = [run_of("nonep-full", name, 40.0) for name in names]
    pooled = [
        run_of("udify", name, las, details=learned("UD_Welsh-CCG"))
        for name, las in zip(names, (40.0, 80.0), strict=True)
    ]
    return [*systems, *pooled]


def test_a_parser_has_seen_a_treebank_whose_training_file_it_learned_from(run_of: MakeRun) -> None:
    def seen(details: Details, **other: object) -> bool:
        return run_of("udify", "UD_Welsh-CCG", 1.0, details=details, **other).has_seen

    assert seen(learned("UD_Welsh-CCG"))
    assert not seen(learned("UD_Welsh-CCG", use="dev"))
    assert not seen(learned("UD_Faroese-OFT"))
    assert not seen(Details())
    assert not seen(learned("UD_Welsh-CCG"), is_fewshot=False)  # a training language's own test, which is no transfer


def test_where_it_had_the_training_file_a_parser_is_marked_and_never_best(runs: list[Run]) -> None:
    one, pooled = system_table(runs).rows
    assert (one.wins, one.ties, pooled.wins, pooled.ties) == (2, 1, 1, 1)
    assert pooled.las == 60
    sheet = treebank_sheet(treebank_table(runs))
    assert [row[-1] for row in sheet.rows[:2]] == ["20.00 → 40.00", "20.00 → 80.00†"]
    assert [row["has_seen"] for row in treebank_rows(treebank_table(runs))] == [False, False, False, True]
    for notes in (sheet.notes, system_table(runs).notes):
        assert any(note.startswith("udify: in UDify's place") for note in notes)
        said = "so it is best on none of these, and its mean is no few-shot mean: UD_Welsh-CCG"
        assert f"†: udify learned from the treebank's own training file, {said}" in notes
    assert [each.name for each in treebank_table(runs).averages][-1] == "without 1 that a parser learned from"


def test_a_baseline_with_holes_takes_no_treebank_from_the_systems(runs: list[Run]) -> None:
    some = [run for run in runs if (run.system, run.treebank) != ("udify", "UD_Faroese-OFT")]
    found = system_table(some)
    assert found.treebanks == ("UD_Faroese-OFT", "UD_Welsh-CCG")
    assert [row.las for row in found.rows] == [40.0, None]
    assert treebank_table(some).compared == found.treebanks
    assert Results(Material(tuple(some)), "nonep-full").comparisons == ()


def test_the_two_scores_that_section_5_prints_are_noted(runs: list[Run], run_of: MakeRun) -> None:
    beside = Beside(baselines=baselines())
    said = "UDify after few-shot fine-tuning, as section 5 prints it: UD_Faroese-OFT 53.8"
    assert said in treebank_sheet(treebank_table(runs), beside=beside).notes
    both = [*runs, run_of("nonep-full", "UD_Indonesian-PUD", 30.0)]
    assert f"{said}, UD_Indonesian-PUD 69.0" in treebank_sheet(treebank_table(both), beside=beside).notes
    other = [run for run in runs if run.treebank == "UD_Welsh-CCG"]
    assert not any("section 5" in note for note in treebank_sheet(treebank_table(other), beside=beside).notes)


def test_labels_factors_and_guidance_are_of_the_systems_alone(runs: list[Run]) -> None:
    found = Results(Material(tuple(runs)), "nonep-full")
    assert {run.system for run in found.subject.runs} == {"nonep-full"}
    assert found.training[0] == "UD_English-EWT"  # what no record says is the paper's; not the baseline's files


def test_of_what_gains_of_baselines_go_with_nothing_is_said(run_of: MakeRun, tmp_path: Path) -> None:
    """Though adapters have a full system of their loop; gains over a baseline are a system's."""
    names = ("UD_Faroese-OFT", "UD_Welsh-CCG", "UD_Wolof-WTB", "UD_Thai-PUD", "UD_Gothic-PROIEL")
    las = {"nonep-full": 40.0, "nonep-static": 42.0, "nonep-adapters": 50.0, "udify": 45.0}
    made = tuple(
        run_of(system, t, x + i * (i + x % 4), similarity=i / 9)
        for system, x in las.items()
        for i, t in enumerate(names)
    )
    found = Results(Material(made), "full")
    assert factor_sheet(found.treebanks, found.factors).columns == ("factor", "nonep-static")
    assert {row["system"] for row in factor_rows(found.treebanks, found.factors)} == {"nonep-static"}
    over = Results(Material(made), "udify")
    assert factor_sheet(over.treebanks, over.factors).columns == ("factor", "nonep-full", "nonep-static")
    alone = Results(Material(tuple(run for run in made if run.system in ("nonep-full", "nonep-adapters"))), "full")
    with pytest.raises(ConfigError, match="gains need a base"):
        factor_sheet(alone.treebanks, alone.factors)
    pytest.importorskip("matplotlib", reason="figures need the extra `analysis`")
    from sublingual.analysis.figures import kind_of
    from sublingual.analysis.report import report

    labels = [str(line.get_label()) for line in kind_of("changes").draw(found).axes[0].get_lines()]
    assert [label.split(" ")[0] for label in labels if "mean" in label] == ["nonep-static"]
    assert len(kind_of("factors").draw(found).axes) == len(found.factors)  # one column
    assert "changes need a base" in report(replace(alone, n_resamples=20), out=tmp_path / "r.html")


def test_a_page_of_a_treebank_names_none_best_that_saw_its_training_file(runs: list[Run], tmp_path: Path) -> None:
    found = Results(Material(tuple(runs)), n_resamples=20)
    briefs = {page.name: page.brief for page in treebank_pages(found, places_of(found, tmp_path))}
    assert briefs["UD_Welsh-CCG"] == "best 40.00, nonep-full"


def test_a_page_of_a_treebank_names_the_best_of_the_systems_that_compete_in_table_1(
    run_of: MakeRun, tmp_path: Path
) -> None:
    las = {"stage1": 50.0, "udify": 60.0, "nonep-full": 40.0, "nonep-static": 39.0, "nonep-r20": 70.0}
    found = Results(Material(tuple(run_of(name, "UD_Welsh-CCG", x) for name, x in las.items())), n_resamples=20)
    (page,) = treebank_pages(found, places_of(found, tmp_path))
    assert page.brief == "best 40.00, nonep-full"
