"""A training run's folder: one run at a time in it, its metrics, and checkpoints from which it goes on to the same bits."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sublingual.errors import TrainingError
from sublingual.locks import only_run_in as only_run_in  # which each run's folder is held by
from sublingual.training.ranks import ALONE, Ranks

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
_log = logging.getLogger(__name__)


class Metrics:
    """Numbers of a run: one JSON line a step in `metrics.jsonl`, and TensorBoard's files where that is installed.

    What a stopped run wrote of steps after `from_step`, which will be done again, is taken out first.
    """

    def __init__(self, folder: Path, *, from_step: int = 0) -> None:
        self.path = folder / METRICS
        fresh = folder / f"{METRICS}.new"
        try:
            fresh.write_text("".join(_lines_until(self.path, from_step)), encoding="utf-8")
            os.replace(fresh, self.path)
        except OSError as fault:
            raise TrainingError(_unwritable(self.path, fault)) from fault
        self.board = _board(folder / "tensorboard", from_step)

    def write(self, step: int, values: Mapping[str, float], *, timing: Mapping[str, float] | None = None) -> None:
        """Writes the values of a step. `timing`, which differs from run to run, goes to TensorBoard alone."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as fault:
            raise TrainingError(_unwritable(self.path, fault)) from fault
        if self.board is not None:
            for name, value in {**values, **(timing or {})}.items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The lines of steps up to this one; a kill may have left the last line of a later step unfinished."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() and step else []:
        try:
            if not json.loads(line)["step"] <= step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line)
    return kept


def _unwritable(path: Path, fault: OSError) -> str:
    return (
        f"{path} could not be written ({fault}); the last checkpoint is whole: make room and start the same run again"
    )


def _board(folder: Path, from_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # an extra (`sublingual[tracking]`), and slow to import
    except ImportError:
        _log.info("no TensorBoard here: metrics go to %s alone (pip install 'sublingual[tracking]')", METRICS)
        return None
    return SummaryWriter(str(folder), purge_step=from_step + 1)


@runtime_checkable
class Draws(Protocol):
    """What draws a run's batches: `data.batches.Sampler`, or several of them."""

    def state(self) -> dict[str, Tensor]: ...

    def restore_(self, state: dict[str, Tensor]) -> None: ...


@dataclass
class State:
    """All that a run's future depends on: saved and restored together. `best` are the weights kept so far, if any.

    `notes` are JSON values; `notes["run"]` says whose state it is, and no other run's is restored into it.
    `keeps_best`: the run will keep its best weights as well, which its checkpoints need room for. `ranks`: the processes
    of the run, which share all but their random states; all of them call `tensors`, one writes. `cpu_seconds` were spent so
    far; no future depends on them.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    sampler: Draws
    step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    keeps_best: bool = False
    ranks: Ranks = ALONE
    cpu_seconds: float = 0.0

    def most_bytes(self) -> int:
        """Returns the size of a checkpoint at most: the weights, two moments of those that are trained, the best weights."""
        weights = sum(t.nbytes for t in self.network.state_dict().values())
        moments = 2 * sum(p.nbytes for group in self.optimizer.param_groups for p in group["params"])
        return weights + moments + (weights if self.keeps_best else 0)

    def tensors(self) -> dict[str, Tensor]:
        """Returns every tensor of the state, torch's random state among them, by name."""
        found = {f"model.{name}": t for name, t in self.network.state_dict().items()}
        found |= {f"optimizer.{name}": t for name, t in _optimizer_tensors(self.optimizer).items()}
        found |= {f"sampler.{name}": t for name, t in self.sampler.state().items()}
        found |= {f"best.{name}": t for name, t in self.best.items()}
        found |= {_random("cpu", i): t for i, t in enumerate(self.ranks.gathered(torch.get_rng_state()))}
        if torch.cuda.is_available():
            found |= {_random("cuda", i): t for i, t in enumerate(self.ranks.gathered(torch.cuda.get_rng_state()))}
        return {name: t.detach().cpu().contiguous().clone() for name, t in found.items()}

    def restore_(self, tensors: Mapping[str, Tensor]) -> None:
        """Sets network, optimizer, sampler, best weights and torch's random state."""
        self.network.load_state_dict(_under("model.", tensors))
        _restore_optimizer_(self.optimizer, _under("optimizer.", tensors))
        self.sampler.restore_(_under("sampler.", tensors))
        self.best = _under("best.", tensors)
        torch.set_rng_state(tensors.get(_random("cpu", self.ranks.rank), tensors["random.cpu"]))
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors.get(_random("cuda", self.ranks.rank), tensors["random.cuda"]))


