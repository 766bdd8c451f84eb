"""Finding a language's subnetwork (section 4.3.1): fine-tune on the language, prune by importance, once for each seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from sublingual.data.conllu import read_conllu
from sublingual.errors import DataError
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import BiaffineParser, new_parser
from sublingual.parsing import Parser
from sublingual.runtime import forked_random
from sublingual.subnetworks.gates import Subnetwork, write_subnetwork
from sublingual.subnetworks.importance import PruneConfig, prune
from sublingual.training.finetune import FinetuneConfig, finetune_
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.stage1 import TrainConfig, described


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
    learned = [s for path in train for s in read_conllu(path, heads="partial")]
    held_out = [s for path in dev for s in read_conllu(path)]
    if not held_out:
        raise DataError(f"no dev sentences of {language}: the 95 % rule needs some; name a treebank with a dev split")
    tuned = replace(config.finetune, seed=seed)
    network = start.network if isinstance(start, Parser) else _raw(start, [*learned, *held_out], seed=seed)
    work = folder / f"{language}-{seed}.run"
    finetune_(network, learned, config=tuned, folder=work, progress=watch.training)
    pruned, importance = prune(network, learned, held_out, config=config.prune, progress=watch.pruning)
    found = Subnetwork(
        pruned.left.cpu().numpy(),
        language=language,
        method="pruned",
        seeds=(seed,),
        encoder=network.encoder.name,
        fingerprint=network.encoder.identity,
        dev_before=round(pruned.before, 4),
        dev_after=round(pruned.after, 4),
        details={
            "curve": [[n, round(las, 4)] for n, las in pruned.curve],
            "importance": [[round(value, 6) for value in row] for row in importance.tolist()],
            "data": [described(path, "train") for path in train] + [described(path, "dev") for path in dev],
            "settings": asdict(replace(config, finetune=tuned)),
            "start": "stage 1" if isinstance(start, Parser) else "pretrained encoder",
        },
    )
    write_subnetwork(folder / f"{language}-{seed}.json", found)
    return found


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
