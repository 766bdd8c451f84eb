"""Points of a grid of rates: their scores, the best, and that they are no tests."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest

from sublingual.analysis.choice_sheets import choice_rows, choice_sheet
from sublingual.analysis.choices import best, choice_of, choice_table, loop_of, points
from sublingual.analysis.material import read_material
from sublingual.analysis.results import Results
from sublingual.errors import DataError


def records(
    path: Path,
    las: dict[str, list[float]],
    *,
    rate: float,
    is_adapted: bool = True,
    inner: float | None = None,
    **changes: Any,
) -> Path:
    """A file of records of one point: LAS of each treebank, one a support set. `inner`: the inner loop's encoder rate."""
    lines = []
    stage2 = {"outer": {"encoder_rate": rate, "classifier_rate": 1e-3, "clip": float("inf")}}
    if inner is not None:
        stage2["inner"] = {"encoder_rate": inner, "classifier_rate": 5e-4}
    for treebank, values in las.items():
        for seed, value in enumerate(values):
            score = {"n_words": 2, "las": {"f1": value}}
            record = {
                "system": "nonep-full",
                "parser": {"encoder": "tiny", "settings": {"stage2": stage2}},
                "treebank": treebank,
                "support_seed": seed,
                "training_seed": 0,
                "transfer": {"method": "full", "code": None, "similarity": None},
                "support": ["a"],
                "sentences": 2,
                "zero_shot": score,
                "adapted": score,
                "is_adapted": is_adapted or seed > 0,
                "config": {"steps": 20, "encoder_rate": rate},
                "cpu_seconds": 1.0,
            }
            lines.append(json.dumps(record | changes))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_best_mean_over_treebanks_is_chosen(tmp_path: Path) -> None:
    """A treebank counts once, however many support sets: 60 and 50 beat 40 and 58, whose plain mean would be higher."""
    a = records(tmp_path / "0.jsonl", {"UD_A-X": [60.0], "UD_B-X": [50.0]}, rate=1e-4)
    b = records(tmp_path / "1.jsonl", {"UD_A-X": [40.0], "UD_B-X": [58.0] * 9}, rate=5e-5)
    found = points([a, b])
    assert [point.las for point in found] == [55.0, 49.0]
    assert best(found).rates() == (1e-4, 1e-3)


def test_rates_that_do_not_lower_the_support_loss_are_chosen_only_where_none_do(tmp_path: Path) -> None:
    a = records(tmp_path / "0.jsonl", {"UD_A-X": [60.0, 60.0]}, rate=1e-4, is_adapted=False)
    b = records(tmp_path / "1.jsonl", {"UD_A-X": [50.0, 50.0]}, rate=5e-5)
    assert best(points([a, b])).rates() == (5e-5, 1e-3)
    assert best(points([a])).rates() == (1e-4, 1e-3)


def test_points_of_other_treebanks_are_refused(tmp_path: Path) -> None:
    a = records(tmp_path / "0.jsonl", {"UD_A-X": [60.0]}, rate=1e-4)
    b = records(tmp_path / "1.jsonl", {"UD_B-X": [60.0]}, rate=1e-4)
    with pytest.raises(DataError, match=r"1.jsonl is of UD_B-X, .*0.jsonl of UD_A-X"):
        points([a, b])


def test_points_that_score_other_sentences_are_refused(tmp_path: Path) -> None:
    a = records(tmp_path / "0.jsonl", {"UD_A-X": [60.0]}, rate=1e-4)
    b = records(tmp_path / "1.jsonl", {"UD_A-X": [60.0]}, rate=5e-5, sentences=3)
    with pytest.raises(DataError, match=r"1.jsonl:1: UD_A-X, support seed 0: 3 sentences scored .* but 2"):
        points([a, b])


def test_rates_are_of_the_loop_in_which_the_points_differ(tmp_path: Path) -> None:
    files = [records(tmp_path / f"{i}.jsonl", {"UD_A-X": [60.0]}, rate=1e-4, inner=i * 1e-5) for i in (1, 5)]
    found = points(files)
    assert loop_of(found) == "inner"
    assert [point.rates("inner") for point in found] == [(1e-5, 5e-4), (5e-5, 5e-4)]
    assert loop_of(found[:1]) == "outer"


def grid(folder: Path) -> list[Path]:
    """Two choices of two points each: of the outer loop with two supports a treebank, of the inner with one."""
    two = {"UD_A-X": [60.0, 64.0], "UD_B-X": [50.0, 52.0]}
    worse = {name: [las - 5 for las in values] for name, values in two.items()}
    one = {name: values[:1] for name, values in two.items()}
    return [
        records(folder / "choices" / "nonep" / "0.jsonl", two, rate=1e-4),
        records(folder / "choices" / "nonep" / "1.jsonl", worse, rate=5e-5),
        records(folder / "choices" / "meta-full" / "0.jsonl", one, rate=1e-4, inner=1e-4, is_adapted=False),
        records(folder / "choices" / "meta-full" / "1.jsonl", one, rate=1e-4, inner=2.5e-5),
    ]


def test_a_line_a_point_with_rates_scores_and_which_was_chosen(tmp_path: Path) -> None:
    found = read_material(grid(tmp_path))
    rows = choice_table(found.choices, generator=np.random.default_rng(0), n_resamples=500)
    first, second, failed, last = rows
    assert first.sd == pytest.approx(stdev([55.0, 58.0]))
    assert first.interval is not None
    assert second.interval is not None
    assert first.interval.low < 56.5 < first.interval.high
    assert first.interval.low - 5 == pytest.approx(second.interval.low)  # the same draws
    assert (last.sd, last.interval, failed.interval) == (None, None, None)
    sheet = choice_sheet(rows)
    assert [(*row[:6], *row[8:]) for row in sheet.rows] == [
        ("nonep", "0", "outer", "0.0001", "0.001", "56.50", "4", "chosen"),
        ("nonep", "1", "outer", "5e-05", "0.001", "51.50", "4", ""),
        ("meta-full", "0", "inner", "0.0001", "0.0005", "55.00 (not adapted)", "2", ""),
        ("meta-full", "1", "inner", "2.5e-05", "0.0005", "55.00", "2", "chosen"),
    ]
    assert sheet.notes[:2] == ("nonep: UD_A-X, UD_B-X", "meta-full: UD_A-X, UD_B-X")
    plain = choice_rows(rows)
    assert [row["is_chosen"] for row in plain] == [True, False, False, True]
    assert (plain[0]["las"], plain[0]["las_low"], plain[3]["las_low"]) == (56.5, first.interval.low, None)


def test_the_order_of_the_choices_changes_no_number(tmp_path: Path) -> None:
    one, other = (
        {row.choice + row.point: row for row in Results(read_material(files), n_resamples=100).choices}
        for files in (grid(tmp_path), grid(tmp_path)[::-1])
    )
    assert one == other


def test_points_are_no_tests_however_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points of a grid are one system with the same seeds: as tests they would be refused as doubles."""
    files = grid(tmp_path)
    test = records(tmp_path / "records" / "nonep-full-0" / "no.jsonl", {"UD_C-X": [1.0]}, rate=1e-4)
    found = read_material([*files, test])
    assert [run.treebank for run in found.runs] == ["UD_C-X"]
    assert {name: len(own) for name, own in found.choices.items()} == {"nonep": 2, "meta-full": 2}
    assert found.files[str(files[0])] == "a point of the choice of rates nonep"
    monkeypatch.chdir(files[0].parent)
    assert (choice_of(Path("0.jsonl")), choice_of(test), choice_of(Path("../nonep.json"))) == ("nonep", None, None)
