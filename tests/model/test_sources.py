"""Where encoders come from: no hub, damaged folders, fingerprints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from sublingual.errors import EncoderError
from sublingual.model.bundled import BundledSource
from sublingual.model.encoder import load_encoder
from sublingual.model.sources import DEFAULT_ENCODER, PretrainedSource, fingerprint, open_source


@pytest.fixture
def copied(folder_of: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of("bert"), tmp_path / "encoder"))


def test_default_without_a_hub_stops_and_names_the_bundled_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert DEFAULT_ENCODER == "bert-base-multilingual-cased"
    with pytest.raises(
        EncoderError, match=r"'bert-base-multilingual-cased' could not be loaded .*or --encoder bundled"
    ):
        load_encoder(DEFAULT_ENCODER)


def test_bundled_is_a_name_like_others(folder_of: Callable[[str], Path]) -> None:
    assert isinstance(open_source("bundled"), BundledSource)
    assert isinstance(open_source(str(folder_of("bert"))), PretrainedSource)


def test_folders_that_hold_no_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"could not be loaded \(.*give a local directory"):
        load_encoder(str(tmp_path))
    with pytest.raises(EncoderError, match=r"/not/there' could not be loaded"):
        load_encoder("/not/there")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x80\x04" + data]
)
def test_damaged_files_are_refused(file: str, damage: Callable[[bytes], bytes], copied: Path) -> None:
    path = copied / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EncoderError, match=r"encoder' could not be loaded \("):
        load_encoder(str(copied))


def test_pickled_weights_are_not_read(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    torch.save(weights, copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"could not be loaded \(.*safetensors"):
        load_encoder(str(copied))


def test_weights_that_are_not_there_are_named_instead_of_drawn(copied: Path) -> None:
    path = copied / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.1.attention.self.query.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lacks weights: encoder.layer.1.attention.self.query.weight; get it anew"):
        load_encoder(str(copied))


def test_pieces_without_an_embedding_are_refused(folder_of: Callable[[str], Path]) -> None:
    source = PretrainedSource(str(folder_of("bert")))
    n = source.config.vocab_size
    assert torch.equal(source.embedding_rows([n - 1, 3]), source.embedding_rows(None)[[n - 1, 3]])
    with pytest.raises(EncoderError, match=rf"has embeddings of {n} pieces, none of piece {n}"):
        source.embedding_rows([0, n])


def test_weights_are_all_tensors_but_the_embeddings(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("bert")
    stored = load_file(folder / "model.safetensors")
    table = stored.pop("embeddings.word_embeddings.weight")
    source = PretrainedSource(str(folder))
    assert torch.equal(source.embedding_rows(None), table)
    assert source.weights.keys() == stored.keys()
    assert all(torch.equal(source.weights[name], tensor) for name, tensor in stored.items())


def test_fingerprint_is_of_shape_weights_and_pieces(folder_of: Callable[[str], Path], copied: Path) -> None:
    source = PretrainedSource(str(copied))
    found = fingerprint(source.config, source.tokenizer(), weights=source.sha256)
    again = PretrainedSource(str(folder_of("bert")))
    assert found == fingerprint(again.config, again.tokenizer(), weights=again.sha256)
    assert found != fingerprint(source.config, source.tokenizer(), weights="0" * 64)
    deeper = AutoConfig.from_pretrained(copied, num_hidden_layers=4)
    assert found != fingerprint(deeper, source.tokenizer(), weights=source.sha256)
    more = source.tokenizer()
    more.add_tokens(["onemore"])
    assert found != fingerprint(source.config, more, weights=source.sha256)
    swapped = (copied / "tokenizer.json").read_text(encoding="utf-8")
    a, b = (again.tokenizer().convert_tokens_to_ids(c) for c in ("a", "b"))
    swapped = (
        swapped.replace(f'"a": {a},', '"a": -7,').replace(f'"b": {b},', f'"b": {a},').replace('"a": -7,', f'"a": {b},')
    )
    (copied / "tokenizer.json").write_text(swapped, encoding="utf-8")
    other = PretrainedSource(str(copied)).tokenizer()
    assert other.convert_tokens_to_ids("a") == b
    assert found != fingerprint(source.config, other, weights=source.sha256)


@pytest.mark.parametrize("name", ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias"])
def test_the_sha256_of_weights_changes_with_any_but_the_poolers(copied: Path, name: str) -> None:
    before = PretrainedSource(str(copied)).sha256
    path = copied / "model.safetensors"
    weights = load_file(path)
    save_file({n: t for n, t in weights.items() if not n.startswith("pooler.")}, path, metadata={"format": "pt"})
    assert PretrainedSource(str(copied)).sha256 == before  # the library draws a pooler that is not there
    weights[name].view(-1)[0] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    assert PretrainedSource(str(copied)).sha256 != before
