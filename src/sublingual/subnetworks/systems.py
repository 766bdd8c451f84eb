"""The systems as rows of one table (resources/systems.toml): a loop and the gates; the paper's six, controls, ablations."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from sublingual.config import from_mapping
from sublingual.errors import ConfigError
from sublingual.subnetworks.gates import Subnetwork, bad, full, intersection, random_off, shuffled, union
from sublingual.subnetworks.masks import WeightSubnetwork, intersection_of_weights, union_of_weights, whole

Loop = Literal["joint", "meta", "none"]
Gates = Literal["full", "static", "dynamic"]
Start = Literal["union", "intersection", "shuffled", "random", "bad"]
Kind = Literal["heads", "weights", "adapters"]


@dataclass(frozen=True)
class System:
    """One row. `loop` and `gates` make the six systems; the rest are controls and ablations (section 8, 7.1).

    `start`: the gates to hold or to learn on from: the `union` of the seeds' subnetworks (the paper's), their
    `intersection`, the union `shuffled`, `random` ones, or `bad` ones (drawn among those that pruning kept). `off`: how
    many attention heads a random or bad start switches off, or which share.
    `kind`: subnetworks of attention `heads`, or of single `weights` (section 8), which can only be joined; or `adapters` of all
    languages, which are learned from nothing on the frozen encoder.
    `dynamic_off`: how many are off while gates are learned, where that is not the settings' (`DynamicConfig.off`).
    `only` and `all_but`: the languages that are restricted, or that are not (7.1); the others run in full.
    """

    name: str = ""
    loop: Loop = "joint"
    gates: Gates = "full"
    kind: Kind = "heads"
    start: Start = "union"
    off: int | float | None = None
    dynamic_off: float | Literal["static"] | None = None
    only: tuple[str, ...] | None = None
    all_but: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.off is not None) != (self.start in ("random", "bad")):
            raise ConfigError(f"system {self.name!r}: `off` goes with start = random or bad, and those need it")
        if self.kind == "weights" and self.start not in ("union", "intersection"):
            raise ConfigError(f"system {self.name!r}: single weights start from a union or an intersection")
        if self.kind == "adapters" and (self.gates, self.start, self.only, self.all_but) != (
            "static",
            "union",
            None,
            None,
        ):
            raise ConfigError(f"system {self.name!r}: adapters are of all languages, and go with gates = static alone")
        if self.only is not None and self.all_but is not None:
            raise ConfigError(f"system {self.name!r}: give `only` or `all_but`, not both")

    @property
    def is_drawn(self) -> bool:
        """Whether the gates at the start are a random control's."""
        return self.start in ("shuffled", "random", "bad")

    @property
    def made_from(self) -> Literal["heads", "weights"] | None:
        """The kind of the subnetworks, found before, that the gates at the start are made from; None where they need none."""
        if self.gates == "full" or self.start == "random" or self.kind == "adapters":
            return None
        return self.kind

    def restricts(self, language: str) -> bool:
        """Whether the language runs in a subnetwork at all."""
        if self.gates == "full":
            return False
        return language in self.only if self.only is not None else language not in (self.all_but or ())


def systems(own: Path | None = None) -> dict[str, System]:
    """Returns the package's systems by name, and those of a file of one's own, which is written as `systems.toml` is.

    Raises ConfigError for a file that cannot be read, an unknown key, and a name that is taken.
    """
    known = _rows((files("sublingual") / "resources" / "systems.toml").read_text(encoding="utf-8"), "systems.toml")
    if own is None:
        return known
    try:
        mine = _rows(own.read_text(encoding="utf-8"), str(own))
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{own} cannot be read as a table of systems ({fault})") from fault
    begins = {"joint": "nonep-", "meta": "meta-"}
    for name, row in mine.items():
        if not name.startswith(begin := begins.get(row.loop, "")):
            raise ConfigError(f"{own}: {name!r} is of the {row.loop} loop, so that its name begins with {begin!r}")
    if taken := sorted({*known} & {*mine}):
        raise ConfigError(f"{own}: the name {taken[0]!r} is taken by one of the package's systems; choose another")
    return known | mine


