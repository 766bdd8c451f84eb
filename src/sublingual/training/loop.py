"""The loop that all training shares: steps, metrics, checkpoints, progress, and a stop that loses nothing."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from sublingual.errors import TrainingError
from sublingual.training.runs import Metrics, State, load_checkpoint_, refuse_full_disk, save_checkpoint


@dataclass(frozen=True)
class Pace:
    """How many steps a run has, and after how many it is scored and written down."""

    steps: int
    eval_every: int
    checkpoint_every: int


@dataclass(frozen=True)
class Step:
    """What one step gave: the loss per word, the pieces that were read, and other numbers for the metrics."""

    loss: float
    n_pieces: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows: the step just done, its loss per word, pieces per second, seconds left, last dev LAS."""

    step: int
    steps: int
    loss: float
    speed: float
    seconds_left: float
    dev_las: float | None


def run_(
    state: State,
    take: Callable[[], Step],
    *,
    pace: Pace,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> int:
    """Takes the run's steps from its first, or from where the folder's checkpoint left it; returns how many were done here.

    `take` changes the state's parts by one step; `evaluate` gives scores where they are due. Resumed, a run ends with the
    same bits as one that never stopped (same machine, threads and versions). The state counts this process's seconds of
    processor time for all steps since the first, but for those that a kill lost. On SIGTERM it writes a checkpoint and exits
    with 143. Raises TrainingError for a full disk and for a folder of another run.
    """
    leads = state.ranks.rank == 0
    if folder is not None:
        if leads:
            refuse_full_disk(folder, state.most_bytes())
        load_checkpoint_(folder, state)
    metrics = None if folder is None or not leads else Metrics(folder, from_step=state.step)
    first, began, stop = state.step, time.monotonic(), _Stop()
    spent = state.cpu_seconds - time.process_time()
    previous = _on_signal(signal.SIGTERM, stop)
    try:
        while state.step < pace.steps:
            started = time.monotonic()
            step = take()
            state.step += 1
            speed = step.n_pieces / (time.monotonic() - started)
            _account(state, step, pace=pace, evaluate=evaluate, metrics=metrics, speed=speed)
            state.cpu_seconds = spent + time.process_time()
            # Read once: a signal after this line stops the next step, which is then kept.
            asked = state.ranks.any(stop.number)
            if folder is not None and (_due(state.step, pace.checkpoint_every, pace) or asked):
                save_checkpoint(folder, state)
            if progress is not None:
                left = (time.monotonic() - began) / (state.step - first) * (pace.steps - state.step)
                progress(Progress(state.step, pace.steps, step.loss, speed, left, state.notes.get("dev_las")))
            if asked is not None:
                raise SystemExit(128 + asked)
    finally:
        _on_signal(signal.SIGTERM, previous)
        if metrics is not None:
            metrics.close()
    return state.step - first


def _account(
    state: State,
    step: Step,
    *,
    pace: Pace,
    evaluate: Callable[[], Mapping[str, float]] | None,
    metrics: Metrics | None,
    speed: float,
) -> None:
    """Scores where that is due, and writes the step's numbers."""
    values = {"loss": step.loss, **step.values}
    if evaluate is not None and _due(state.step, pace.eval_every, pace):
        values |= evaluate()
    if metrics is not None:
        metrics.write(state.step, values, timing={"pieces_per_second": speed})


def _due(step: int, every: int, pace: Pace) -> bool:
    return step % every == 0 or step == pace.steps


def refuse_divergence(loss: float, norm: float, *, step: int, places: str, folder: Path | None) -> None:
    """Raises TrainingError for a loss or a gradient that is not finite; `places` says whose sentences it was."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    kept = f"; the last checkpoint in {folder} stays" if folder else ""
    raise TrainingError(
        f"the loss of step {step} is {loss}, the norm of its gradient {norm}{kept}; lower the rates, or train in fp32 "
        f"(its sentences: {places})"
    )


class _Stop:
    """A signal handler that only remembers."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        self.number = number


def _on_signal(number: int, handler: object) -> object:
    """Sets a handler where this thread may (only the main thread can) and returns the one before."""
    try:
        return signal.signal(number, handler)  # type: ignore[arg-type]
    except ValueError:
        return handler
