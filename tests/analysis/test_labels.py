"""Table 3: which labels are unseen or rare by the training files really used, and how often they are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sublingual.analysis.label_sheets import label_list, label_list_rows, label_rows, label_sheet
from sublingual.analysis.labels import LabelTable, label_table, training_files
from sublingual.analysis.material import Material, read_material
from sublingual.analysis.rendering import Entry
from sublingual.errors import DataError

Record = dict[str, Any]


def table(material: Material) -> LabelTable:
    return label_table(material.runs, material.facts, generator=np.random.default_rng(0), n_resamples=200)


@pytest.fixture
def small(tmp_path: Path, study: list[Path]) -> Callable[..., Material]:
    """Material of the study's records of two systems with the same seeds, and its facts; `drop` leaves facts out."""

    def make(*, drop: str = "", change: Callable[[Record], Record] = lambda record: record) -> Material:
        lines = [json.loads(line) for line in study[0].read_text(encoding="utf-8").splitlines()]
        kept = [
            change(line)
            for line in lines
            if line["system"] in ("nonep-static", "meta-dynamic")
            and line["reserve"] is None
            and line["treebank"] in ("UD_Faroese-OFT", "UD_Wolof-WTB")
        ]
        paths = [tmp_path / "records.jsonl", tmp_path / "facts.jsonl"]
        paths[0].write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        facts = [line for line in study[2].read_text(encoding="utf-8").splitlines() if not drop or drop not in line]
        paths[1].write_text("\n".join(facts) + "\n", encoding="utf-8")
        return read_material(paths)

    return make


def test_unseen_and_rare_are_counted_from_the_training_files(small: Callable[..., Material]) -> None:
    found = table(small())
    assert {row.label: (row.kind, row.n_training) for row in found.rows} == {
        "discourse:sp": ("unseen", 0),
        "nsubj": ("common", 20_000),
        "root": ("common", 19_980),
        "vocative": ("rare", 20),  # of 40,000 words: 0.05 %
    }
    assert (found.count("unseen"), found.count("rare"), found.n_training_words) == (1, 1, 40_000)
    assert [file.name for file in found.training][:2] == ["UD_English-EWT", "UD_Arabic-PADT"]


def test_a_share_of_exactly_one_in_a_thousand_is_not_rare(small: Callable[..., Material]) -> None:
    material = small()
    facts = json.loads(json.dumps({"nsubj": 9990, "vocative": 10}))
    for each in material.facts.values():
        for split in each.splits.values():
            for file in split.files:
                file.labels.clear()  # type: ignore[attr-defined]
                file.labels.update(facts)  # type: ignore[attr-defined]
    assert {row.label: row.kind for row in table(material).rows}["vocative"] == "common"


def test_right_instances_labels_and_languages_by_hand(small: Callable[..., Material]) -> None:
    """Static spends its 38 to 50 right words on nsubj and root; meta-dynamic has all of vocative and discourse:sp."""
    found = table(small())
    static, dynamic = found.systems["nonep-static"], found.systems["meta-dynamic"]
    assert (static["unseen"].gold, static["unseen"].both, static["unseen"].percent) == (12 * 20, 0, 0.0)
    assert (static["unseen"].labels, static["unseen"].languages) == (0, 0)
    assert (dynamic["unseen"].percent, dynamic["unseen"].labels, dynamic["unseen"].languages) == (100.0, 1, 2)
    assert (dynamic["rare"].gold, dynamic["rare"].both) == (12 * 10, 120)
    (row,) = [row for row in found.rows if row.label == "discourse:sp"]
    assert (row.n_test, row.languages) == (40, ("fo", "wo"))
    assert row.systems["meta-dynamic"].percent == 100.0


def test_a_right_label_on_a_wrong_arc_counts_beside(small: Callable[..., Material]) -> None:
    def change(record: Record) -> Record:
        record["breakdown"]["labels"]["discourse:sp"] = [20, 4, 10, 2]
        return record

    found = table(small(change=change)).systems["nonep-static"]["unseen"]
    assert (found.percent, found.percent_label) == (10.0, 50.0)
    assert found.sd == 0.0


def test_a_system_has_its_gain_over_the_full_one_of_its_loop(small: Callable[..., Material]) -> None:
    """What meta-dynamic got right, as the full system's: all of the unseen ones, where static has none."""
    names = {"meta-dynamic": "nonep-full", "nonep-static": "nonep-static"}
    found = table(small(change=lambda record: {**record, "system": names[record["system"]]}))
    assert found.systems["nonep-full"]["unseen"].gain is None
    gain = found.systems["nonep-static"]["unseen"].gain
    assert gain is not None
    assert (gain.mean, gain.interval) == (-100.0, None)
    (line,) = [row for row in label_sheet(found).rows if row[0] == "nonep-static"]
    assert line[1].endswith("(0/0) (-100.00)")
    assert any("minus the full system of the same loop" in note for note in label_sheet(found).notes)
    assert [row["percent_difference"] for row in label_rows(found) if row["kind"] == "unseen"] == [-100.0, None]
    assert all(own.gain is None for own in table(small()).systems["nonep-static"].values())


def test_missing_facts_of_a_training_file_are_named(small: Callable[..., Material]) -> None:
    with pytest.raises(
        DataError,
        match=r"no facts of 1 files that the parsers were trained on \(UD_Czech-PDT\): write them with `sublingual data "
        r"facts FILE UD_Czech-PDT`",
    ):
        table(small(drop="UD_Czech-PDT"))