def _rows(text: str, source: str) -> dict[str, System]:
    rows = tomllib.loads(text)
    return {name: replace(from_mapping(System, row, source=source), name=name) for name, row in rows.items()}


def system(name: str, *, own: Path | None = None) -> System:
    """Returns the system of that name; `nonep-static-only-ar` and `nonep-static-all-but-ar` mask one language (7.1).

    Each row of the joint loop has a twin of the meta loop. `own`: a file of further rows. Raises ConfigError for an unknown
    name.
    """
    known = systems(own)
    for twin in [row for row in known.values() if row.loop == "joint"]:
        meta = twin.name.replace("nonep-", "meta-")
        known.setdefault(meta, replace(twin, name=meta, loop="meta"))
    base, _, only = name.partition("-only-")
    if only and base in known:
        return replace(known[base], name=name, only=tuple(only.split("-")))
    base, _, all_but = name.partition("-all-but-")
    if all_but and base in known:
        return replace(known[base], name=name, all_but=tuple(all_but.split("-")))
    if name not in known:
        raise ConfigError(
            f"unknown system {name!r}; there are: {', '.join(known)}, and NAME-only-CODE, NAME-all-but-CODE"
        )
    return known[name]


@cache
def is_known(name: str) -> bool:
    """Whether the package itself has a system of that name."""
    try:
        system(name)
    except ConfigError:
        return False
    return True


def starting_gates(
    row: System,
    found: Mapping[str, Sequence[Subnetwork]],
    languages: Sequence[str],
    *,
    shape: tuple[int, int],
    seed: int,
) -> dict[str, Subnetwork]:
    """Returns each language's gates at the start of stage 2; `found` are the subnetworks of its seeds.

    What is drawn at random is drawn for each language anew. Raises ConfigError where the row needs some and a language
    has none.
    """
    started = {}
    for i, language in enumerate(languages):
        if not row.restricts(language):
            started[language] = full(*shape, language=language)
            continue
        generator = np.random.default_rng([seed, i])
        started[language] = _started(row, found.get(language, ()), language, shape=shape, generator=generator)
    return started


def starting_weights(
    row: System,
    found: Mapping[str, Sequence[WeightSubnetwork]],
    languages: Sequence[str],
    *,
    shapes: Mapping[str, Sequence[int]],
) -> dict[str, WeightSubnetwork]:
    """As `starting_gates`, for subnetworks of single weights; `shapes` are those of the attention's weights by name."""
    join = intersection_of_weights if row.start == "intersection" else union_of_weights
    started = {}
    for language in languages:
        if row.restricts(language) and not found.get(language):
            raise _missing(row, language)
        started[language] = join(found[language]) if row.restricts(language) else whole(shapes, language=language)
    return started


def _missing(row: System, language: str) -> ConfigError:
    kind = " --kind weights" if row.kind == "weights" else ""
    return ConfigError(
        f"system {row.name!r} needs a subnetwork of {language}; find one: sublingual subnetwork find{kind}"
    )


def _started(
    row: System,
    found: Sequence[Subnetwork],
    language: str,
    *,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> Subnetwork:
    if row.start == "random":
        assert row.off is not None
        return random_off(full(*shape, language=language), n_off=_n_off(row.off, shape), generator=generator)
    if not found:
        raise _missing(row, language)
    if row.start == "intersection":
        return intersection(found)
    joined = union(found)
    if row.start == "shuffled":
        return shuffled(joined, generator=generator)
    if row.start == "bad":
        assert row.off is not None
        return bad(joined, n_off=_n_off(row.off, shape), generator=generator)
    return joined


def _n_off(off: int | float, shape: tuple[int, int]) -> int:
    """A count, or a share of all attention heads rounded down."""
    return off if isinstance(off, int) else int(off * shape[0] * shape[1])
