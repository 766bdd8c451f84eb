"""A study as settings: which systems, treebanks, seeds and schedules. A scale (`scales/*.toml`) is one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Literal

from sublingual.config import changed, load, presets, values_of
from sublingual.data.catalogue import catalogue, stage2_treebanks
from sublingual.errors import ConfigError
from sublingual.subnetworks.systems import System, system

SCALES = ("smoke", "small", "paper")
EMBEDDED = "embedded"
WAYS = ("nearest", "random", "full", "mixture", "importance", "choice", "cross-validated")
"""How a test chooses a subnetwork: the methods of `transfer.transfer`, whose module needs torch."""

Kind = Literal["heads", "weights"]


@dataclass(frozen=True)
class Settings:
    """What a command is given: `config` is a preset or file (None: the encoder's own), `set` are words that change it."""

    config: str | None = None
    set: tuple[str, ...] = ()

    def said(self) -> tuple[str, ...]:
        """Returns the words of the command line that say these settings."""
        config = () if self.config is None else ("--config", self.config)
        return (*config, *named("--set", self.set))

    def refers(self) -> str:
        """Returns what the preset or file that is named says, without its comments; ConfigError where it is neither."""
        if self.config is None:
            return ""
        path = Path(self.config)
        if self.config not in presets() and not (path.is_absolute() and path.is_file()):
            raise ConfigError(f"{self.config}: neither a preset nor a file of settings with its whole path")
        return json.dumps(values_of(self.config), sort_keys=True, default=str)


@dataclass(frozen=True)
class Stage1(Settings):
    """Stage 1: what it learns from, and is scored on as it learns (none: the dev splits of the same)."""

    treebanks: tuple[str, ...] = ("UD_English-EWT",)


@dataclass(frozen=True)
class Pooled(Settings):
    """The baseline `udify`: what it learns from, as in stage 1 (none: all of the release that can be trained on)."""

    treebanks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """How subnetworks are found: `seeds` runs a language (section 4.3.1: 4), each from the raw `encoder` or from `stage1`.

    `epochs`: over the language's training sentences before pruning, in batches of 20; 0 for the steps of the settings.
    `heads` and `weights`: the settings for attention heads and for single weights (section 8).
    """

    seeds: int = 4
    start: Literal["encoder", "stage1"] = "encoder"
    epochs: int = 0
    heads: Settings = field(default_factory=Settings)
    weights: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Loop(Settings):
    """A loop of stage 2; `adapt` are words for the adaptation at test time of what it trains."""

    adapt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A grid of two rates, tried on the validation treebanks (appendix A, Table 7) with one seed.

    `trains`: the system that is trained at each point. `rates`: of the `outer` or the `inner` loop. `adapts`: adaptation has
    the same rates (section 4.5), as the paper's non-episodic models do. `after`: the choice that the points start from.
    It counts for every system whose name begins with its own; the longest name wins.
    """

    trains: str
    rates: Literal["outer", "inner"] = "outer"
    encoder: tuple[float, ...] = (1e-4, 5e-5, 1e-5)
    classifier: tuple[float, ...] = (1e-3, 5e-4, 1e-4)
    adapts: bool = False
    after: str | None = None

    def points(self) -> list[tuple[float, float]]:
        return list(product(self.encoder, self.classifier))


@dataclass(frozen=True)
class Group:
    """Systems that are tested alike; those of the first group are the study's subject.

    `seeds`: training seeds, None for the study's own number. `fewshot`: tested few-shot on the `treebanks` (none: those of
    the tests), in the subnetwork that `transfer` chooses, with support sets of these `sizes` (none: that of the tests;
    several are nested and score the same sentences). `own`: tested without adaptation on the training languages (Table 4,
    Figure 3). `gates`: tested in those that this system starts with, in place of its own. `beside`: baselines, whose rows
    stand beside the first group's in its tables.
    """

    systems: tuple[str, ...]
    seeds: int | None = None
    fewshot: bool = True
    own: bool = False
    beside: bool = False
    transfer: str = "nearest"
    gates: str | None = None
    treebanks: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()

    def refuse_impossible(self, name: str, *, row: Callable[[str], System]) -> None:
        """Raises ConfigError for what would fail once all is trained; `name` is the group's, `row` finds a system."""
        if self.seeds is not None and self.seeds < 1:
            raise ConfigError(f"{name}.seeds {self.seeds}: it is 1 or more; leave it out for the study's own number")
        if self.transfer not in WAYS and not re.fullmatch("[a-z]{2,3}", self.transfer):
            raise ConfigError(f"{name}.transfer {self.transfer!r}: allowed are {', '.join(WAYS)}, or a language's code")
        if not self.systems:
            raise ConfigError(f"{name}.systems: a group has at least one")
        if self.sizes and min(self.sizes) < 1:
            raise ConfigError(f"{name}.sizes {list(self.sizes)}: a support set has 1 sentence or more")
        if self.gates is not None:
            row(f"nonep-{self.gates}")
        otherwise = f"transfer = {self.transfer!r}" if self.transfer != "nearest" else ""
        otherwise = f"gates = {self.gates!r}" if self.gates is not None else otherwise
        whole = [each for each in self.systems if row(each).gates == "full"] if otherwise else []
        if whole:
            raise ConfigError(f"{name}: {whole[0]} has no subnetworks, so that {otherwise} means nothing to it")


