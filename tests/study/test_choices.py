from __future__ import annotations

import json
from pathlib import Path

import pytest

from sublingual.errors import DataError
from sublingual.study.choices import best, points, write_choice


def records(path: Path, las: dict[str, list[float]], *, rate: float, is_adapted: bool = True) -> Path:
    """A file of records of one point: LAS of each treebank, one a support set."""
    lines = []
    for treebank, values in las.items():
        for seed, value in enumerate(values):
            score = {"n_words": 2, "las": {"f1": value}}
            record = {
                "system": "nonep-full",
                "parser": {
                    "encoder": "tiny",
                    "settings": {
                        "stage2": {"outer": {"encoder_rate": rate, "classifier_rate": 1e-3, "clip": float("inf")}}
                    },
                },
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
            lines.append(json.dumps(record))
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


def test_what_is_chosen_is_settings_that_load(tmp_path: Path) -> None:
    from sublingual.adaptation import AdaptConfig
    from sublingual.config import load
    from sublingual.training.stage2 import Stage2Config

    chosen = best(points([records(tmp_path / "0.jsonl", {"UD_A-X": [60.0]}, rate=2e-5)]))
    training, adaptation = tmp_path / "choices" / "a.json", tmp_path / "choices" / "b.json"
    write_choice(chosen, training=training, adaptation=adaptation)
    assert load(Stage2Config, training).outer.encoder_rate == 2e-5
    assert load(Stage2Config, training).outer.clip == float("inf")
    assert load(AdaptConfig, adaptation) == AdaptConfig(encoder_rate=2e-5)


def test_points_of_other_treebanks_are_refused(tmp_path: Path) -> None:
    a = records(tmp_path / "0.jsonl", {"UD_A-X": [60.0]}, rate=1e-4)
    b = records(tmp_path / "1.jsonl", {"UD_B-X": [60.0]}, rate=1e-4)
    with pytest.raises(DataError, match=r"1.jsonl is of UD_B-X, .*0.jsonl of UD_A-X"):
        points([a, b])