def _random(kind: str, rank: int) -> str:
    """The name of a process's random state."""
    return f"random.{kind}" + (f".{rank}" if rank else "")


def save_checkpoint(folder: Path, state: State) -> None:
    """Writes the state into one file; the checkpoint before stays whole until this one is.

    Raises TrainingError where the disk is full; the old checkpoint is then untouched.
    """
    tensors = state.tensors()
    if state.ranks.rank:
        return
    entry = json.dumps({"step": state.step, "notes": state.notes})
    fresh = folder / f"{CHECKPOINT}.new"
    try:
        sealed = {"state": entry, "sha256": _digest(tensors, entry), "cpu_seconds": str(state.cpu_seconds)}
        save_file(tensors, fresh, metadata=sealed)
        _sync(fresh)
        os.replace(fresh, folder / CHECKPOINT)
        _sync(folder)
    except (OSError, SafetensorError) as fault:
        fresh.unlink(missing_ok=True)
        needed, free = sum(t.nbytes for t in tensors.values()), shutil.disk_usage(folder).free
        raise TrainingError(
            f"{folder}: the checkpoint of step {state.step} could not be written ({fault}; it takes {needed / 1e6:.1f} MB, "
            f"free are {free / 1e6:.1f} MB); the one before is whole: make room and start the same run again"
        ) from fault


def load_checkpoint_(folder: Path, state: State) -> bool:
    """Restores the state from the folder's checkpoint; returns whether there was one.

    Raises TrainingError for a damaged one and for one of another run; the state is then as it was.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return False
    try:
        tensors, raw = load_file(path), _metadata(path)
        entry, spent = json.loads(raw["state"]), float(raw.get("cpu_seconds", 0.0))
        if _digest(tensors, raw["state"]) != raw["sha256"]:
            raise ValueError("its SHA-256 is not the recorded one")
    except (OSError, ValueError, KeyError, SafetensorError) as fault:
        raise TrainingError(f"{path}: the checkpoint is damaged ({fault}); delete it to start anew") from fault
    if entry["notes"].get("run") != state.notes.get("run"):
        raise TrainingError(
            f"{path} is of a run with other settings, data or parser; choose another folder, or delete it"
        )
    state.restore_(tensors)
    state.step, state.notes, state.cpu_seconds = int(entry["step"]), entry["notes"], spent
    return True


def refuse_full_disk(folder: Path, size: int) -> None:
    """Raises TrainingError where the folder's disk has no room for a checkpoint of so many bytes and the one before it."""
    there = folder / CHECKPOINT
    needed = 2 * size - (there.stat().st_size if there.exists() else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(
            f"{folder}: the run's checkpoints take up to {needed / 1e6:.1f} MB, free are {free / 1e6:.1f} MB; make room, or "
            f"choose another folder"
        )


def _digest(tensors: Mapping[str, Tensor], entry: str) -> str:
    """SHA-256 over the entry and over each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(entry.encode())
    for name in sorted(tensors):
        digest.update(f"\0{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\0".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, entry in state.items() for name, value in entry.items()}


def _restore_optimizer_(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        i, name = key.split(".", 1)
        state.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _sync(path: Path) -> None:
    """Waits until the file, or the folder's list of files, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
