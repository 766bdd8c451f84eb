"""Stage 2 (section 4.2): train a parser on several languages, each in its subnetwork. The six systems differ in two
arguments: the gates, and the outer loop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from sublingual.adaptation import AdaptConfig
from sublingual.config import load
from sublingual.data.batches import Encoded, Sampler
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError
from sublingual.model.parser import BiaffineParser
from sublingual.model.sources import BUNDLED
from sublingual.runtime import forked_random, keep_memory, resolve_precision
from sublingual.subnetworks.dynamic import DynamicConfig, LanguageSubnetworks, as_bytes
from sublingual.training.finetune import made_of
from sublingual.training.gradients import Conflicts, observe_joint
from sublingual.training.joint import joint_gradients_
from sublingual.training.loop import Pace, Progress, Step, refuse_divergence, run_
from sublingual.training.meta import meta_gradients_
from sublingual.training.optim import OptimConfig, Rates, optimizer, trained
from sublingual.training.ranks import ALONE, Ranks
from sublingual.training.runs import State, only_run_in

Loop = Literal["joint", "meta"]
COSINES = "cosines"


@dataclass(frozen=True)
class Stage2Config:
    """How stage 2 trains; the defaults are the paper's (section 4.2, 4.4; Table 7), `inner` counts for the meta loop alone.

    `steps`: iterations of the joint loop (the paper: 1,000) or episodes (500). `batch`: sentences of each language in an
    iteration, or in a support and in a query set. `outer`: Adam for all parameters, without weight decay or clipping
    (docs/protocol.md 1C). `dynamic`: how gates are learned, where they are. Raises ConfigError for impossible numbers.
    """

    steps: int = 1000
    batch: int = 20
    seed: int = 0
    outer: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            encoder_rate=5e-5, classifier_rate=5e-4, weight_decay=0.0, beta2=0.999, clip=float("inf"), embeddings=True
        )
    )
    inner: AdaptConfig = field(
        default_factory=lambda: AdaptConfig(
            optimizer="sgd", encoder_rate=1e-5, classifier_rate=5e-4, clip=float("inf"), precision="auto"
        )
    )
    dynamic: DynamicConfig = field(default_factory=DynamicConfig)
    checkpoint_every: int = 10
    budget: int = 4096
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every", "budget"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: it is 1 or more")
        if self.inner.steps < 1:
            raise ConfigError(f"inner.steps {self.inner.steps}: it is 1 or more")


def stage2_config(loop: str, encoder: str) -> Stage2Config:
    """Returns the settings of a loop for an encoder: a preset for the bundled one and for the meta loop, else the defaults."""
    if encoder == BUNDLED:
        return load(Stage2Config, f"{loop}-{BUNDLED}")
    return load(Stage2Config, "paper-meta") if loop == "meta" else Stage2Config()


@dataclass(frozen=True)
class Stage2:
    """What a run gave: seconds of processor time, also of what was done before it was stopped, and steps that were done here.

    By language: how many gates differ from those of the start, and how many were switched in all its steps, to and fro.
    """

    cpu_seconds: float
    steps: int
    changed: Mapping[str, int]
    switched: Mapping[str, int]


def stage2_(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    data: Mapping[str, Sequence[Sentence]],
    *,
    loop: Loop,
    config: Stage2Config,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    conflicts: Conflicts | None = None,
    ranks: Ranks = ALONE,
) -> Stage2:
    """Trains the network and learned gates in place and returns what came of it.

    `data` has the sentences of every language of the gates. All systems of one seed see the same batches in the same
    order. With a folder the run resumes as `finetune_` does. `conflicts` sees each language's gradients (section 7.2).
    With several `ranks` each process runs some of the languages, and all end with the same parameters.
    Raises DataError for a language without annotated sentences, TrainingError for a loss that is not finite (naming
    language and sentences), for a folder in use or of another run, for a full disk.
    """
    for language in gates.languages:
        if not any(head is not None for sentence in data.get(language, ()) for head in sentence.heads):
            raise DataError(
                f"no annotated sentence of {language} to train on; give a treebank, or leave the language out"
            )
    resolve_precision(config.precision, network.device)
    keep_memory()
    encoded = {language: network.encode(data[language], gold=True) for language in gates.languages}
    held = nullcontext() if folder is None or ranks.rank else only_run_in(folder)
    with held, forked_random(network.device):
        run = _Run(network, gates, encoded, loop, config, folder, conflicts, ranks)
        pace = Pace(config.steps, config.steps, config.checkpoint_every)
        steps = run_(run.state, run.step, pace=pace, folder=folder, progress=progress)
        network.eval()
        if conflicts is not None:  # also of steps that were observed before this process went on
            kept = run.state.notes.get(COSINES, {})
            conflicts.cosines = {int(step): torch.tensor(rows, dtype=torch.float64) for step, rows in kept.items()}
        return Stage2(run.state.cpu_seconds, steps, gates.changed(), run.state.notes["switched"])


class Draws:
    """One sampler a language, each with random numbers of its own: what one language draws does not depend on the others."""

    def __init__(self, sizes: Mapping[str, int], *, batch: int, seed: int) -> None:
        self.samplers = {
            language: Sampler(n, size=batch, generator=torch.Generator().manual_seed(_seed(seed, language)))
            for language, n in sizes.items()
        }

    def draw(self) -> dict[str, list[int]]:
        return {language: sampler.draw() for language, sampler in self.samplers.items()}

    def state(self) -> dict[str, Tensor]:
        return {f"{code}.{name}": t for code, s in self.samplers.items() for name, t in s.state().items()}

    def restore_(self, state: dict[str, Tensor]) -> None:
        for code, sampler in self.samplers.items():
            sampler.restore_({n.removeprefix(f"{code}."): t for n, t in state.items() if n.startswith(f"{code}.")})


def _hold(held: dict[int, list[Tensor | None]], i: int, gradients: Sequence[Tensor | None]) -> None:
    """Keeps a language's gradients until every process has its own."""
    held[i] = [None if g is None else g.detach().clone() for g in gradients]


