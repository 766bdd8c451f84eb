"""Compact models: the scores of gated ones, really smaller, saved and adapted as others are; also layers left without any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.batches import pack
from sublingual.data.conllu import Sentence
from sublingual.errors import EncoderError, ModelError
from sublingual.model.compact import FAMILIES
from sublingual.model.encoder import Encoder
from sublingual.model.parser import BiaffineParser, ParserConfig, new_parser
from sublingual.parsing import Parser, parse

# 3 layers of 4 attention heads: one loses some, one all, one none; a gate between 0 and 1 as a mixture has them.
GATES = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.25, 1.0]])


def attention_parameters(network: BiaffineParser) -> int:
    return sum(p.numel() for n, p in network.named_parameters() if ".attention." in n and "LayerNorm" not in n)


def layers(encoder: Encoder, sentences: list[Sentence], gates: torch.Tensor | None) -> list[torch.Tensor]:
    batch = pack(encoder.pieces.encode(sentences))
    with torch.inference_mode():
        return encoder(batch, None if gates is None else gates.expand(len(batch), -1, -1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("training", [False, True])
def test_a_compact_encoder_gives_what_the_gated_one_gives(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence], family: str, training: bool
) -> None:
    encoder = new_encoder(family, dropout=0.0, attention_dropout=0.0)
    network = new_parser(encoder, config=ParserConfig(arc_size=3, label_size=2)).train(training)
    compact = network.compacted(GATES)
    for gated, own in zip(layers(encoder, sentences, GATES), layers(compact.encoder, sentences, None), strict=True):
        torch.testing.assert_close(own, gated, atol=1e-5, rtol=1e-5)


def test_the_network_that_it_is_made_from_stays_as_it_was(tiny: BiaffineParser) -> None:
    before = {n: t.clone() for n, t in tiny.state_dict().items()}
    tiny.compacted(GATES)
    after = tiny.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert not hasattr(tiny.encoder.config, "kept_attention_heads")


def test_attention_parameters_go_with_the_attention_heads(tiny: BiaffineParser) -> None:
    """Of each layer's attention heads a part in four is 32 x 8 weights four times and 8 biases thrice; all share a bias."""
    full, compact = attention_parameters(tiny), attention_parameters(tiny.compacted(GATES))
    assert full - compact == 6 * (4 * 32 * 8 + 3 * 8)


def test_trees_are_those_of_the_gated_model(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    assert parse(tiny.compacted(GATES), sentences) == parse(tiny, sentences, gates=GATES)


def test_all_gates_on_removes_nothing_and_changes_no_bit(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    compact = tiny.compacted(torch.ones(3, 4))
    own, full = layers(compact.encoder, sentences, None), layers(tiny.encoder, sentences, None)
    assert all(torch.equal(a, b) for a, b in zip(own, full, strict=True))


def test_a_compact_model_is_saved_and_comes_back_to_the_bit(
    tiny: BiaffineParser, sentences: list[Sentence], tmp_path: Path
) -> None:
    compact = Parser(tiny.compacted(GATES))
    compact.save_pretrained(tmp_path / "compact")
    loaded = Parser.from_pretrained(tmp_path / "compact")
    own, saved = loaded.network.state_dict(), compact.network.state_dict()
    assert own.keys() == saved.keys()
    assert all(torch.equal(own[n], saved[n]) for n in own)
    assert loaded.parse(sentences) == compact.parse(sentences)
    Parser(tiny, GATES).save_pretrained(tmp_path / "full")
    weights = [tmp_path / name / "model.safetensors" for name in ("compact", "full")]
    assert weights[0].stat().st_size < weights[1].stat().st_size
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == weights[0].read_bytes()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_compact_model_adapts(
    tiny: BiaffineParser, sentences: list[Sentence], precision: str, optimizer: str
) -> None:
    config = AdaptConfig(steps=5, optimizer=optimizer, precision=precision, dropout=False)  # type: ignore[arg-type]
    adapted = adapt(Parser(tiny.compacted(GATES)), sentences, config=config)
    assert adapted.after < adapted.before


def test_a_compact_model_adapts_as_the_gated_one_does(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    """Gradient descent without momentum: what a gate of 0 hides has no gradient, and a gate of 1 changes none."""
    gates = GATES.round()
    config = AdaptConfig(steps=3, optimizer="sgd", precision="fp32", dropout=False)
    gated = adapt(Parser(tiny, gates), sentences, config=config)
    compact = adapt(Parser(tiny.compacted(gates)), sentences, config=config)
    assert compact.losses == pytest.approx(gated.losses, rel=1e-4)


def test_a_compact_encoder_refuses_gates(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    with pytest.raises(EncoderError, match="is compact and takes no gates"):
        parse(tiny.compacted(GATES), sentences, gates=GATES)


def test_a_compact_model_is_not_compacted_again(tiny: BiaffineParser) -> None:
    with pytest.raises(ModelError, match="is compact already"):
        tiny.compacted(GATES).compacted(GATES)


@pytest.mark.parametrize("family", ["distilbert", "eurobert", "modernbert"])
def test_other_families_are_refused_by_name(new_encoder: Callable[..., Encoder], family: str) -> None:
    network = new_parser(new_encoder(family), config=replace(ParserConfig(), arc_size=3, label_size=2))
    with pytest.raises(ModelError, match=f"'{family}', whose attention heads cannot be removed"):
        network.compacted(GATES)
