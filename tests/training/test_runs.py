"""A run's folder: its lock, its metrics, its checkpoints, and what faults do to them."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from sublingual.data.batches import Sampler
from sublingual.errors import TrainingError
from sublingual.training import runs
from sublingual.training.runs import (
    CHECKPOINT,
    Metrics,
    State,
    load_checkpoint_,
    only_run_in,
    refuse_full_disk,
    save_checkpoint,
)

Run = Callable[[Callable[[], object]], int]
Damage = Callable[[bytes, int, random.Random], bytes]


def made(*, seed: int = 0, run: str = "a") -> State:
    """A small state after some steps; its second layer has no optimizer state yet, as a frozen one has none."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    state = State(network, optimizer, Sampler(10, size=3, generator=generator), notes={"run": run, "best": 0.1})
    for p in network[1].parameters():
        p.requires_grad_(False)
    for _ in range(seed):
        advance(state)
    return state


def advance(state: State) -> None:
    """A step of training that uses all of the state, dropout from torch's random state included."""
    drawn = torch.tensor(state.sampler.draw(), dtype=torch.float32)
    kept = nn.functional.dropout(drawn, 0.5)
    state.network(kept.repeat(2)[:4]).square().sum().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1


def same(a: State, b: State) -> bool:
    x, y = a.tensors(), b.tensors()
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) and a.notes == b.notes


def test_a_second_run_in_the_folder_is_refused_and_the_holder_named(tmp_path: Path) -> None:
    message = rf"another run is in this folder \(process {os.getpid()} on .* since 20"
    first, second = only_run_in(tmp_path / "run"), only_run_in(tmp_path / "run")
    with first, pytest.raises(TrainingError, match=message), second:
        pass
    with only_run_in(tmp_path / "run"):
        pass


def test_a_killed_run_leaves_no_lock(tmp_path: Path, start: Run) -> None:
    def hold() -> None:
        with only_run_in(tmp_path):
            (tmp_path / "held").touch()
            time.sleep(60)

    child = start(hold)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(TrainingError, match=f"process {child} on"), only_run_in(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with only_run_in(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="no run can be kept here"), only_run_in(tmp_path / "file" / "run"):
        pass


def test_metrics_are_one_json_line_a_step_and_the_same_numbers_in_tensorboard(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for step in (1, 2, 3):
        metrics.write(step, {"loss": 1 / step}, timing={"pieces_per_second": 7.0 * step})
    metrics.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": step, "loss": 1 / step} for step in (1, 2, 3)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("loss")] == [(step, pytest.approx(1 / step)) for step in (1, 2, 3)]
    assert [e.value for e in board.Scalars("pieces_per_second")] == [7.0, 14.0, 21.0]


def test_metrics_of_steps_that_are_done_again_are_not_doubled(tmp_path: Path) -> None:
    for first, last in ((0, 5), (3, 6)):
        metrics = Metrics(tmp_path, from_step=first)
        for step in range(first + 1, last + 1):
            metrics.write(step, {"loss": step + first / 10})
        metrics.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": s, "loss": s + (0.3 if s > 3 else 0)} for s in range(1, 7)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in board.Scalars("loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("cut", range(1, 22))
def test_a_line_cut_by_a_kill_is_taken_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = ['{"step": 1, "loss": 0.5}\n', '{"step": 2, "loss": 0.25}\n']
    path.write_text("".join(whole) + '{"step": 3, "loss": 0'[:cut])
    Metrics(tmp_path, from_step=2).close()
    assert path.read_text() == "".join(whole)


def test_without_tensorboard_the_json_lines_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    metrics = Metrics(tmp_path)
    metrics.write(1, {"loss": 2.0})
    metrics.close()
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl"}
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 2.0}\n'


def test_metrics_that_cannot_be_written_are_an_error_that_says_so(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.close()
    metrics.path.unlink()
    metrics.path.mkdir()
    with pytest.raises(
        TrainingError, match=r"metrics.jsonl could not be written .*make room and start the same run again"
    ):
        metrics.write(1, {"loss": 2.0})
    with pytest.raises(TrainingError, match=r"metrics.jsonl could not be written"):
        Metrics(tmp_path)


def test_a_restored_state_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = made(seed=4)
        state.best = {"0.weight": torch.randn(3, 4)}
        save_checkpoint(tmp_path, state)
        other = made()
        torch.manual_seed(99)
        for _ in range(3):
            advance(other)
        assert load_checkpoint_(tmp_path, other)
        assert same(state, other)
        assert other.step == 4
        assert torch.equal(other.best["0.weight"], state.best["0.weight"])
        random_state = torch.get_rng_state()
        for s in (state, other):
            torch.set_rng_state(random_state)
            for p in s.network.parameters():  # the frozen layer wakes after the resume
                p.requires_grad_(True)
            for _ in range(5):
                advance(s)
        assert same(state, other)


def test_parameters_without_a_gradient_yet_have_no_optimizer_state_before_and_after(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, made(seed=4))
    other = made()
    load_checkpoint_(tmp_path, other)
    assert set(other.optimizer.state_dict()["state"]) == {0, 1}
    for p in other.network.parameters():
        p.requires_grad_(True)
    advance(other)
    steps = {i: float(s["step"]) for i, s in other.optimizer.state_dict()["state"].items()}
    assert steps == {0: 5.0, 1: 5.0, 2: 1.0, 3: 1.0}


def test_without_a_checkpoint_nothing_is_restored(tmp_path: Path) -> None:
    state = made()
    assert not load_checkpoint_(tmp_path, state)
    assert same(state, made())


def test_a_checkpoint_of_another_run_is_refused_and_nothing_restored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, made(seed=3, run="other"))
    state = made()
    with pytest.raises(TrainingError, match="is of a run with other settings, data or parser; choose another folder"):
        load_checkpoint_(tmp_path, state)
    assert same(state, made())


def refused_or_same(folder: Path, raw: bytes, state: State) -> str:
    """`refused` for an error that names the file and leaves the state alone; `same` for the state that was saved."""
    (folder / CHECKPOINT).write_bytes(raw)
    other = made()
    try:
        load_checkpoint_(folder, other)
    except TrainingError as fault:
        return "refused" if str(folder / CHECKPOINT) in str(fault) and same(other, made()) else "wrong"
    return "same" if same(other, state) else "wrong"


@pytest.mark.parametrize("n", [60, pytest.param(900, marks=pytest.mark.slow)])
def test_damage_to_a_checkpoint_is_found(tmp_path: Path, damaged: Damage, n: int) -> None:
    state = made(seed=4)
    save_checkpoint(tmp_path, state)
    raw = (tmp_path / CHECKPOINT).read_bytes()
    rng = random.Random(0)
    found = []
    for i in range(n):
        bad = damaged(raw, i % 3, rng)
        if bad != raw:
            found.append(refused_or_same(tmp_path, bad, state))
    assert "wrong" not in found
    # Spaces after the header's JSON are no content: a flip among them alone may pass.
    assert found.count("refused") >= 0.97 * len(found)


def test_the_message_of_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, made(seed=2))
    path = tmp_path / CHECKPOINT
    raw = path.read_bytes()
    path.write_bytes(raw[:-8] + bytes([raw[-8] ^ 1]) + raw[-7:])
    with pytest.raises(
        TrainingError, match=r"is damaged \(its SHA-256 is not the recorded one\); delete it to start anew"
    ):
        load_checkpoint_(tmp_path, made())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error: no space")])
