"""Stage 1: fine-tune the whole parser on one or more treebanks (section 4.2), also used before pruning."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

import torch

from sublingual.data.batches import Encoded, Sampler, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import parse
from sublingual.runtime import autocast, keep_memory, resolve_precision
from sublingual.scoring import Score, score
from sublingual.training.optim import OptimConfig, optimizer, rate_factor, thaw_, trained
from sublingual.training.runs import Metrics, State, load_checkpoint_, only_run_in, refuse_full_disk, save_checkpoint


@dataclass(frozen=True)
class FinetuneConfig:
    """How long, on what batches, and which weights are kept.

    The paper trains 60 epochs of English-EWT; 1,600 steps of 20 sentences are 2.6 epochs, what a laptop does in minutes.
    `select`: the weights of the `last` step, or of the `best` dev UAS + LAS (Langedijk et al.). `dev_sentences`: how many
    are scored on the way, evenly drawn; the last score is over all. `budget`: pieces in one forward pass. Raises
    ConfigError for numbers that no run can have.
    """

    steps: int = 1600
    batch: int = 20
    seed: int = 0
    optim: OptimConfig = field(default_factory=OptimConfig)
    select: Literal["last", "best"] = "last"
    eval_every: int = 400
    checkpoint_every: int = 200
    dev_sentences: int = 300
    budget: int = 4096
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "eval_every", "checkpoint_every", "dev_sentences", "budget"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: it is 1 or more")
        if self.select not in ("last", "best"):
            raise ConfigError(f"unknown select {self.select!r}; allowed: last, best")


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows: the step just done, its loss per word, pieces per second, seconds left, last dev LAS."""

    step: int
    steps: int
    loss: float
    speed: float
    seconds_left: float
    dev_las: float | None


@dataclass(frozen=True)
class Finetuned:
    """What a run gave: dev scores after its last step (None without dev sentences), seconds, steps that were done here."""

    dev: Score | None
    seconds: float
    steps: int


