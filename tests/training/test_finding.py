"""Finding a subnetwork: from a parser and from a raw encoder, the same again after a stop."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sublingual.data.embedded import embedded
from sublingual.errors import DataError
from sublingual.model.parser import BiaffineParser, ParserConfig
from sublingual.parsing import Parser
from sublingual.subnetworks.gates import Subnetwork, read_subnetwork
from sublingual.subnetworks.importance import PruneConfig
from sublingual.training.finding import FindConfig, Watch, find, find_weights
from sublingual.training.finetune import FinetuneConfig
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.stage1 import TrainConfig

CONFIG = FindConfig(
    finetune=FinetuneConfig(
        steps=4,
        batch=4,
        checkpoint_every=1,
        optim=OptimConfig(encoder_rate=1e-3, classifier_rate=3e-3),
        precision="fp32",
    ),
    prune=PruneConfig(share=0.25, precision="fp32"),
)
HINDI = embedded("UD_Hindi-Demo")
FILES = {"train": HINDI.files("train"), "dev": HINDI.files("dev")}


def start(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser(dropout=True))


def test_a_language_with_labels_that_ud_does_not_document_is_taken(
    tiny_parser: Callable[..., BiaffineParser], tmp_path: Path
) -> None:
    train = tmp_path / "train.conllu"
    train.write_text(FILES["train"][0].read_text("utf-8").replace("\tobl\t", "\tobl:zzz\t"), "utf-8")
    assert "obl:zzz" in train.read_text("utf-8")
    found = find(
        start(tiny_parser), "hi", train=[train], dev=FILES["dev"], config=CONFIG, seed=1, folder=tmp_path / "run"
    )
    assert found.language == "hi"


def test_a_stopped_search_finds_the_same(tiny_parser: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    whole = find(start(tiny_parser), "hi", **FILES, config=CONFIG, seed=1, folder=tmp_path / "a")

    def stop(progress: Progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(
            start(tiny_parser), "hi", **FILES, config=CONFIG, seed=1, folder=tmp_path / "b", watch=Watch(training=stop)
        )
    trained: list[int] = []
    again = find(
        start(tiny_parser),
        "hi",
        **FILES,
        config=CONFIG,
        seed=1,
        folder=tmp_path / "b",
        watch=Watch(training=lambda p: trained.append(p.step)),
    )
    assert trained == [3, 4]
    assert np.array_equal(again.gates, whole.gates)
    assert (tmp_path / "a" / "hi-1.json").read_bytes() == (tmp_path / "b" / "hi-1.json").read_bytes()
    assert read_subnetwork(tmp_path / "a" / "hi-1.json").details == whole.details


@pytest.mark.parametrize("kind", ["heads", "weights"])
@pytest.mark.parametrize("killed_in", ["fine-tuning", "pruning"])
def test_a_killed_search_finds_the_same(
    tiny_parser: Callable[..., BiaffineParser],
    tmp_path: Path,
    run: Callable[[Callable[[], object]], int],
    killed_in: str,
    kind: str,
) -> None:
    def search(folder: str, watch: Watch | None = None) -> str:
        parser = start(tiny_parser)
        one = find if kind == "heads" else find_weights
        found = one(parser, "hi", **FILES, config=CONFIG, seed=1, folder=tmp_path / folder, watch=watch)
        gates = [found.gates] if isinstance(found, Subnetwork) else [*found.kept.values()]
        weights = b"".join(t.numpy().tobytes() for t in parser.network.state_dict().values())
        return hashlib.sha256(weights + b"".join(g.tobytes() for g in gates) + repr(found.details).encode()).hexdigest()

    def kill_at(step: int) -> Callable[..., None]:
        told: list[object] = []

        def kill(*now: object) -> None:
            told.append(now)
            if len(told) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        return kill

    watch = Watch(training=kill_at(3)) if killed_in == "fine-tuning" else Watch(pruning=kill_at(2))
    assert run(lambda: search("killed", watch)) == -signal.SIGKILL
    assert not [*(tmp_path / "killed").glob("hi-1.[js]*")]
    assert search("killed") == search("whole")


def test_a_seed_decides_the_batches(tiny_parser: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    found = [find(start(tiny_parser), "hi", **FILES, config=CONFIG, seed=s, folder=tmp_path / str(s)) for s in (0, 1)]
    assert found[0].details["importance"] != found[1].details["importance"]
    assert [s.seeds for s in found] == [(0,), (1,)]


def test_the_curve_ends_where_the_95_percent_rule_says(
    tiny_parser: Callable[..., BiaffineParser], tmp_path: Path
) -> None:
    told: list[tuple[int, float]] = []
    watch = Watch(pruning=lambda n, las: told.append((n, las)))
    found = find(start(tiny_parser), "hi", **FILES, config=CONFIG, seed=0, folder=tmp_path, watch=watch)
    curve = found.details["curve"]
    assert curve == [[n, round(las, 4)] for n, las in told]
    assert found.dev_before == curve[0][1]
    assert found.dev_after is not None
    assert found.dev_after >= 0.95 * found.dev_before - 1e-3
    assert [found.n_off, found.dev_after] in curve
    assert found.details["settings"]["finetune"]["seed"] == 0


def test_from_a_raw_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    raw = TrainConfig(encoder=str(tiny_encoder), parser=ParserConfig(arc_size=24, label_size=12))
    found = find(raw, "hi", **FILES, config=CONFIG, seed=0, folder=tmp_path)
    assert found.shape == (2, 2)
    assert found.encoder == str(tiny_encoder)
    assert found.details["start"] == "pretrained encoder"


def test_without_dev_sentences_there_is_no_95_percent_rule(
    tiny_parser: Callable[..., BiaffineParser], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no dev sentences of hi: the 95 % rule needs some"):
        find(start(tiny_parser), "hi", train=FILES["train"], dev=[], config=CONFIG, seed=0, folder=tmp_path)
