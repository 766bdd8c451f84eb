"""The paper's idea on what the package carries: gates found for two languages, then full, static and dynamic compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.embedded import embedded
from sublingual.data.support import draw_support
from sublingual.demo_page import SystemResult, SystemsResult
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.subnetworks.gates import Subnetwork
from sublingual.subnetworks.importance import PruneConfig
from sublingual.subnetworks.systems import system
from sublingual.training.finding import FindConfig, find
from sublingual.training.finetune import FinetuneConfig
from sublingual.training.optim import OptimConfig
from sublingual.training.stage2 import Stage2Config
from sublingual.training.system import train_system
from sublingual.transfer import transfer

SOURCES = {"hi": "UD_Hindi-Demo", "no": "UD_Norwegian-Demo"}
SYSTEMS = ("nonep-full", "nonep-static", "nonep-dynamic")


def _finding() -> FindConfig:
    tuned = FinetuneConfig(steps=20, batch=10, optim=OptimConfig(encoder_rate=1e-4, classifier_rate=1e-3))
    return FindConfig(finetune=tuned, prune=PruneConfig(keep=0.9))


def _stage2() -> Stage2Config:
    outer = OptimConfig(encoder_rate=1e-4, classifier_rate=1e-3, weight_decay=0.0, beta2=0.999)
    return Stage2Config(steps=20, batch=10, outer=outer)


@dataclass(frozen=True)
class SystemsConfig:
    """How the demo finds gates (keeping 90 % of the dev LAS, which nine sentences measure coarsely) and trains stage 2."""

    finding: FindConfig = field(default_factory=_finding)
    stage2: Stage2Config = field(default_factory=_stage2)
    adaptation: AdaptConfig = field(default_factory=AdaptConfig)


def compare_systems(
    base: Parser,
    targets: tuple[str, ...],
    *,
    config: SystemsConfig,
    seed: int,
    stage: Callable[[str], None],
) -> SystemsResult:
    """Returns the gates of the two languages and, for each system, LAS on their test sentences and on the targets'.

    The targets are adapted to with twenty sentences, in the subnetwork of the nearer of the two languages.
    """
    found = {code: _found(base, code, config=config, seed=seed, stage=stage) for code in SOURCES}
    rows = []
    for name in SYSTEMS:
        stage(f"Stage 2, {name}: {config.stage2.steps} iterations on {' and '.join(SOURCES)}")
        parser = _trained(base, name, found, config=config, seed=seed)
        own = {code: _own(parser, code) for code in SOURCES}
        rows.append(SystemResult(name, own, {t: _adapted(parser, t, config=config, seed=seed) for t in targets}))
    return SystemsResult(tuple(found.values()), tuple(rows))


def _found(base: Parser, code: str, *, config: SystemsConfig, seed: int, stage: Callable[[str], None]) -> Subnetwork:
    stage(f"Finding the subnetwork of {code}: {config.finding.finetune.steps} steps, then pruning")
    bank, parser = embedded(SOURCES[code]), replace(base, network=deepcopy(base.network))
    with tempfile.TemporaryDirectory() as folder:
        return find(
            parser,
            code,
            train=bank.files("train"),
            dev=bank.files("dev"),
            config=config.finding,
            seed=seed,
            folder=Path(folder),
        )


def _trained(base: Parser, name: str, found: Mapping[str, Subnetwork], *, config: SystemsConfig, seed: int) -> Parser:
    files = {code: embedded(bank).files("train") for code, bank in SOURCES.items()}
    own = {code: [subnetwork] for code, subnetwork in found.items()}
    start = replace(base, network=deepcopy(base.network))
    chosen = replace(config.stage2, seed=seed)
    return train_system(start, files, row=system(name), config=chosen, found=own).parser


def _own(parser: Parser, code: str) -> float:
    """LAS on the language's test sentences in its own subnetwork."""
    gold = embedded(SOURCES[code]).sentences("test")
    return score(gold, replace(parser, gates=parser.subnetworks.get(code)).parse(gold)).las.f1


def _adapted(parser: Parser, target: str, *, config: SystemsConfig, seed: int) -> float:
    bank = embedded(target)
    test = bank.sentences("test")
    drawn = draw_support(bank, test, seed=seed)
    gold = [test[i] for i in drawn.rest]
    gates = transfer(parser, target).gates
    adapted = adapt(parser, drawn.support, config=config.adaptation, seed=seed, gates=gates)
    return score(gold, adapted.parser.parse(gold)).las.f1
