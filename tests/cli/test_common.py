"""What several commands share: a progress bar where nobody sees one."""

from __future__ import annotations

import pytest

from sublingual.cli import common
from sublingual.training.loop import Progress


def test_a_bar_that_is_no_terminal_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "LINE_EVERY", 0.0)
    with common.counting("parsing", 4000) as advance:
        advance(1500)
    with common.training_bar("training") as update:
        update(Progress(400, 1600, 1.234, 512.3, 60.0, 81.25))
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "parsing: 1,500 of 4,000",
        "training: 400 of 1,600 loss 1.23 dev LAS 81.2 512 pieces/s",
    ]
    assert shown.out == ""


@pytest.mark.parametrize(("limit", "left"), [(None, "0:21:00"), (3000.0, "0:21:00"), (180.0, "0:01:30")])
def test_a_bar_that_is_no_terminal_says_what_time_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, limit: float | None, left: str
) -> None:
    monkeypatch.setattr(common, "LINE_EVERY", 0.0)
    monkeypatch.setattr("rich.progress.Task.time_remaining", 1260)
    monkeypatch.setattr("rich.progress.Task.elapsed", 90.0)
    with common.counting("cross-validating", 300, limit=limit) as advance:
        advance(20)
    assert capsys.readouterr().err == f"cross-validating: 20 of 300, about {left} left\n"


def test_a_bar_that_is_no_terminal_is_silent_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    with common.counting("parsing", 4) as advance:
        for _ in range(4):
            advance(1)
    assert capsys.readouterr().err == ""
