"""A parser from nothing but an encoder and treebanks: what `sublingual train` does, and the base parser of `adapt`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from sublingual.config import load
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.downloads import sha256_of
from sublingual.data.treebanks import licence_of
from sublingual.model.card import UNKNOWN, About
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import ParserConfig, new_parser
from sublingual.model.sources import BUNDLED, DEFAULT_ENCODER
from sublingual.parsing import Parser
from sublingual.tagging import with_tagger
from sublingual.training.finetune import FinetuneConfig, Finetuned, finetune_
from sublingual.training.loop import Progress


@dataclass(frozen=True)
class TrainConfig:
    """Everything that makes a parser: the encoder's name, the classifier, the fine-tuning.

    `trim`: keep only the piece embeddings that the given sentences need (others come back when a text needs them).
    """

    encoder: str = DEFAULT_ENCODER
    trim: bool = True
    parser: ParserConfig = field(default_factory=ParserConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)


def config_for(encoder: str | None = None) -> TrainConfig:
    """Returns the settings for an encoder: the preset of the bundled one, else the defaults (the paper's encoder for None)."""
    if encoder == BUNDLED:
        return load(TrainConfig, BUNDLED)
    return TrainConfig() if encoder is None else TrainConfig(encoder=encoder)


@dataclass(frozen=True)
class Trained:
    """A new parser, how its fine-tuning went, and the labels of its treebanks that UD does not document."""

    parser: Parser
    run: Finetuned
    new_labels: tuple[str, ...]


def train(
    files: Sequence[Path],
    *,
    config: TrainConfig,
    dev: Sequence[Path] = (),
    languages: Sequence[str] = (),
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Returns a parser trained on the CoNLL-U files; `_` as HEAD is left out of the loss. It tags too, where they have UPOS.

    A label of theirs that UD does not document gets a row that starts from its base relation, as in adaptation.
    `languages` are the codes of what it learns, for its card. With a folder the run resumes from there. Errors: those of
    `read_conllu`, `load_encoder`, `finetune_`.
    """
    sentences = [s for path in files for s in read_conllu(path, heads="partial")]
    held_out = [s for path in dev for s in read_conllu(path)]
    data = (*(described(path, "train") for path in files), *(described(path, "dev") for path in dev))
    words = [word for s in [*sentences, *held_out] for word in s.words]
    c = config.parser
    encoder = load_encoder(
        config.encoder,
        keep=words if config.trim else None,
        dropout=c.encoder_dropout,
        attention_dropout=c.attention_dropout,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.finetune.seed)
        declared = new_parser(encoder, config=c)
    network = declared.with_labels_of(sentences).to(device)
    run = finetune_(network, sentences, config=config.finetune, dev=held_out, folder=folder, progress=progress)
    about = About(
        trained_on=tuple(dict.fromkeys(languages)),
        data=data,
        seeds={"training": config.finetune.seed},
        settings=asdict(config),
        scores=dev_scores(held_out, run),
        note="Fine-tuned from a pretrained encoder (stage 1).",
    )
    parser = with_tagger(Parser(network, None, about), sentences, seed=config.finetune.seed)
    return Trained(parser, run, declared.vocabulary.missing(network.vocabulary.labels))


def described(path: Path, use: str) -> dict[str, Any]:
    """Returns what a card says of a file: its name, treebank (if it is in the folder of one), use, sizes, licence, SHA-256."""
    sentences = read_conllu(path, heads="ignored")
    treebank = {"treebank": path.parent.name} if path.parent.name.startswith("UD_") else {}
    return {
        "file": path.name,
        **treebank,
        "use": use,
        "sentences": len(sentences),
        "words": sum(len(s.words) for s in sentences),
        "licence": licence_of(path.parent) or UNKNOWN,
        "sha256": sha256_of(path),
    }


def dev_scores(dev: Sequence[Sentence], run: Finetuned) -> dict[str, Any]:
    """Returns the dev scores of a run for a card; nothing without dev sentences."""
    if run.dev is None:
        return {}
    return {"dev UAS": round(run.dev.uas.f1, 2), "dev LAS": round(run.dev.las.f1, 2), "dev sentences": len(dev)}
