"""One of the systems, from a stage-1 parser and treebanks to a parser with subnetworks: what `joint` and `meta` do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sublingual.data.conllu import read_conllu
from sublingual.errors import ConfigError
from sublingual.model.weights import attention_weights
from sublingual.parsing import Parser
from sublingual.subnetworks.adapters import LanguageAdapters
from sublingual.subnetworks.dynamic import DynamicGates, LanguageGates, LanguageSubnetworks, stacked
from sublingual.subnetworks.gates import Subnetwork, refuse_foreign
from sublingual.subnetworks.language_weights import DynamicWeights, LanguageWeights, mask_of
from sublingual.subnetworks.magnitude import ranks
from sublingual.subnetworks.masks import WeightSubnetwork, refuse_foreign_weights
from sublingual.subnetworks.systems import System, starting_gates, starting_weights
from sublingual.tagging import with_tagger_of
from sublingual.training.gradients import Conflicts
from sublingual.training.loop import Progress
from sublingual.training.ranks import ALONE, Ranks
from sublingual.training.stage1 import described
from sublingual.training.stage2 import Stage2, Stage2Config, stage2_


@dataclass(frozen=True)
class TrainedSystem:
    """A parser after stage 2, how that went, and the gradients of its last steps compared, where that was asked for."""

    parser: Parser
    run: Stage2
    conflicts: dict[str, Any] | None


def train_system(
    parser: Parser,
    files: Mapping[str, Sequence[Path]],
    *,
    row: System,
    config: Stage2Config,
    found: Mapping[str, Sequence[Subnetwork]] | None = None,
    weights: Mapping[str, Sequence[WeightSubnetwork]] | None = None,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    last: int = 0,
    ranks: Ranks = ALONE,
) -> TrainedSystem:
    """Returns the parser trained further as the system's row says, on the CoNLL-U files of each language; changes `parser`.

    `found`: the subnetworks of each language's seeds, where the row needs them; `weights`: those of single weights.
    With a folder the run resumes from there. `last`: in how many of the last steps the languages' gradients are compared
    (section 7.2; the paper: 50). `ranks`: the processes of the run, all of which get the same parser. Where the files have
    UPOS it learns that too, from the tagger on that it had: the encoder is not the one which that was trained on.
    Errors: those of `stage2_`, `starting_gates`, `refuse_foreign`; ConfigError for a row without stage 2.
    """
    if row.loop == "none":
        raise ConfigError(f"system {row.name!r} has no stage 2: the parser of stage 1 is all of it")
    data = {code: [s for path in paths for s in read_conllu(path, heads="partial")] for code, paths in files.items()}
    network = parser.network.with_labels_of([s for own in data.values() for s in own])
    languages = [*files]
    if row.gates == "dynamic" and row.dynamic_off is not None:
        config = replace(config, dynamic=replace(config.dynamic, off=row.dynamic_off))
    gates = _subnetworks(
        replace(parser, network=network), row, languages, config, found=found or {}, weights=weights or {}
    )
    seen = Conflicts(network, languages, steps=config.steps, last=last) if last else None
    run = stage2_(
        network,
        gates,
        data,
        loop=row.loop,
        config=config,
        folder=folder,
        progress=progress,
        conflicts=seen,
        ranks=ranks,
    )
    learned = {} if row.gates == "full" else gates.subnets()
    gates.leave_()
    about = replace(
        parser.about,
        trained_on=tuple(dict.fromkeys([*parser.about.trained_on, *languages])),
        data=(*parser.about.data, *(described(path, "train") for paths in files.values() for path in paths)),
        seeds={**parser.about.seeds, "stage2": config.seed},
        settings={
            **parser.about.settings,
            "system": row.name,
            "row": asdict(row),
            "stage2": asdict(config),
            "stage2_cpu_seconds": round(run.cpu_seconds, 1),
            **({"gates": switches(run, config.steps)} if row.gates == "dynamic" else {}),
        },
        scores={},
        note=f"Stage 2 on {len(languages)} languages, system {row.name}.",
    )
    trained = with_tagger_of(Parser(network, None, about, learned, parser.tagger), data, seed=config.seed)
    return TrainedSystem(trained, run, None if seen is None else seen.record())


def _subnetworks(
    parser: Parser,
    row: System,
    languages: Sequence[str],
    config: Stage2Config,
    *,
    found: Mapping[str, Sequence[Subnetwork]],
    weights: Mapping[str, Sequence[WeightSubnetwork]],
) -> LanguageSubnetworks:
    """What the row restricts the languages to, of its kind, where the network is."""
    if row.kind == "adapters":
        return LanguageAdapters(parser.network, languages, seed=config.seed)
    if row.kind == "weights":
        return language_weights(parser, row, weights, languages, config=config).to(parser.network.device)
    return language_gates(parser, row, found, languages, config=config).to(parser.network.device)


def with_gates_of(
    parser: Parser,
    row: System,
    *,
    found: Mapping[str, Sequence[Subnetwork]] | None = None,
    weights: Mapping[str, Sequence[WeightSubnetwork]] | None = None,
) -> Parser:
    """Returns the trained parser with the subnetworks that the row starts from in place of its own, under a name that says so.

    Nothing is trained: what it shows is how much the gates matter to these weights (footnote 2, section 8). Gates that are
    drawn are those of a system that is trained with the same seed. Errors: those of `starting_gates` and `refuse_foreign`;
    ConfigError for a parser without subnetworks and for adapters.
    """
    languages = [code for code in parser.about.trained_on if code in parser.subnetworks]  # as they were drawn
    if not languages:
        raise ConfigError(
            "the parser runs in full: it has no subnetworks to replace; name one of static or dynamic gates"
        )
    if row.kind == "adapters":
        raise ConfigError(
            "adapters are learned and start from nothing; name a row of attention heads or single weights"
        )
    about = parser.about
    held = row if row.gates == "full" else replace(row, gates="static")
    config = Stage2Config(seed=about.seeds.get("stage2", 0))
    gates = _subnetworks(parser, held, languages, config, found=found or {}, weights=weights or {})
    name = f"{about.settings.get('system', 'system')} ({row.name.partition('-')[2]})"
    return replace(
        parser, subnetworks=gates.subnets(), about=replace(about, settings={**about.settings, "system": name})
    )


def switches(run: Stage2, steps: int) -> dict[str, dict[str, int | float]]:
    """Returns by language how many gates changed since the start, and how many switched in 100 steps."""
    return {
        "changed": dict(run.changed),
        "switched_per_100_steps": {code: round(100 * n / steps, 2) for code, n in run.switched.items()},
    }


def language_gates(
    parser: Parser,
    row: System,
    found: Mapping[str, Sequence[Subnetwork]],
    languages: Sequence[str],
    *,
    config: Stage2Config,
) -> LanguageGates:
    """Returns the gates of the row at the start; gates of another encoder are refused.

    Learned ones begin in the order of their importance as it was found, or in one at random where the gates were drawn.
    """
    encoder = parser.network.encoder
    shape = (encoder.n_layers, encoder.n_attention_heads)
    for each in (s for own in found.values() for s in own):
        refuse_foreign(each, fingerprint=encoder.identity, shape=shape)
    started = starting_gates(row, found, languages, shape=shape, seed=config.seed)
    start = stacked({code: subnetwork.gates for code, subnetwork in started.items()}, languages)
    if row.gates != "dynamic":
        return LanguageGates(start, languages=languages)
    known = _drawn(shape, len(languages), config.seed) if row.is_drawn else _importance(found, languages, shape)
    return DynamicGates(start, languages=languages, config=config.dynamic, importance=known)


def language_weights(
    parser: Parser,
    row: System,
    found: Mapping[str, Sequence[WeightSubnetwork]],
    languages: Sequence[str],
    *,
    config: Stage2Config,
) -> LanguageWeights | DynamicWeights:
    """Returns the masks of single weights of the row at the start; those of another encoder are refused.

    Learned ones begin in the order of the weights' magnitude, as they were found.
    """
    encoder = parser.network.encoder
    shapes = {name: p.shape for name, p in attention_weights(encoder).items()}
    for each in (s for own in found.values() for s in own):
        refuse_foreign_weights(each, fingerprint=encoder.identity, shapes=shapes)
    started = starting_weights(row, found, languages, shapes=shapes)
    masks = {code: mask_of(subnetwork) for code, subnetwork in started.items()}
    if row.gates != "dynamic":
        return LanguageWeights(masks)
    return DynamicWeights(masks, rank=ranks(parser.network), config=config.dynamic)


def _drawn(shape: tuple[int, int], n: int, seed: int) -> torch.Tensor:
    """An order at random for each language: of gates that were drawn, what pruning found must not decide which go next."""
    return torch.tensor(np.random.default_rng([seed, n]).random((n, *shape)), dtype=torch.float32)


def _importance(
    found: Mapping[str, Sequence[Subnetwork]], languages: Sequence[str], shape: tuple[int, int]
) -> torch.Tensor:
    """Each language's importance of the attention heads, in the mean over its seeds; zeros where none was recorded."""
    rows = []
    for code in languages:
        known = [each.details["importance"] for each in found.get(code, ()) if "importance" in each.details]
        rows.append(np.mean(np.array(known, dtype=float), axis=0) if known else np.zeros(shape))
    return torch.tensor(np.stack(rows), dtype=torch.float32)
