"""Material -> every table, each computed when it is asked for and then kept: what commands, figures and the report share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sublingual.analysis.ablations import CONTROLS, Ablation, ablations
from sublingual.analysis.baselines import is_baseline
from sublingual.analysis.beside import Beside
from sublingual.analysis.cells import cells_of
from sublingual.analysis.choices import PointRow, choice_table
from sublingual.analysis.conflicts import ConflictRow, conflict_table
from sublingual.analysis.factors import Factor, factors
from sublingual.analysis.guidance import Guidance, guidance
from sublingual.analysis.intervals import Resampled, resampled
from sublingual.analysis.labels import LabelTable, label_table, training_files
from sublingual.analysis.material import Material
from sublingual.analysis.own import OwnTable, own_table
from sublingual.analysis.paper import ENCODER, Baselines, baselines
from sublingual.analysis.records import Run, by_system, refuse_unknown
from sublingual.analysis.replication import Replicated, ReplicatedFactor, replicated, replicated_factors
from sublingual.analysis.statistics import Paired, compare_systems
from sublingual.analysis.tables import OWN_FULL, SystemTable, TreebankTable, bases_of, system_table, treebank_table
from sublingual.data.catalogue import stage2_treebanks
from sublingual.errors import ConfigError


@dataclass(frozen=True)
class Results:
    """The tables of some material. `base`: the system that others are compared with, "full" for each loop's own, None: none.

    Raises ConfigError for a base that no record has, whether or not a table will ask for it.
    """

    material: Material
    base: str | None = None
    seed: int = 0
    n_resamples: int = 10_000

    def __post_init__(self) -> None:
        if self.base is None or self.base == OWN_FULL:
            return
        if known := {**by_system(self.runs), **by_system(self.material.own)}:
            refuse_unknown(self.base, known, kind="system")

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.material.runs

    def main(self) -> Results:
        """Returns the results without controls and other sizes of support, which have tables and figures of their own."""
        return self._of([run for name, own in by_system(self.runs).items() if not is_control(name) for run in own])

    @cached_property
    def subject(self) -> Results:
        """The same without baselines, which learned from other files: what labels, factors and guidance are of."""
        return self._of([run for run in self.runs if not is_baseline(run.system)])

    def _of(self, runs: Sequence[Run]) -> Results:
        """The results of some of the runs; without a base where these have none."""
        try:
            base = self.base if self.base is not None and bases_of(by_system(runs), self.base) else None
        except ConfigError:
            base = None
        return replace(self, material=replace(self.material, runs=tuple(runs)), base=base)

    @cached_property
    def bases(self) -> dict[str, str]:
        return {} if self.base is None else bases_of(by_system(self.runs), self.base)

    @cached_property
    def systems(self) -> SystemTable:
        return system_table(self.runs)

    @cached_property
    def treebanks(self) -> TreebankTable:
        facts = self.material.facts
        words, kept = ({name: getattr(each, kind) for name, each in facts.items()} for kind in ("words", "kept"))
        return treebank_table(self.runs, bases=self.bases, words=words, sentences=kept)

    @cached_property
    def comparisons(self) -> tuple[Paired, ...]:
        """On the table's treebanks, and only of systems that have scores there."""
        scored = {row.system for row in self.systems.rows if row.las is not None}
        own = [run for run in self.runs if run.treebank in self.systems.treebanks]
        pairs = {system: base for system, base in self.bases.items() if {system, base} <= scored}
        return compare_systems(own, pairs)

    @cached_property
    def resampled(self) -> Resampled:
        return resampled(self.runs, generator=self._generator(2), n_resamples=self.n_resamples)

    @cached_property
    def beside(self) -> Beside:
        """What stands beside the scores; intervals only where records have seeds, which the paper's rows have not."""
        if all(run.support_seed is None for run in self.runs):
            return Beside(baselines=self._baselines())
        means = {name: {t: cell.las for t, cell in own.items()} for name, own in cells_of(self.runs).items()}
        differences = self.resampled.differences(self.bases, means) if self.bases else None
        return Beside(self.resampled, differences, self._baselines())

    def _baselines(self) -> dict[str, Baselines] | None:
        found = baselines()
        return found if any(run.treebank in found for run in self.runs) else None

    @cached_property
    def labels(self) -> LabelTable:
        return label_table(
            self.subject.runs, self.material.facts, generator=self._generator(3), n_resamples=self.n_resamples
        )

    @cached_property
    def own(self) -> OwnTable:
        return own_table(self.material.own)

    @cached_property
    def own_resampled(self) -> Resampled:
        return resampled(self.material.own, generator=self._generator(4), n_resamples=self.n_resamples)

    @cached_property
    def own_comparisons(self) -> tuple[Paired, ...]:
        """Of the systems with their bases on the training languages' own tests; controls have a table of their own."""
        here = [run for run in self.material.own if run.treebank in self.own.compared]
        runs = [run for name, own in by_system(here).items() if not is_control(name) for run in own]
        if self.base is None or not runs:
            return ()
        try:
            bases = bases_of(by_system(runs), self.base)
        except ConfigError:  # there is none on these tests
            return ()
        return compare_systems(runs, bases)

    @cached_property
    def conflicts(self) -> tuple[ConflictRow, ...]:
        return conflict_table(self.material.conflicts, generator=self._generator(5), n_resamples=self.n_resamples)

    @cached_property
    def ablations(self) -> tuple[Ablation, ...]:
        own = self.material.own
        return ablations(self.runs, own, generator=self._generator(6), n_resamples=self.n_resamples)

    @cached_property
    def encoder(self) -> str:
        """The name of the encoder of the runs; the paper's for the paper's rows."""
        named = {run.details.parser.encoder for run in self.runs if run.details.parser is not None}
        return " and ".join(sorted(named)) or ENCODER

    @cached_property
    def training(self) -> tuple[str, ...]:
        """The treebanks that the parsers were trained on; the paper's where records do not say."""
        used = tuple(dict.fromkeys(file.name for file in training_files(self.subject.runs)))
        return used or ("UD_English-EWT", *stage2_treebanks())

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        return factors(self.treebanks, self.material.facts, encoder=self.encoder, training=self.training)

    @cached_property
    def replicated(self) -> tuple[Replicated, ...]:
        return replicated(self._over_full.treebanks, self._over_full.beside)

    @cached_property
    def replicated_factors(self) -> tuple[ReplicatedFactor, ...]:
        return replicated_factors(self._over_full.treebanks, self.factors, self.material.facts)

    @cached_property
    def _over_full(self) -> Results:
        """Against the full system of each loop, as the paper prints gains, whatever the base of other tables is."""
        return self if self.base == OWN_FULL else replace(self, base=OWN_FULL)._of(self.runs)

    @cached_property
    def guidance(self) -> Guidance | None:
        """Which system for which language, from the main systems alone; None for too few languages."""
        generator = self._generator(7)
        return guidance(self.subject.treebanks, self.factors, generator=generator, n_resamples=self.n_resamples)

    @cached_property
    def choices(self) -> tuple[PointRow, ...]:
        return choice_table(self.material.choices, generator=self._generator(8), n_resamples=self.n_resamples)

    def _generator(self, number: int) -> np.random.Generator:
        """Random numbers of a table's own: what it says does not depend on which others were asked for."""
        return np.random.default_rng([self.seed, number])


def is_control(name: str) -> bool:
    """Whether a row of that name is a control, an ablation or another size of support, and no system to compare with."""
    return re.search(r"[( ]n=\d", name) is not None or any(re.fullmatch(control.pattern, name) for control in CONTROLS)


def support_sizes(runs: Sequence[Run]) -> Mapping[str, dict[int, list[Run]]]:
    """Returns the runs of learning curves, which have a reserve, by curve and size of support.

    A curve is of one system, one way of transfer, which its name says as a row's does, and one reserve, named where others
    are.
    """
    curves = [run for run in runs if run.reserve is not None and run.is_fewshot]
    found: dict[str, dict[int, list[Run]]] = {}
    for name, own in by_system(curves, sizes=False).items():
        is_one = len({run.reserve for run in own}) == 1
        for run in own:
            if run.n is not None:
                found.setdefault(name if is_one else f"{name}, of {run.reserve}", {}).setdefault(run.n, []).append(run)
    return found
