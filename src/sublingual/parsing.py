"""The spine: sentences -> pieces -> scores -> trees -> sentences."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import HfApi, snapshot_download
from jaxtyping import Float, Int
from torch import Tensor

from sublingual.data.batches import Batch, Encoded, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.data.tags import with_tags
from sublingual.decoding import decode_batch, decode_labels
from sublingual.errors import ModelError
from sublingual.model import checkpoint
from sublingual.model.card import About
from sublingual.model.hub import only_cached
from sublingual.model.parser import BiaffineParser, Scores
from sublingual.model.tagger import Tagger
from sublingual.model.weights import Subnet, refuse_unfit, restricted_
from sublingual.runtime import autocast

BUDGET = 2048


def parse(
    network: BiaffineParser,
    sentences: Sequence[Sentence],
    *,
    gates: Subnet | None = None,
    precision: str = "fp32",
    budget: int = BUDGET,
    drop_deps: bool = False,
    tagger: Tagger | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Sentence]:
    """Returns the sentences with HEAD and DEPREL predicted, in the order given; all else stays as it was read.

    Their own heads and labels are not looked at. With a `tagger` words whose UPOS is `_` get one. A trimmed network takes
    in the pieces that it lacks (`Encoder.admit_`). `gates` restricts the encoder to one subnetwork (of attention heads, or
    of single weights, which are zero meanwhile and come back to the bit); `budget` is the number of pieces that go through
    it at once; `progress` is told how many sentences were done. With fp32 the trees do not depend on the budget or on the
    neighbours of a sentence. Raises ModelError for scores that are not finite.
    """
    parsed: list[Sentence | None] = [None] * len(sentences)
    found = decoded(
        network, sentences, gates=gates, precision=precision, budget=budget, drop_deps=drop_deps, tagger=tagger
    )
    for run in found:
        for place, tree in zip(run.places, run.trees, strict=True):
            parsed[place] = tree
        if progress is not None:
            progress(len(run.places))
    return [sentence for sentence in parsed if sentence is not None]


@dataclass(frozen=True)
class Decoded:
    """Some of the sentences that are parsed, with their trees and the scores that these were found by.

    `places` are their indices among all; `label_scores` and `labels` are of all their words, one after the other, each
    under its head in the tree.
    """

    places: tuple[int, ...]
    trees: tuple[Sentence, ...]
    arcs: Float[np.ndarray, "batch n n"]
    heads: Int[np.ndarray, "batch words"]
    label_scores: Float[np.ndarray, "words_of_all labels"]
    labels: Int[np.ndarray, " words_of_all"]


def decoded(
    network: BiaffineParser,
    sentences: Sequence[Sentence],
    *,
    gates: Subnet | None = None,
    precision: str = "fp32",
    budget: int = BUDGET,
    drop_deps: bool = False,
    tagger: Tagger | None = None,
) -> Iterator[Decoded]:
    """Yields the sentences in runs of at most `budget` pieces, the shortest first; see `parse`."""
    encoded = network.encode(sentences, gold=False) if sentences else []
    places = {id(e): i for i, e in enumerate(encoded)}
    training = network.training
    network.eval()
    try:
        with restricted_(network, gates) as own:
            for run in micro_batches(encoded, budget=budget):
                yield _decoded(network, run, tuple(places[id(e)] for e in run), own, precision, drop_deps, tagger)
    finally:
        network.train(training)


def _decoded(
    network: BiaffineParser,
    run: list[Encoded],
    places: tuple[int, ...],
    gates: Float[Tensor, "layers attention_heads"] | None,
    precision: str,
    drop_deps: bool,
    tagger: Tagger | None,
) -> Decoded:
    batch = pack(run).to(network.device)
    with torch.inference_mode(), autocast(network.device, precision=precision):
        scores = network(batch, None if gates is None else gates.to(batch.pieces.device).expand(len(batch), -1, -1))
        arcs = scores.arcs.cpu().numpy()
        heads = decode_batch(arcs, np.array([e.n_words for e in run])).heads
        label_scores, labels = _labels(network, batch, scores, heads)
        tags = None if tagger is None else tagger.tags(scores.layers)
    trees = []
    at = 0
    for e, row in zip(run, heads, strict=True):
        names = [network.vocabulary.labels[i] for i in labels[at : at + e.n_words]]
        tree = e.sentence.with_tree(row[: e.n_words].tolist(), names, drop_deps=drop_deps)
        trees.append(tree if tags is None else with_tags(tree, tags[at : at + e.n_words]))
        at += e.n_words
    return Decoded(places, tuple(trees), arcs, heads, label_scores, labels)


def _labels(network: BiaffineParser, batch: Batch, scores: Scores, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label scores and the labels of all words of the batch, for the chosen arcs only."""
    words = torch.nonzero(batch.word_mask)  # [words, 2]
    chosen = torch.from_numpy(heads).to(network.device)[words[:, 0], words[:, 1]]
    dependents = torch.stack([words[:, 0], words[:, 1] + 1], dim=1)
    found = network.label_scores(scores, dependents=dependents, heads=chosen).cpu().numpy()
    return found, decode_labels(found, chosen.cpu().numpy(), root=network.vocabulary.root)