def _seed(seed: int, language: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {language}".encode()).digest()[:7], "little")


class _Run:
    """What one iteration or one episode is."""

    def __init__(
        self,
        network: BiaffineParser,
        gates: LanguageSubnetworks,
        encoded: Mapping[str, Sequence[Encoded]],
        loop: Loop,
        config: Stage2Config,
        folder: Path | None,
        conflicts: Conflicts | None,
        ranks: Ranks,
    ) -> None:
        self.network, self.gates, self.encoded, self.loop, self.config = network, gates, encoded, loop, config
        self.folder, self.conflicts, self.ranks = folder, conflicts, ranks
        torch.manual_seed(config.seed + 1_000_003 * ranks.rank)
        self.draws = Draws({code: len(e) for code, e in encoded.items()}, batch=config.batch, seed=config.seed)
        adam = optimizer(network, config.outer, of_encoder=gates.of_encoder())
        learned = trained(gates.parameters())
        if learned:
            adam.add_param_group({"name": "gates", "params": learned, "lr": config.dynamic.rate, "weight_decay": 0.0})
        both = nn.ModuleDict({"parser": network, "gates": gates})
        notes = {"run": self._identity(), "switched": dict.fromkeys(gates.languages, 0)}
        self.state = State(both, adam, self.draws, notes=notes, ranks=ranks)
        self.rates = Rates(adam, config.outer, steps=config.steps)

    def step(self) -> Step:
        c, adam = self.config, self.state.optimizer
        self.rates.set_(self.state.step)
        before = self.gates.binary()
        drawn = [self._draw() for _ in range(1 if self.loop == "joint" else 2)]
        losses, values = self._joint(drawn[0]) if self.loop == "joint" else self._meta(*drawn)
        self.ranks.sum_gradients_(trained([*self.network.parameters(), *self.gates.parameters()]))
        if self.conflicts is not None and self.conflicts.wants(self.state.step):
            found = self.conflicts.cosines[self.state.step].tolist()
            self.state.notes.setdefault(COSINES, {})[str(self.state.step)] = found
        norm = float(torch.nn.utils.clip_grad_norm_(trained(self.network.parameters()), c.outer.clip))
        mean = sum(losses) / len(losses)
        refuse_divergence(
            mean, norm, step=self.state.step + 1, places=self._places(losses, drawn[-1]), folder=self.folder
        )
        adam.step()
        adam.zero_grad(set_to_none=True)
        switched = (self.gates.binary() != before).flatten(1).sum(dim=1).tolist()
        for code, loss, n in zip(self.gates.languages, losses, switched, strict=True):
            values |= {f"loss_{code}": loss, f"switched_{code}": float(n)}
            self.state.notes["switched"][code] += n
        n_pieces = sum(e.n_pieces for batches in drawn for batch in batches for e in batch)
        return Step(mean, n_pieces, values)

    def _draw(self) -> list[list[Encoded]]:
        return [[self.encoded[code][i] for i in chosen] for code, chosen in self.draws.draw().items()]

    def _joint(self, batches: list[list[Encoded]]) -> tuple[list[float], dict[str, float]]:
        c, step = self.config, self.state.step
        if self.conflicts is not None and self.conflicts.wants(step):
            conflicts = self.conflicts
            observe_joint(
                self.network, self.gates, batches, conflicts, step=step, budget=c.budget, precision=c.precision
            )
        own = self.ranks.share(batches)
        losses = joint_gradients_(self.network, self.gates, own, budget=c.budget, precision=c.precision)
        return self.ranks.summed(losses, device=self.network.device), {}

    def _meta(
        self, supports: list[list[Encoded]], queries: list[list[Encoded]]
    ) -> tuple[list[float], dict[str, float]]:
        c, step = self.config, self.state.step
        seen = self.conflicts if self.conflicts is not None and self.conflicts.wants(step) else None
        held: dict[int, list[Tensor | None]] = {}
        alone = self.ranks.size == 1
        episode = meta_gradients_(
            self.network,
            self.gates,
            self.ranks.share(supports),
            self.ranks.share(queries),
            inner=c.inner,
            budget=c.budget,
            precision=c.precision,
            observe=None if seen is None else partial(seen, step) if alone else partial(_hold, held),
        )
        if seen is not None and not alone:
            parameters = trained(self.network.parameters())
            for i in range(len(queries)):
                own = held.get(i, [None] * len(parameters))
                seen(step, i, self.ranks.from_owner(i, own, like=parameters))
        before, after, query = (
            self.ranks.summed(losses, device=self.network.device)
            for losses in (episode.before, episode.after, episode.query)
        )
        values: dict[str, float] = {}
        for code, first, last in zip(self.gates.languages, before, after, strict=True):
            values |= {f"support_before_{code}": first, f"support_after_{code}": last}
        return query, values

    def _places(self, losses: Sequence[float], batches: Sequence[Sequence[Encoded]]) -> str:
        """The sentences of the languages whose loss is not finite, or of all where only the gradient is not."""
        named = zip(self.gates.languages, losses, batches, strict=True)
        entries = [(code, batch) for code, loss, batch in named if loss != loss or abs(loss) == float("inf")]
        entries = entries or list(zip(self.gates.languages, batches, strict=True))
        return "; ".join(f"{code}: {', '.join(e.sentence.place for e in batch)}" for code, batch in entries)

    def _identity(self) -> str:
        """A hash of what makes this run this run: loop, settings, gates, sentences, and what the parser is made of."""
        settings = [self.loop, asdict(self.config), self.gates.languages, type(self.gates).__name__]
        digest = hashlib.sha256(json.dumps([settings, made_of(self.network)], sort_keys=True).encode())
        for p in self.network.state_dict().values():
            digest.update(as_bytes(p))
        digest.update(self.gates.identity())
        for code, encoded in self.encoded.items():
            digest.update(f"\0{code}\0".encode())
            for e in encoded:
                digest.update(e.sentence.to_conllu().encode())
        return digest.hexdigest()