def test_a_failed_write_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    old = made(seed=2)
    save_checkpoint(tmp_path, old)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def fail(tensors: dict[str, Any], path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(runs, "save_file", fail)
    with pytest.raises(
        TrainingError, match=r"checkpoint of step 3 could not be written .*free are .* the one before is whole"
    ):
        save_checkpoint(tmp_path, made(seed=3))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_file_that_may_not_grow_leaves_the_old_checkpoint(tmp_path: Path, run: Run) -> None:
    save_checkpoint(tmp_path, made(seed=2))
    size = (tmp_path / CHECKPOINT).stat().st_size

    def write_too_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        with pytest.raises(TrainingError, match="could not be written .*too large"):
            save_checkpoint(tmp_path, made(seed=3))

    assert run(write_too_much) == 0
    state = made()
    assert load_checkpoint_(tmp_path, state)
    assert state.step == 2
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


KILLS = ["save_file before", "save_file half", "save_file after", "replace before", "replace after"]


@pytest.mark.parametrize("moment", KILLS)
@pytest.mark.parametrize("first", [True, False])
def test_a_kill_while_a_checkpoint_is_written_leaves_one_that_is_whole(
    tmp_path: Path, run: Run, moment: str, first: bool
) -> None:
    if not first:
        save_checkpoint(tmp_path, made(seed=2))
    name, when = moment.split()
    real: Callable[..., object] = runs.save_file if name == "save_file" else os.replace

    def killed(*args: Any, **kwargs: Any) -> None:
        if when != "before":
            real(*args, **kwargs)
        if when == "half":
            os.truncate(args[1], Path(args[1]).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        setattr(runs if name == "save_file" else runs.os, name, killed)
        save_checkpoint(tmp_path, made(seed=3))

    assert run(work) == -signal.SIGKILL
    state = made()
    expected = 3 if moment == "replace after" else 0 if first else 2
    assert load_checkpoint_(tmp_path, state) == (expected > 0)
    assert state.step == expected
    save_checkpoint(tmp_path, made(seed=4))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_disk_without_room_for_two_checkpoints_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 3_000_000))
    refuse_full_disk(tmp_path, 1_500_000)
    with pytest.raises(TrainingError, match=r"take up to 4\.0 MB, free are 3\.0 MB; make room"):
        refuse_full_disk(tmp_path, 2_000_000)
    (tmp_path / CHECKPOINT).write_bytes(bytes(1_000_000))
    refuse_full_disk(tmp_path, 2_000_000)