def test_a_file_of_the_same_name_and_other_content_does_not_count(small: Callable[..., Material]) -> None:
    def change(record: Record) -> Record:
        record["parser"]["data"][0]["sha256"] = "0" * 64
        return record

    with pytest.raises(DataError, match=r"no facts of 1 files .*UD_English-EWT"):
        table(small(change=change))


def test_records_without_a_breakdown_are_named(small: Callable[..., Material]) -> None:
    def change(record: Record) -> Record:
        return {key: value for key, value in record.items() if key != "breakdown"}

    with pytest.raises(DataError, match=r"records.jsonl:1: no breakdown by label; repeat these runs"):
        table(small(change=change))


def test_dev_files_are_not_training_files(small: Callable[..., Material]) -> None:
    def change(record: Record) -> Record:
        record["parser"]["data"][0]["use"] = "dev"
        return record

    names = [file.name for file in training_files(small(change=change).runs)]
    assert names == ["UD_Arabic-PADT", "UD_Czech-PDT", "UD_Norwegian-Nynorsk"]


def test_sheets_have_the_paper_s_numbers_beside(small: Callable[..., Material]) -> None:
    found = table(small())
    sheet = label_sheet(found)
    assert sheet.columns[:5] == ("system", "unseen", "unseen, label alone", "unseen, mean of labels", "unseen, printed")
    by_name = {row[0]: row for row in sheet.rows}
    assert by_name["meta-dynamic"][1] == "100.00 % ± 0.00 (1/2)"
    assert by_name["meta-dynamic"][3:5] == ("100.00", "6.6 % (15/23)")
    assert "of all unseen words that are right 100 % have one label, discourse:sp" in sheet.notes
    assert sheet.notes[0] == (
        "full labels in the test data: 4 (the paper: 233); unseen in training 1 (169), rare 1 (23); together 2 (50 %)"
    )


def half_right(record: Record) -> Record:
    """Of the unseen label's 20 words half with its label and a quarter with the head too; one more in the second run."""
    record["breakdown"]["labels"]["discourse:sp"] = [20, 9, 10, 5 + record["training_seed"]]
    return record


def test_plain_rows_are_table_3_s_own(small: Callable[..., Material]) -> None:
    found = table(small(change=half_right))
    rows = {(row["system"], row["kind"]): row for row in label_rows(found)}
    assert [*rows] == [(name, kind) for name in ("nonep-static", "meta-dynamic") for kind in ("unseen", "rare")]
    static = rows["nonep-static", "unseen"]
    assert (static["n_labels"], static["labels"], static["languages"]) == (1, 1, 2)
    assert (static["gold"], static["label_right"], static["both_right"]) == (240, 120, 66)
    assert (static["percent"], static["percent_label"], static["sd"]) == (27.5, 50.0, pytest.approx(12.5**0.5))
    assert static["percent_low"] < 27.5 < static["percent_high"]
    assert (static["printed"], rows["meta-dynamic", "rare"]["printed"]) == ("0.003 % (1/1)", "21.3 % (13/55)")
    (line,) = [row for row in label_sheet(found).rows if row[0] == "nonep-static"]
    low, high = (f"{static[f'percent_{end}']:.1f}" for end in ("low", "high"))
    assert line[1:4] == (f"27.50 % ± 3.54 [{low}, {high}] (1/2)", "50.00 %", "27.50")
    assert static["mean_over_labels"] == 27.5


def test_the_mean_over_labels_counts_a_label_of_few_words_as_much_as_another(small: Callable[..., Material]) -> None:
    def change(record: Record) -> Record:
        record = half_right(record)
        labels = record["breakdown"]["labels"]
        words, *_ = labels["nsubj"]
        labels["nsubj"] = [words - 2, 0, 0, 0]
        labels["dep:rare"] = [2, 0, 2, 2]
        return record

    found = table(small(change=change))
    assert found.mean_over_labels("nonep-static", "unseen") == pytest.approx((27.5 + 100) / 2)
    label, share = found.most_of("unseen") or ("", 0.0)
    assert (label, share) == ("discourse:sp", pytest.approx(5.5 / 7.5))
    assert table(small()).most_of("common") is not None


def test_the_list_of_labels_has_spread_and_interval(small: Callable[..., Material]) -> None:
    found = table(small(change=half_right))
    listed = label_list(found)
    assert [row[:5] for row in listed.rows] == [
        ("discourse:sp", "unseen", "0", "40", "fo, wo"),
        ("vocative", "rare", "20", "20", "fo, wo"),
    ]
    rows = {(row["label"], row["system"]): row for row in label_list_rows(found)}
    assert len(rows) == 8
    plain = rows["discourse:sp", "nonep-static"]
    cell = listed.rows[0][listed.columns.index("nonep-static")]
    spread = f"± 3.5 [{plain['percent_low']:.1f}, {plain['percent_high']:.1f}]"
    assert cell == f"27.5 {spread}"
    assert isinstance(cell, Entry)
    assert (cell.value, cell.short, cell.tail) == (27.5, "27.5", spread)
    assert listed.notes == ("per cent of a label's words with the right head and full label ± sd over seeds [95 %]",)
