"""Families, pretraining and domains of the paper's treebanks; section 3's table and Table 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sublingual.analysis.data_sheets import data_rows, data_sheet, training_rows, training_sheet
from sublingual.analysis.details import TrainingFile
from sublingual.analysis.facts import domains_covered, facts_of, families, pretraining, table_6
from sublingual.analysis.material import read_material
from sublingual.data.catalogue import catalogue
from sublingual.data.facts import facts as counted
from sublingual.data.treebanks import treebanks
from sublingual.errors import DataError

Record = dict[str, Any]


def made(treebank: str = "UD_Faroese-OFT", code: str = "fo", *genres: str) -> Record:
    pieces = {"encoder": "bundled", "pieces": 180, "unknown": 9, "words_unknown": 6}
    test = {"sentences": 10, "words": 120, "files": [], "pieces": pieces}
    return {
        "kind": "treebank",
        "treebank": treebank,
        "code": code,
        "licence": "CC0",
        "genres": list(genres),
        "splits": {"test": test},
    }


def test_all_languages_of_the_paper_have_a_family() -> None:
    tests = {entry.code for entry in catalogue() if entry.role == "test"}
    assert len(tests) == 74
    known = families()
    assert {entry.code for entry in catalogue()} <= known.keys()
    assert len({known[code] for code in tests}) == 43  # the paper: 43 subfamilies
    assert len({known[code].family for code in tests}) == 20  # the paper: 21 families
    assert str(known["fo"]) == "Indo-European, Germanic"
    assert str(known["eu"]) == "Basque"


def test_pretraining_is_the_encoder_s() -> None:
    mbert, bundled = pretraining("bert-base-multilingual-cased"), pretraining("bundled")
    tests = {entry.code for entry in catalogue() if entry.role == "test"}
    assert sum(code in mbert.amounts for code in tests) == 27  # docs/protocol.md 6
    assert sum(entry.code in mbert.amounts for entry in catalogue() if entry.role == "test") == 35
    assert sum(code in bundled.amounts for code in tests) == 29
    assert bundled.amounts["id"] == 22_704e6  # Conneau et al. 2020, table 6
    assert "gd" in bundled.amounts
    assert "gd" not in mbert.amounts
    assert "CC-100" in bundled.source
    assert "mBERT proxy" in pretraining("some/other").source
    assert pretraining("xlm-roberta-base").amounts == bundled.amounts


def test_domains_covered_are_a_share_of_the_test_s_own() -> None:
    test = facts_of(made("UD_X", "fo", "news", "wiki", "bible", "web"), "f:1")
    training = [facts_of(made("UD_Y", "no", *own), "f:2") for own in (["news", "legal"], ["bible"])]
    assert domains_covered(test, training) == 0.5
    assert domains_covered(facts_of(made(), "f:1"), training) is None


def test_pieces_are_rates_over_words() -> None:
    test = facts_of(made(), "f:1").splits["test"]
    assert test.pieces_per_word == pytest.approx(1.5)
    assert test.unknown_words == pytest.approx(5.0)


def test_table_6_is_the_paper_s() -> None:
    assert {each.code: each.sizes for each in table_6()}["no"] == (14174, 1890, 1511)


def test_the_data_table_has_a_line_a_treebank(study: list[Path]) -> None:
    material = read_material([study[2]])
    sheet = data_sheet(material.facts)
    lines = {row[0]: row for row in sheet.rows}
    assert lines["UD_Czech-PDT"] == (
        "UD_Czech-PDT",
        "train",
        "Czech",
        "Indo-European, Slavic",
        "500",
        "-",
        "10",
        "100",
        "CC BY-SA 4.0",
        "news",
    )
    assert sheet.notes[0].startswith("test treebanks: 10 of 1 languages (the paper: 86 of 74)")
    assert (
        "part: what the paper uses the treebank for; own train: trained on here, but not in the paper; other: neither"
        in sheet.notes
    )
    row = next(row for row in data_rows(material.facts) if row["treebank"] == "UD_Wolof-WTB")
    assert (row["split"], row["words"], row["pieces_per_word"], row["genres"]) == ("test", 100, 1.5, "fiction news web")


def test_validation_treebanks_have_a_line_and_do_not_count_as_tests() -> None:
    names = {"UD_Telugu-MTG": "te", "UD_Faroese-OFT": "fo", "UD_Arabic-Mix": "ar"}
    sheet = data_sheet({name: facts_of(made(name, code, "news"), "f:1") for name, code in names.items()})
    assert [row[:2] for row in sheet.rows] == [
        ("UD_Telugu-MTG", "validation"),
        ("UD_Faroese-OFT", "test"),
        ("UD_Arabic-Mix", "other"),
    ]
    assert sheet.notes[0].startswith("test treebanks: 1 of 1 languages")
    facts = {"UD_Arabic-Mix": facts_of(made("UD_Arabic-Mix", "ar", "news"), "f:1")}
    assert data_sheet(facts, training=["UD_Arabic-Mix"]).rows[0][1] == "own train"


def test_what_was_used_stands_beside_table_6() -> None:
    used = [
        TrainingFile("ar_mix-ud-train.conllu", "train", "a" * 64, 786, 30_000, "CC BY-NC-SA 4.0", "UD_Arabic-Mix"),
        TrainingFile("own.conllu", "train", "b" * 64, 12, 90),
    ]
    known = {"UD_Arabic-Mix": facts_of(made("UD_Arabic-Mix", "ar"), "f:1")}  # a test file of ten sentences, no dev file
    lines = {row[0]: row for row in training_sheet(used, known).rows}
    printed = ("ar", "UD_Arabic-PADT", "6075 / 909 / 680", "UD_Arabic-Mix")
    assert lines["ar"] == (*printed, "786 / - / 10", "30000", "CC BY-NC-SA 4.0")
    assert lines["hi"][2:5] == ("13304 / 1659 / 1684", "-", "-")
    assert lines["own.conllu"] == ("own.conllu", "-", "-", "own.conllu", "12 / - / -", "90", "unknown")
    rows = training_rows(used, known)
    assert [(row["sentences"], row["dev_sentences"], row["test_sentences"]) for row in rows] == [
        (786, None, 10),
        (12, None, None),
    ]
    assert [row["printed_dev"] for row in rows] == [909, None]
    assert {row[0]: row for row in training_sheet(used).rows}["ar"][4] == "786 / - / -"


def test_facts_that_lack_something_are_refused() -> None:
    record = made()
    del record["splits"]
    with pytest.raises(DataError, match=r"f:1: splits: field required; write it anew with `sublingual data facts`"):
        facts_of(record, "f:1")


@pytest.mark.slow
@pytest.mark.data
def test_the_paper_s_test_treebanks_count_as_section_3_says(ud: Path) -> None:
    found = {bank.name: facts_of(counted(bank), "x") for bank in treebanks(ud) if bank.role == "test"}
    note = data_sheet(found).notes[0]
    assert note.startswith(
        "test treebanks: 86 of 74 languages (the paper: 86 of 74), of 20 families and 43 subfamilies (21 and 43)"
    )
