from __future__ import annotations

from pathlib import Path

from sublingual.analysis.choices import Point
from sublingual.study.choices import write_choice


def test_what_is_chosen_is_settings_that_load(tmp_path: Path) -> None:
    from sublingual.adaptation import AdaptConfig
    from sublingual.config import load
    from sublingual.training.stage2 import Stage2Config

    outer = {"encoder_rate": 2e-5, "classifier_rate": 1e-3, "clip": float("inf")}
    point = Point(Path("0.jsonl"), (), {"outer": outer}, {"steps": 20, "encoder_rate": 2e-5}, 60.0, ("UD_A-X",), True)
    training, adaptation = tmp_path / "choices" / "a.json", tmp_path / "choices" / "b.json"
    write_choice(point, training=training, adaptation=adaptation)
    assert load(Stage2Config, training).outer.encoder_rate == 2e-5
    assert load(Stage2Config, training).outer.clip == float("inf")
    assert load(AdaptConfig, adaptation) == AdaptConfig(encoder_rate=2e-5)
