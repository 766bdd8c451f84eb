"""The study as a user calls it, with the real commands: the smoke scale, and a toy that is killed and goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.embedded import embedded_folder
from sublingual.study.config import Study, study
from sublingual.study.progress import to_do
from sublingual.study.steps import steps

pytest.importorskip("snakemake")
pytest.importorskip("matplotlib")
UD = embedded_folder()
MAIN = "from sublingual.cli import main; main()"
TIMES = ("seconds", "cpu_seconds", "stage2_cpu_seconds")


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", MAIN, "study", *words]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def records(folder: Path) -> dict[str, list[Any]]:
    """Every record of a study, but for how long it took."""
    files = sorted([*folder.glob("records/*/*.jsonl"), *folder.glob("choices/*/*.jsonl")])
    return {
        str(path.relative_to(folder)): [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        for path in files
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_smoke_scale_goes_from_treebanks_to_the_report(tmp_path: Path) -> None:
    out = tmp_path / "smoke"
    subprocess.run(command("run", "--scale", "smoke", "--out", str(out)), check=True)
    chosen = study("smoke")
    assert to_do(steps(chosen, ud=UD), out) == {}
    shown = subprocess.run(
        command("status", "--scale", "smoke", "--out", str(out)), check=True, capture_output=True, text=True
    )
    assert {line.split("\t")[2] for line in shown.stdout.splitlines()[1:]} == {"done"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in chosen.groups["main"].systems)
    scored = [record["scored"] for found in records(out).values() for record in found if record["cap"]]
    assert all(len(names) <= 12 for names in scored)


@pytest.fixture
def toy_file(toy: Callable[..., Study], tmp_path: Path) -> Path:
    """The toy as a scale of one's own."""
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(asdict(toy())))
    return path


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[Path, str], subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(scale: Path, name: str) -> subprocess.Popen[bytes]:
        words = command("run", "--group", "main", "--scale", str(scale), "--out", str(tmp_path / name))
        running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    yield start
    for each in running:
        if each.poll() is None:
            each.kill()
            each.wait()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_study_killed_at_random_moments_gives_the_same_records(
    toy_file: Path, started: Callable[[Path, str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    began = time.monotonic()
    assert started(toy_file, "whole").wait() == 0
    duration = time.monotonic() - began
    rng = random.Random(0)
    for _ in range(10):  # each long before the end of what is left: an engine takes a tenth of the time to begin
        run = started(toy_file, "killed")
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(rng.uniform(0.02, 0.2) * duration)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert started(toy_file, "killed").wait() == 0
    whole, killed = records(tmp_path / "whole"), records(tmp_path / "killed")
    assert killed == whole
    assert (
        sum(map(len, whole.values())) == 2 + 3 + 3 * 2
    )  # of two points, three tests, three own tests of two languages
