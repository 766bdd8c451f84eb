"""A parser from an encoder and files: what counts in its loss, what its card says, and resuming to the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from sublingual.config import load
from sublingual.data.conllu import Sentence, read_conllu, write_conllu
from sublingual.data.embedded import embedded
from sublingual.errors import DataError, EncoderError
from sublingual.model.parser import ParserConfig
from sublingual.parsing import parse
from sublingual.scoring import score
from sublingual.training import stage1
from sublingual.training.finetune import FinetuneConfig
from sublingual.training.loop import Progress
from sublingual.training.stage1 import TrainConfig, config_for, described, train

TRAIN = embedded("English-Demo").files("train")[0]
DEV = embedded("English-Demo").files("dev")[0]


@pytest.fixture
def config(tiny_encoder: Path) -> TrainConfig:
    finetune = FinetuneConfig(steps=4, batch=4, checkpoint_every=1, precision="fp32")
    return TrainConfig(str(tiny_encoder), parser=ParserConfig(arc_size=24, label_size=12), finetune=finetune)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def test_words_without_a_head_are_left_out_of_the_loss(
    config: TrainConfig, tmp_path: Path, demo: Callable[..., list[Sentence]]
) -> None:
    """Annotating the left-out words in two different ways cannot be told apart, annotating them at all can."""
    losses: dict[str, list[float]] = {}
    for kind in ("none", "garbage", "whole"):
        changed = [spoilt(s, kind) for s in demo("English", 4)]
        path = tmp_path / f"{kind}.conllu"
        path.write_text("".join(changed), encoding="utf-8")
        seen: list[float] = []
        train([path], config=config, progress=lambda now, seen=seen: seen.append(now.loss))  # type: ignore[misc]
        losses[kind] = seen
    assert losses["none"] == losses["garbage"]
    assert losses["none"] != losses["whole"]


def spoilt(sentence: Sentence, kind: str) -> str:
    """The sentence with the HEAD of every second word taken away; "garbage": DEPREL is left as it was or made up."""
    rows = []
    for row in sentence.rows:
        if kind != "whole" and row[0].isdecimal() and int(row[0]) % 2 == 0:
            row = (*row[:6], "_", "_" if kind == "none" else "dep", *row[8:])
        rows.append("\t".join(row))
    return "\n".join([*sentence.comments, *rows, "", ""])


def test_the_card_says_what_was_learned_from_and_how(config: TrainConfig) -> None:
    trained = train([TRAIN], config=replace_seed(config, 7), dev=[DEV], languages=["en", "en"])
    about = trained.parser.about
    assert about.trained_on == ("en",)
    assert about.seeds == {"training": 7}
    assert about.settings == asdict(replace_seed(config, 7))
    assert about.language is None
    for entry, path, use in zip(about.data, (TRAIN, DEV), ("train", "dev"), strict=True):
        sentences = read_conllu(path)
        assert entry == {
            "file": path.name,
            "treebank": "UD_English-Demo",
            "use": use,
            "sentences": len(sentences),
            "words": sum(len(s.words) for s in sentences),
            "licence": "CC0 1.0",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    dev = read_conllu(DEV)
    found = score(dev, parse(trained.parser.network, dev))
    expected = {"dev UAS": round(found.uas.f1, 2), "dev LAS": round(found.las.f1, 2), "dev sentences": len(dev)}
    assert about.scores == expected


def replace_seed(config: TrainConfig, seed: int) -> TrainConfig:
    return replace(config, finetune=replace(config.finetune, seed=seed))


def test_the_card_names_no_folder_that_is_no_treebanks(tmp_path: Path) -> None:
    path = tmp_path / "my.conllu"
    path.write_bytes(TRAIN.read_bytes())
    found = described(path, "support")
    assert set(found) == {"file", "use", "sentences", "words", "licence", "sha256"}
    assert found["licence"] == "unknown"


def test_the_card_is_of_the_files_that_were_read_though_they_change_or_go_meanwhile(
    config: TrainConfig, tmp_path: Path
) -> None:
    path = tmp_path / "my.conllu"
    path.write_bytes(TRAIN.read_bytes())
    trained = train([path], config=config, progress=lambda _: path.unlink(missing_ok=True))
    assert trained.parser.about.data[0]["sha256"] == hashlib.sha256(TRAIN.read_bytes()).hexdigest()


def test_without_dev_there_are_no_scores(config: TrainConfig) -> None:
    assert train([TRAIN], config=config).parser.about.scores == {}


def test_the_seed_decides_the_weights_and_nothing_else_does(config: TrainConfig) -> None:
    one = train([TRAIN], config=config).parser.network
    torch.rand(3)  # the state of torch's own generator is nobody's seed
    assert same(one, train([TRAIN], config=config).parser.network)
    assert not same(one, train([TRAIN], config=replace_seed(config, 1)).parser.network)


def test_training_leaves_torchs_random_state(config: TrainConfig) -> None:
    before = torch.get_rng_state()
    train([TRAIN], config=config)
    assert torch.get_rng_state().equal(before)


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_to_the_bits_of_one_that_was_not(config: TrainConfig, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        if now.step == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        train([TRAIN], config=config, dev=[DEV], folder=tmp_path / "run", progress=stop)
    steps: list[int] = []
    again = train(
        [TRAIN], config=config, dev=[DEV], folder=tmp_path / "run", progress=lambda now: steps.append(now.step)
    )
    whole = train([TRAIN], config=config, dev=[DEV])
    assert steps == [3, 4]
    assert again.run.steps == 2
    assert same(again.parser.network, whole.parser.network)
    assert again.parser.about.scores == whole.parser.about.scores


def test_trimming_keeps_the_pieces_of_the_sentences_and_changes_no_loss(config: TrainConfig, tmp_path: Path) -> None:
    few = tmp_path / "few.conllu"
    write_conllu(read_conllu(TRAIN)[:4], few)
    losses: dict[bool, list[float]] = {True: [], False: []}
    rows = {}
    for trim, seen in losses.items():
        got = train([few], config=replace(config, trim=trim), progress=lambda now, seen=seen: seen.append(now.loss))  # type: ignore[misc]
        rows[trim] = len(got.parser.network.encoder.kept)
    assert losses[True] == losses[False]
    assert rows[True] < rows[False]


def with_label(tmp_path: Path, label: str) -> Path:
    """The training file with that label in place of `obl`."""
    path = tmp_path / "train.conllu"
    path.write_text(TRAIN.read_text("utf-8").replace("\tobl\t", f"\t{label}\t"), "utf-8")
    assert label in path.read_text("utf-8")
    return path


def test_a_treebank_with_labels_that_ud_does_not_document_is_learned(config: TrainConfig, tmp_path: Path) -> None:
    trained = train([with_label(tmp_path, "obl:zzz")], config=config, dev=[DEV])
    assert trained.new_labels == ("obl:zzz",)
    assert trained.parser.network.vocabulary.labels[-1] == "obl:zzz"
    assert train([TRAIN], config=config).new_labels == ()


def test_a_label_of_no_relation_is_refused_with_its_place(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.conllu:\d+ .*the label 'zzz' has no universal relation to start from"):
        train([with_label(tmp_path, "zzz")], config=config)


def test_a_dev_file_without_heads_is_refused_before_the_encoder_is_read(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "dev.conllu"
    path.write_text("1\tHey\t_\t_\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"dev\.conllu:1"):
        train([TRAIN], config=replace(config, encoder=str(tmp_path / "none")), dev=[path])


def test_a_training_file_with_a_fault_is_refused_with_its_line(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "bad.conllu"
    path.write_text("1\tHey\t_\t_\t_\t_\t4\troot\t_\t_\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.conllu:1"):
        train([path], config=config)


def test_the_bundled_encoder_has_its_own_settings_and_others_the_defaults() -> None:
    assert config_for("bundled") == load(TrainConfig, "bundled")
    assert config_for("bundled").encoder == "bundled"
    assert config_for("some/encoder") == TrainConfig(encoder="some/encoder")
    assert config_for() == TrainConfig()


def test_the_default_encoder_is_the_papers_and_never_another_in_silence(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str, **_: object) -> None:
        raise OSError(f"We couldn't connect to the Hub for {name}")

    assert TrainConfig().encoder == "bert-base-multilingual-cased"
    for kind in ("AutoConfig", "AutoTokenizer", "AutoModel"):
        monkeypatch.setattr(f"sublingual.model.sources.{kind}.from_pretrained", offline)
    with pytest.raises(EncoderError, match="'bert-base-multilingual-cased' could not be loaded .* --encoder bundled"):
        stage1.train([TRAIN], config=replace(config, encoder=TrainConfig().encoder))