@dataclass(frozen=True)
class Tests:
    """The few-shot tests: `treebanks` (none: the paper's 86), `supports` support sets a trained parser, `n` sentences each.

    `cap`: a fixed random sample of that many test sentences is scored, less those of the support set; None for all.
    """

    treebanks: tuple[str, ...] = ()
    supports: int = 1
    n: int = 20
    cap: int | None = None


@dataclass(frozen=True)
class Cost:
    """Seconds of one step with these settings, as measured: a processor's, or a GPU's where the scale has one.

    `start` is what every step spends before its work; `test` is one treebank with one support set, `own` one without. `on`:
    what they were measured on, which the budget says.
    """

    on: str = ""

    start: float = 6.0
    stage1: float = 10800.0
    pooled: float = 10800.0
    heads: float = 3600.0
    weights: float = 3600.0
    joint: float = 3600.0
    meta: float = 21600.0
    test: float = 20.0
    own: float = 20.0


@dataclass(frozen=True)
class Study:
    """The whole study; defaults are the paper's.

    `ud`: `embedded`, or empty for the UD release that commands find. `seeds`: seed s trains stage 1 and stage 2 and draws
    the s-th support set. `languages`: the treebanks of stage 2 (none: the paper's seven). `systems`: a file of systems
    beside the package's, written as `resources/systems.toml`, with its whole path. `conflicts`: in how many last steps the
    gradients of languages are compared (section 7.2), for the six systems. `gpus`, `memory_mb`: what a step asks of a
    cluster.
    """

    scale: str = ""
    ud: str = ""
    encoder: str = "bert-base-multilingual-cased"
    seeds: int = 5
    systems: str = ""
    languages: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    conflicts: int = 50
    threads: int = 1
    cores: int = 2
    gpus: int = 0
    memory_mb: int = 4000
    stage1: Stage1 = field(default_factory=Stage1)
    pooled: Pooled = field(default_factory=Pooled)
    finding: Finding = field(default_factory=Finding)
    joint: Loop = field(default_factory=Loop)
    meta: Loop = field(default_factory=Loop)
    choices: dict[str, Choice] = field(default_factory=dict)
    tests: Tests = field(default_factory=Tests)
    groups: dict[str, Group] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        if min(self.seeds, self.threads, self.cores, self.finding.seeds, self.tests.supports, self.tests.n) < 1:
            raise ConfigError("seeds, threads, cores, finding.seeds, tests.supports and tests.n are 1 or more")
        if self.tests.cap is not None and self.tests.cap < 1:
            raise ConfigError(f"tests.cap {self.tests.cap}: it is 1 or more; leave it out to score all")
        if not self.groups:
            raise ConfigError("a study has at least one of groups; write [groups.main] with systems = [...]")
        is_folder = self.encoder.startswith(".") or Path(self.encoder).is_dir()  # else it is a name
        for name, path, what in (
            ("encoder", self.encoder if is_folder else "", "folder"),
            ("systems", self.systems, "file"),
        ):
            if path and not Path(path).is_absolute():
                raise ConfigError(
                    f"{name} {path!r}: write the {what}'s whole path, since steps run in the study's folder"
                )
        for name, choice in self.choices.items():
            if choice.after is not None and choice.after not in self.choices:
                raise ConfigError(f"choices.{name}.after {choice.after!r}: there is no such choice")
            if self.row(choice.trains).loop == "none":
                raise ConfigError(f"choices.{name}.trains {choice.trains!r}: it has no rates of stage 2")
            self._refuse_circle(name)
        for name, group in self.groups.items():
            group.refuse_impossible(f"groups.{name}", row=self.row)

    def _refuse_circle(self, name: str) -> None:
        seen, after = {name}, self.choices[name].after
        while after is not None:
            if after in seen:
                raise ConfigError(f"choices.{name}.after: the choices {', '.join(sorted(seen))} wait for each other")
            seen.add(after)
            after = self.choices[after].after if after in self.choices else None

    def row(self, name: str) -> System:
        """Returns the system of that name, the package's or one's own. ConfigError as `systems.system`."""
        return system(name, own=Path(self.systems) if self.systems else None)

    def training_treebanks(self) -> tuple[str, ...]:
        return self.languages or stage2_treebanks()

    def test_treebanks(self) -> tuple[str, ...]:
        return self.tests.treebanks or tuple(entry.name for entry in catalogue() if entry.role == "test")

    def validation_treebanks(self) -> tuple[str, ...]:
        return self.validation or tuple(entry.name for entry in catalogue() if entry.role == "validation")


def named(option: str, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the words that give an option each of the values."""
    return tuple(word for value in values for word in (option, value))


def study(scale: str, *, words: tuple[str, ...] = ()) -> Study:
    """Returns the study of a scale, or of a TOML file, with `key=value` words applied; ConfigError as `config.load`."""
    if scale in SCALES:
        path = Path(str(files("sublingual") / "study" / "scales" / f"{scale}.toml"))
    elif Path(scale).suffix in (".toml", ".json"):
        path = Path(scale)
    else:
        raise ConfigError(f"unknown scale {scale!r}; there are {', '.join(SCALES)}, or name a .toml or .json file")
    return changed(load(Study, path, words=[f"scale={path.stem}"]), words)
