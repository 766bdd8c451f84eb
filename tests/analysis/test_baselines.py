"""Baselines beside the systems: what is said of them, and of treebanks that a parser learned from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sublingual.analysis.beside import Beside
from sublingual.analysis.details import Details, Learned, TrainingFile
from sublingual.analysis.material import Material
from sublingual.analysis.paper import baselines
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results
from sublingual.analysis.tables import system_table, treebank_table
from sublingual.analysis.treebank_sheets import treebank_rows, treebank_sheet

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
