"""`sublingual study` without its engine: what a plan says, and its commands by hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.embedded import embedded_folder

Run = Callable[..., Any]
SMALL = ("--set", "groups={main: {systems: [stage1]}}", "--set", "choices={}", "--set", "tests.cap=2")


def test_a_plan_names_steps_reasons_and_hours(run: Run, tmp_path: Path) -> None:
    ran = run("study", "run", "--scale", "smoke", "--dry-run", "--out", tmp_path / "s", "--cores", 1)
    assert ran.code == 0
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert lines[0] == ["step", "kind", "minutes", "why"]
    assert {line[3] for line in lines[1:]} == {"not done yet"}
    found = re.search(r"about ([\d.]+) CPU-hours are to do: ([\d.]+) hours with 1 at a time", ran.err)
    assert found is not None
    minutes = sum(float(line[2]) for line in lines[1:])
    assert float(found[1]) == pytest.approx(minutes / 60, abs=0.11)
    assert found[1] == found[2]
    assert not (tmp_path / "s").exists()


def test_the_commands_of_a_plan_can_be_called_by_hand(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders, and of the commands one that needs no other: the facts."""
    ran = run("study", "run", "--scale", "smoke", "--dry-run", "--commands", *SMALL)
    folders, *commands = map(shlex.split, ran.out.splitlines())
    assert folders[:2] == ["mkdir", "-p"]
    assert {"models", "records/stage1-0", "tables", "."} <= set(folders)
    assert all(command[0] == "sublingual" for command in commands)
    assert all(str(Path(command[-1]).parent) in folders for command in commands if ">" in command)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBLINGUAL_UD", str(embedded_folder()))
    (facts,) = [command for command in commands if command[1:3] == ["data", "facts"]]
    assert run(*facts[1:]).code == 0
    assert (tmp_path / "facts.jsonl").is_file()
