"""Stage 1: fine-tune the whole parser on one or more treebanks (section 4.2), also used before pruning."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from sublingual.data.batches import Encoded, Sampler, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import parse
from sublingual.runtime import autocast, forked_random, keep_memory, resolve_precision
from sublingual.scoring import Score, score
from sublingual.training.loop import Pace, Progress, Step, refuse_divergence, run_
from sublingual.training.optim import OptimConfig, Rates, optimizer, thaw_, trained
from sublingual.training.runs import State, only_run_in


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
    with held, forked_random(network.device):
        began, run = time.monotonic(), _Run(network, encoded, config, dev, folder)
        pace = Pace(config.steps, config.eval_every, config.checkpoint_every)
        evaluate = run.evaluate if dev else None
        steps = run_(run.state, run.step, pace=pace, evaluate=evaluate, folder=folder, progress=progress)
        return Finetuned(run.finish(), time.monotonic() - began, steps)


class _Run:
    """What one step of fine-tuning is, and what is scored on the way."""

    def __init__(
        self,
        network: BiaffineParser,
        encoded: list[Encoded],
        config: FinetuneConfig,
        dev: Sequence[Sentence],
        folder: Path | None,
    ) -> None:
        self.network, self.encoded, self.config, self.dev, self.folder = network, encoded, config, list(dev), folder
        torch.manual_seed(config.seed)
        self.sampler = Sampler(len(encoded), size=config.batch, generator=torch.Generator().manual_seed(config.seed))
        notes = {"run": self._identity(), "dev_las": None, "best": -1.0}
        keeps_best = config.select == "best"
        self.state = State(network, optimizer(network, config.optim), self.sampler, notes=notes, keeps_best=keeps_best)
        self.rates = Rates(self.state.optimizer, config.optim, steps=config.steps)

    def step(self) -> Step:
        """One optimizer step on one batch."""
        c, state = self.config, self.state
        self.network.train()
        thaw_(self.network, c.optim, step=state.step)
        self.rates.set_(state.step)
        drawn = [self.encoded[i] for i in self.sampler.draw()]
        n_words = max(1, sum(int((e.heads >= 0).sum()) for e in drawn))
        total = 0.0
        for run in micro_batches(drawn, budget=c.budget):
            with autocast(self.network.device, precision=c.precision):
                loss = self.network.loss(pack(run).to(self.network.device)).total / n_words
            total += loss.item()
            loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(trained(self.network.parameters()), c.optim.clip))
        places = ", ".join(e.sentence.place for e in drawn)
        refuse_divergence(total, norm, step=state.step + 1, places=places, folder=self.folder)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return Step(total, sum(e.n_pieces for e in drawn))

    def evaluate(self) -> dict[str, float]:
        """Dev scores in fp32; keeps the weights if they are the best so far and that was asked for."""
        n = min(len(self.dev), self.config.dev_sentences)
        sample = [self.dev[i * len(self.dev) // n] for i in range(n)]
        with forked_random(self.network.device):
            found = score(sample, parse(self.network, sample))
        notes = self.state.notes
        notes["dev_las"] = found.las.f1
        if self.config.select == "best" and found.uas.f1 + found.las.f1 > notes["best"]:
            notes["best"] = found.uas.f1 + found.las.f1
            self.state.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        return {"dev_uas": found.uas.f1, "dev_las": notes["dev_las"]}

    def finish(self) -> Score | None:
        if self.config.select == "best":
            self.network.load_state_dict(self.state.best)
        self.network.eval()
        return score(self.dev, parse(self.network, self.dev)) if self.dev else None

    def _identity(self) -> str:
        """A hash of what makes this run this run: settings, sentences, and what the parser is made of."""
        digest = hashlib.sha256(json.dumps([asdict(self.config), made_of(self.network)], sort_keys=True).encode())
        for sentence in [*(e.sentence for e in self.encoded), None, *self.dev]:
            digest.update(b"\0dev\0" if sentence is None else sentence.to_conllu().encode())
        return digest.hexdigest()


def made_of(network: BiaffineParser) -> list[Any]:
    """Returns what a parser is made of, as JSON values, for the identity of a run."""
    encoder = network.encoder
    return [asdict(network.config), network.vocabulary.labels, encoder.identity, encoder.kept.tolist()]
