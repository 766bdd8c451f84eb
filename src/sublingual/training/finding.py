"""Finding a language's subnetwork (section 4.3.1): fine-tune on the language, prune by importance, once for each seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sublingual.data.conllu import Sentence, read_conllu
from sublingual.errors import DataError, TrainingError
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import BiaffineParser, new_parser
from sublingual.parsing import Parser
from sublingual.runtime import forked_random
from sublingual.subnetworks.gates import Found, Subnetwork, write_subnetwork
from sublingual.subnetworks.importance import PruneConfig, Pruned, prune
from sublingual.subnetworks.magnitude import prune_weights
from sublingual.subnetworks.masks import SUFFIX, WeightSubnetwork, write_weight_subnetwork
from sublingual.training.finetune import FinetuneConfig, finetune_
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.stage1 import TrainConfig, described

STAGE1, RAW = "stage 1", "pretrained encoder"


@dataclass(frozen=True)
class FindConfig:
    """How a subnetwork is found: the fine-tuning before, and the pruning.

    The paper fine-tunes the raw encoder as in stage 1, for 60 epochs and some four hours a language; from a stage-1 parser
    far fewer steps do (docs/protocol.md 2.5).
    """

    finetune: FinetuneConfig = field(
        default_factory=lambda: FinetuneConfig(
            steps=60, eval_every=1000, optim=OptimConfig(encoder_rate=1e-4, classifier_rate=5e-4)
        )
    )
    prune: PruneConfig = field(default_factory=PruneConfig)


@dataclass(frozen=True)
class Watch:
    """Whom to tell what happens: each step of fine-tuning; after each step of pruning, how many are off and the dev LAS."""

    training: Callable[[Progress], None] = lambda _: None
    pruning: Callable[[int, float], None] = lambda *_: None


def find(
    start: Parser | TrainConfig,
    language: str,
    *,
    train: Sequence[Path],
    dev: Sequence[Path],
    config: FindConfig,
    seed: int,
    folder: Path,
    watch: Watch | None = None,
) -> Subnetwork:
    """Returns the language's subnetwork of one seed, from a parser (changed by it) or, as the paper, from a raw encoder.

    It is written to `folder/LANGUAGE-SEED.json`; the fine-tuning goes on where it stopped, the pruning begins anew, and
    both end with the same bits. Errors: those of `finetune_` and `prune`; DataError without dev sentences.
    """
    watch = watch or Watch()
    tuned = _tuned(start, language, train, dev, config=config, seed=seed, folder=folder, watch=watch)
    pruned, importance = prune(tuned.network, tuned.train, tuned.dev, config=config.prune, progress=watch.pruning)
    values = [[round(value, 6) for value in row] for row in importance.tolist()]
    found = Subnetwork(pruned.left.cpu().numpy(), **_header(tuned, pruned, language, seed, importance=values))
    write_subnetwork(folder / f"{language}-{seed}.json", found)
    return found


def find_weights(
    start: Parser | TrainConfig,
    language: str,
    *,
    train: Sequence[Path],
    dev: Sequence[Path],
    config: FindConfig,
    seed: int,
    folder: Path,
    watch: Watch | None = None,
) -> WeightSubnetwork:
    """As `find`, for single weights by their magnitude (section 8), written to `folder/LANGUAGE-SEED.safetensors`."""
    watch = watch or Watch()
    tuned = _tuned(start, language, train, dev, config=config, seed=seed, folder=folder, watch=watch)
    pruned = prune_weights(tuned.network, tuned.dev, config=config.prune, progress=watch.pruning)
    kept = {name: on.numpy() for name, on in pruned.left.kept.items()}
    found = WeightSubnetwork(kept, **_header(tuned, pruned, language, seed))
    write_weight_subnetwork(folder / f"{language}-{seed}{SUFFIX}", found)
    return found


@dataclass(frozen=True)
class _Tuned:
    """A network fine-tuned on a language, its sentences, and what the subnetwork's file says of them."""

    network: BiaffineParser
    train: list[Sentence]
    dev: list[Sentence]
    details: dict[str, Any]


def _tuned(
    start: Parser | TrainConfig,
    language: str,
    train: Sequence[Path],
    dev: Sequence[Path],
    *,
    config: FindConfig,
    seed: int,
    folder: Path,
    watch: Watch,
) -> _Tuned:
    learned = [s for path in train for s in read_conllu(path, heads="partial")]
    held_out = [s for path in dev for s in read_conllu(path)]
    if not held_out:
        raise DataError(f"no dev sentences of {language}: the 95 % rule needs some; name a treebank with a dev split")
    network = start.network if isinstance(start, Parser) else _raw(start, [*learned, *held_out], seed=seed)
    network = network.with_labels_of(learned)
    run, tuned = folder / f"{language}-{seed}.run", replace(config.finetune, seed=seed)
    finetune_(network, learned, config=tuned, folder=run, progress=watch.training)
    details = _details(train, dev, config=config, seed=seed, start=STAGE1 if isinstance(start, Parser) else RAW)
    return _Tuned(network, learned, held_out, details)


def _details(
    train: Sequence[Path], dev: Sequence[Path], *, config: FindConfig, seed: int, start: str
) -> dict[str, Any]:
    """What a subnetwork's file says of how it was found."""
    return {
        "data": [described(path, "train") for path in train] + [described(path, "dev") for path in dev],
        "settings": asdict(replace(config, finetune=replace(config.finetune, seed=seed))),
        "start": start,
    }


def refuse_other(
    kept: Found, path: Path, *, train: Sequence[Path], dev: Sequence[Path], config: FindConfig, seed: int, start: str
) -> None:
    """Raises TrainingError where the subnetwork of a file is of other data, settings or another start than are asked for."""
    asked = json.loads(json.dumps(_details(train, dev, config=config, seed=seed, start=start)))
    if other := [name for name, value in asked.items() if kept.details.get(name) != value]:
        raise TrainingError(f"{path} was found with other {' and '.join(other)}; choose another folder, or delete it")


def _header(tuned: _Tuned, pruned: Pruned[Any], language: str, seed: int, **details: object) -> dict[str, Any]:
    """What the files of both kinds say."""
    encoder = tuned.network.encoder
    return {
        "language": language,
        "method": "pruned",
        "seeds": (seed,),
        "encoder": encoder.name,
        "fingerprint": encoder.identity,
        "dev_before": round(pruned.before, 4),
        "dev_after": round(pruned.after, 4),
        "details": {"curve": [[n, round(las, 4)] for n, las in pruned.curve], **details, **tuned.details},
    }


def _raw(config: TrainConfig, sentences: Sequence[object], *, seed: int) -> BiaffineParser:
    """A parser over the pretrained encoder with a classifier of this seed."""
    c = config.parser
    encoder = load_encoder(
        config.encoder,
        keep=[word for s in sentences for word in s.words] if config.trim else None,  # type: ignore[attr-defined]
        dropout=c.encoder_dropout,
        attention_dropout=c.attention_dropout,
    )
    with forked_random(torch.device("cpu")):
        torch.manual_seed(seed)
        return new_parser(encoder, config=c)