def finetune_(
    network: BiaffineParser,
    train: Sequence[Sentence],
    *,
    config: FinetuneConfig,
    dev: Sequence[Sentence] = (),
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Finetuned:
    """Trains the network in place and returns what came of it.

    With a folder the run writes metrics and checkpoints there and goes on where it stopped, to the same bits as a run
    that never stopped (same machine, threads and versions). Raises TrainingError for a loss that is not finite (the last
    checkpoint stays), for a folder in use or of another run, for a full disk; DataError where no word is annotated. On
    SIGTERM it writes a checkpoint and exits with 143.
    """
    if not train:
        raise ConfigError("no sentences to train on")
    if not any(head is not None for sentence in train for head in sentence.heads):
        raise DataError(
            f"none of the {len(train)} sentences to train on has a word with a head; annotate HEAD and DEPREL"
        )
    if config.select == "best" and not dev:
        raise ConfigError("select = 'best' needs dev sentences; give some, or select = 'last'")
    resolve_precision(config.precision, network.device)
    keep_memory()
    encoded = network.encode(train, gold=True)
    network.encode(dev, gold=False)
    held = nullcontext() if folder is None else only_run_in(folder)
    with held, torch.random.fork_rng(devices=_cuda_devices(network)):
        return _Run(network, encoded, config, dev, folder, progress).go()


def _cuda_devices(network: BiaffineParser) -> list[int]:
    return [network.device.index or 0] if network.device.type == "cuda" else []


class _Run:
    """One fine-tuning run from its first or its next step to its last."""

    def __init__(
        self,
        network: BiaffineParser,
        encoded: list[Encoded],
        config: FinetuneConfig,
        dev: Sequence[Sentence],
        folder: Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.network, self.encoded, self.config, self.dev = network, encoded, config, list(dev)
        self.folder, self.progress = folder, progress
        torch.manual_seed(config.seed)
        sampler = Sampler(len(encoded), size=config.batch, generator=torch.Generator().manual_seed(config.seed))
        notes = {"run": self._identity(), "dev_las": None, "best": -1.0}
        self.state = State(network, optimizer(network, config.optim), sampler, notes=notes)
        self.rates = [float(group["lr"]) for group in self.state.optimizer.param_groups]
        self.factor = rate_factor(config.optim.schedule, steps=config.steps, warmup=config.optim.warmup)
        self.stop_signal: int | None = None
        if folder is not None:
            refuse_full_disk(folder, self._checkpoint_bytes())
            load_checkpoint_(folder, self.state)
        self.metrics = None if folder is None else Metrics(folder, from_step=self.state.step)

    def go(self) -> Finetuned:
        began, first, state = time.monotonic(), self.state.step, self.state
        previous = _on_signal(signal.SIGTERM, self._ask_to_stop)
        try:
            while state.step < self.config.steps:
                self._one(began, first)
        finally:
            _on_signal(signal.SIGTERM, previous)
            if self.metrics is not None:
                self.metrics.close()
        dev = self._finish()
        return Finetuned(dev, time.monotonic() - began, state.step - first)

    def _one(self, began: float, first: int) -> None:
        started = time.monotonic()
        loss, n_pieces = self._update()
        self.state.step += 1
        done, c = self.state.step, self.config
        speed = n_pieces / (time.monotonic() - started)
        values = {"loss": loss}
        if self.dev and (done % c.eval_every == 0 or done == c.steps):
            values |= self._evaluate()
        if self.metrics is not None:
            self.metrics.write(done, values, timing={"pieces_per_second": speed})
        stopped_by = self.stop_signal  # read once: a signal after this line stops the next step, which is then kept
        if self.folder is not None and (done % c.checkpoint_every == 0 or done == c.steps or stopped_by):
            save_checkpoint(self.folder, self.state)
        if self.progress is not None:
            left = (time.monotonic() - began) / (done - first) * (c.steps - done)
            self.progress(Progress(done, c.steps, loss, speed, left, self.state.notes["dev_las"]))
        if stopped_by is not None:
            raise SystemExit(128 + stopped_by)

    def _update(self) -> tuple[float, int]:
        """One optimizer step on one batch; returns the loss per annotated word and the pieces that were read."""
        c, state = self.config, self.state
        self.network.train()
        thaw_(self.network, c.optim, step=state.step)
        for group, rate in zip(state.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.factor(state.step)
        drawn = [self.encoded[i] for i in state.sampler.draw()]
        n_words = max(1, sum(int((e.heads >= 0).sum()) for e in drawn))
        total = 0.0
        for run in micro_batches(drawn, budget=c.budget):
            with autocast(self.network.device, precision=c.precision):
                loss = self.network.loss(pack(run).to(self.network.device)).total / n_words
            total += loss.item()
            loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(trained(self.network.parameters()), c.optim.clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(self._diverged(total, norm, drawn))
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return total, sum(e.n_pieces for e in drawn)

    def _diverged(self, loss: float, norm: float, drawn: Sequence[Encoded]) -> str:
        places = ", ".join(e.sentence.place for e in drawn)
        kept = f"; the last checkpoint in {self.folder} stays" if self.folder else ""
        return (
            f"the loss of step {self.state.step + 1} is {loss}, the norm of its gradient {norm}{kept}; lower the rates, or "
            f"train in fp32 (its sentences: {places})"
        )

    def _evaluate(self) -> dict[str, float]:
        """Dev scores in fp32; keeps the weights if they are the best so far and that was asked for."""
        n = min(len(self.dev), self.config.dev_sentences)
        sample = [self.dev[i * len(self.dev) // n] for i in range(n)]
        with torch.random.fork_rng(devices=_cuda_devices(self.network)):
            found = score(sample, parse(self.network, sample))
        notes = self.state.notes
        notes["dev_las"] = found.las.f1
        if self.config.select == "best" and found.uas.f1 + found.las.f1 > notes["best"]:
            notes["best"] = found.uas.f1 + found.las.f1
            self.state.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        return {"dev_uas": found.uas.f1, "dev_las": notes["dev_las"]}

    def _finish(self) -> Score | None:
        if self.config.select == "best":
            self.network.load_state_dict(self.state.best)
        self.network.eval()
        return score(self.dev, parse(self.network, self.dev)) if self.dev else None

    def _checkpoint_bytes(self) -> int:
        """The size of a checkpoint at most: the weights, two moments of those that are trained, the best weights."""
        weights = sum(t.nbytes for t in self.network.state_dict().values())
        moments = 2 * sum(p.nbytes for group in self.state.optimizer.param_groups for p in group["params"])
        return weights + moments + (weights if self.config.select == "best" else 0)

    def _identity(self) -> str:
        """A hash of what makes this run this run: settings, sentences, and what the parser is made of."""
        encoder = self.network.encoder
        parser = [asdict(self.network.config), self.network.vocabulary.labels, encoder.identity, encoder.kept.tolist()]
        digest = hashlib.sha256(json.dumps([asdict(self.config), parser], sort_keys=True).encode())
        for sentence in [*(e.sentence for e in self.encoded), None, *self.dev]:
            digest.update(b"\0dev\0" if sentence is None else sentence.to_conllu().encode())
        return digest.hexdigest()

    def _ask_to_stop(self, number: int, _: FrameType | None) -> None:
        self.stop_signal = number


def _on_signal(number: int, handler: object) -> object:
    """Sets a handler where this thread may (only the main thread can) and returns the one before."""
    try:
        return signal.signal(number, handler)  # type: ignore[arg-type]
    except ValueError:
        return handler
