"""`sublingual study` without its engine: what a plan says, and its commands by hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.embedded import embedded_folder
from sublingual.study.config import study
from sublingual.study.keys import keys
from sublingual.study.plans import PLAN, read_plan, write_plan
from sublingual.study.progress import to_do
from sublingual.study.steps import steps

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
    small = run("study", "run", "--scale", "small", "--dry-run", "--out", tmp_path / "s", "--group", "support-size")
    assert "at a time, on a processor that multiplies bf16" in small.err


def test_results_of_elsewhere_are_read_by_their_scale(run: Run, tmp_path: Path) -> None:
    """A folder that was begun by copying records and marks, where nothing was run."""
    (tmp_path / "s" / "keys").mkdir(parents=True)
    ran = run("study", "status", "--scale", "smoke", "--out", tmp_path / "s")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1].split("\t")[:2] == ["stage1-0", "stage1"]
    assert "holds no study" in run("study", "status", "--out", tmp_path / "none").err


def test_commands_without_a_dry_run_do_nothing(run: Run, tmp_path: Path) -> None:
    ran = run("study", "run", "--scale", "smoke", "--commands", "--out", tmp_path / "s")
    assert ran.code != 0
    assert "give --dry-run with it" in ran.err
    assert not (tmp_path / "s").exists()


def test_the_commands_of_a_plan_can_be_called_by_hand(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders, and of the commands one that needs no other: the facts, which are then done."""
    ran = run("study", "run", "--scale", "smoke", "--dry-run", "--commands", *SMALL)
    folders, *lines = (shlex.split(line) for line in ran.out.splitlines())
    assert folders[:2] == ["mkdir", "-p"]
    assert {"models", "records/stage1-0", "tables", ".", "keys"} <= set(folders)
    assert all((line[0], line[-3:-1]) == ("rm", ["&&", "touch"]) for line in lines)
    commands = [line[line.index("sublingual") : -3] for line in lines]
    assert all(str(Path(command[-1]).parent) in folders for command in commands if ">" in command)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBLINGUAL_UD", str(embedded_folder()))
    (facts,) = [command for command in commands if command[1:3] == ["data", "facts"]]
    assert run(*facts[1:]).code == 0
    assert (tmp_path / "facts.jsonl").is_file()
    graph = steps(study("smoke", words=SMALL[1::2]), ud=embedded_folder())
    assert "facts" in to_do(graph, tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / lines[commands.index(facts)][-1]).touch()
    assert "facts" not in to_do(graph, tmp_path)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("joint.set=[bacth=3]", "joint: unknown key 'bacth'; did you mean 'batch'"),
        ("stage1.set=[finetune.stepz=3]", "stage1: unknown"),
        ("meta.adapt=[optimiser=adam]", "meta.adapt: unknown"),
        ("finding.heads.set=[prune.keep=much]", "finding.heads: "),
    ],
)
def test_words_that_a_step_would_refuse_are_refused_in_the_plan(
    run: Run, tmp_path: Path, word: str, message: str
) -> None:
    ran = run("study", "run", "--scale", "smoke", "--dry-run", "--out", tmp_path / "s", "--set", word)
    assert ran.code == 2
    assert message in ran.last


def test_where_nothing_is_to_do_the_settings_are_kept_all_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("study", "status", "--out", tmp_path)
    assert f"holds no study; begin one: sublingual study run --scale SCALE --out {tmp_path}" in ran.last
    monkeypatch.setattr("sublingual.cli.study.to_do", lambda *_, **__: {})
    assert run("study", "run", "--scale", "smoke", "--out", tmp_path, *SMALL).code == 0
    assert run("study", "status", "--out", tmp_path).code == 0
    chosen, _ = read_plan(tmp_path / PLAN)
    assert chosen.tests.cap == 2
    assert run("study", "run", "--out", tmp_path, *SMALL, "--set", "tests.cap=3").code == 0
    assert read_plan(tmp_path / PLAN)[0].tests.cap == 3


def test_a_report_leaves_out_what_was_made_with_other_settings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts that were made now, and records whose step has the key of other settings."""
    chosen, pages = study("smoke", words=SMALL[1::2]), []
    write_plan(tmp_path, chosen, embedded_folder())
    monkeypatch.setattr("sublingual.cli.figures.report", pages.append)
    graph = steps(chosen, ud=embedded_folder())
    test, facts = (next(step for step in graph if step.name == name) for name in ("test-stage1-0-others", "facts"))
    for step in (test, facts):
        path = tmp_path / step.outputs[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    (tmp_path / "keys").mkdir()
    (tmp_path / test.mark("0123456789abcdef")).touch()
    ran = run("study", "report", "--out", tmp_path)
    assert (ran.code, "has no results yet" in ran.last) == (1, True)
    assert "left out, as made with other settings than now or not to the end: 2 of 2 files" in ran.err
    (tmp_path / facts.mark(keys(graph)["facts"])).touch()
    ran = run("study", "report", "--out", tmp_path)
    assert "not to the end: 1 of 2 files" in ran.err
    assert pages == [[tmp_path / "facts.jsonl", tmp_path / "report.html"]]