@dataclass(frozen=True)
class Parser:
    """A parser as users hold it: the network, the subnetwork it runs in (None: the full encoder), and what it is.

    `subnetworks` are the gates of the languages it was trained on in stage 2, by code: a new language takes the nearest
    one's. `tagger`: parts of speech along with the trees, where it learned them. Raises ModelError for gates that are not
    the encoder's number of layers and attention heads.

    >>> parser = Parser.from_pretrained("models/faroese")      # doctest: +SKIP
    >>> parser.parse(read_conllu("new.conllu", heads="ignored"))      # doctest: +SKIP
    """

    network: BiaffineParser
    gates: Subnet | None = None
    about: About = About()
    subnetworks: Mapping[str, Subnet] = field(default_factory=dict)
    tagger: Tagger | None = None

    def __post_init__(self) -> None:
        encoder = self.network.encoder
        shape = (encoder.n_layers, encoder.n_attention_heads)
        for gates in [*([] if self.gates is None else [self.gates]), *self.subnetworks.values()]:
            if not isinstance(gates, Tensor):
                refuse_unfit(encoder, gates)
            elif gates.shape != shape:
                raise ModelError(f"gates of shape {tuple(gates.shape)}; the encoder {encoder.name!r} has {shape}")

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: torch.device | str = "cpu") -> Parser:
        """Returns the parser of a folder, or of a Hub repository of that name where no such folder is.

        Raises ModelError for a model that is not there, damaged, foreign or pickled.
        """
        loaded = checkpoint.load(_local(name), device=device)
        return cls(loaded.network, loaded.gates, loaded.about, loaded.subnetworks, loaded.tagger)

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Writes the parser into a new folder, all or nothing; raises ModelError where it is there already."""
        checkpoint.save(
            Path(folder),
            self.network,
            gates=self.gates,
            about=self.about,
            subnetworks=self.subnetworks,
            tagger=self.tagger,
            overwrite=overwrite,
        )

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> str:
        """Uploads the parser to the Hub and returns its address there; raises ModelError where the Hub refuses it."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            self.save_pretrained(folder)
            try:
                api = HfApi()
                address = api.create_repo(repo_id, private=private, exist_ok=True)
                api.upload_folder(repo_id=repo_id, folder_path=folder)
            except Exception as fault:  # the Hub's library lets its HTTP client's errors through, whichever that is
                raise ModelError(
                    f"the Hub did not take {repo_id!r} ({_first_line(fault)}); log in with `hf auth login`, and mind the name"
                ) from fault
        return str(address)

    def parse(
        self,
        sentences: Sequence[Sentence],
        *,
        precision: str = "fp32",
        budget: int = BUDGET,
        drop_deps: bool = False,
        upos: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> list[Sentence]:
        """Returns the sentences with predicted trees, and with `upos` parts of speech if it has learned them; see `parse`."""
        return parse(
            self.network,
            sentences,
            gates=self.gates,
            precision=precision,
            budget=budget,
            drop_deps=drop_deps,
            tagger=self.tagger if upos else None,
            progress=progress,
        )


def _local(name: str | Path) -> Path:
    if Path(name).exists():
        return Path(name)
    unreachable = False
    try:
        unreachable = only_cached(str(name))
        return Path(snapshot_download(str(name), local_files_only=unreachable))
    except (OSError, ValueError) as fault:
        reason = "it cannot be reached, and its cache has none of that name" if unreachable else _first_line(fault)
        raise ModelError(
            f"no folder {str(name)!r} here, and the Hub gave no such model ({reason}); give the folder of a model, "
            f"or a Hub name and a connection to it"
        ) from fault


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), type(fault).__name__)
