"""Adapters in UDapter's place: PEFT's layers while they learn, two factors afterwards; PEFT's own forward is the oracle."""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.batches import pack
from sublingual.data.conllu import Sentence
from sublingual.data.embedded import embedded, embedded_folder
from sublingual.data.treebanks import find
from sublingual.errors import ConfigError, ModelError
from sublingual.fewshot import fewshot
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Adapter, attention_weights, refuse_unfit, restricted_
from sublingual.parsing import Parser
from sublingual.subnetworks.systems import System, system
from sublingual.training.stage2 import Stage2Config
from sublingual.training.system import train_system

Make = Callable[..., BiaffineParser]
FILES = {"hi": embedded("UD_Hindi-Demo").files("train"), "no": embedded("UD_Norwegian-Demo").files("train")}
CONFIG = Stage2Config(steps=3, batch=3, precision="fp32")


@pytest.fixture
def trained(tiny_parser: Make) -> Parser:
    pytest.importorskip("peft")
    return train_system(Parser(tiny_parser()), FILES, row=system("nonep-adapters"), config=CONFIG).parser


def test_the_encoder_stays_and_each_language_learns_its_own_adapter(trained: Parser, tiny_parser: Make) -> None:
    before, after = tiny_parser().state_dict(), trained.network.state_dict()
    assert [*before] == [*after]
    encoder = {name for name in before if name.startswith("encoder.")}
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert any(not torch.equal(before[name], after[name]) for name in {*before} - encoder)
    hindi, norwegian = (trained.subnetworks[code] for code in ("hi", "no"))
    assert isinstance(hindi, Adapter)
    assert isinstance(norwegian, Adapter)
    assert {*hindi.factors} == {*attention_weights(trained.network.encoder)}
    for name, (out, into) in hindi.factors.items():
        assert (out @ into).abs().max() > 0
        assert not torch.equal(out @ into, norwegian.factors[name][0] @ norwegian.factors[name][1])


def test_the_two_factors_give_what_peft_gives(
    tiny_parser: Make, demo: Callable[..., list[Sentence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    from sublingual.subnetworks.adapters import LanguageAdapters

    network = tiny_parser()
    plain = deepcopy(network).eval()
    batch = pack(network.eval().encode(demo("Hindi", 4), gold=True))
    adapters = LanguageAdapters(network, ["hi", "no"], seed=0)
    for p in adapters.of_encoder():
        p.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(p.numel()))
    with adapters.restricted(network, 1), torch.no_grad():
        expected = network.loss(batch, None).total
    assert all(p.requires_grad for p in adapters.of_encoder())
    before = deepcopy(plain.state_dict())
    with restricted_(plain, adapters.subnets()["no"]) as gates, torch.no_grad():
        torch.testing.assert_close(plain.loss(batch, gates).total, expected)
    assert all(torch.equal(t, before[name]) for name, t in plain.state_dict().items())
    assert not torch.isclose(plain.loss(batch, None).total, expected)
    adapters.leave_()
    assert torch.equal(network.loss(batch, None).total, plain.loss(batch, None).total)


def test_stopped_and_resumed_it_gives_the_same_bits(tiny_parser: Make, tmp_path: Path) -> None:
    pytest.importorskip("peft")

    def digest(folder: Path | None, stop: int = 9) -> list[torch.Tensor]:
        def halt(progress: object) -> None:
            if progress.step == stop:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        config = replace(CONFIG, checkpoint_every=1)
        parser = Parser(tiny_parser(dropout=True))
        found = train_system(
            parser, FILES, row=system("nonep-adapters"), config=config, folder=folder, progress=halt
        ).parser.subnetworks["hi"]
        assert isinstance(found, Adapter)
        return [t for both in found.factors.values() for t in both]

    whole = digest(None)
    with pytest.raises(KeyboardInterrupt):
        digest(tmp_path / "run", stop=2)
    assert all(torch.equal(a, b) for a, b in zip(digest(tmp_path / "run"), whole, strict=True))


def test_saved_and_read_it_is_the_same(trained: Parser, tmp_path: Path, demo: Callable[..., list[Sentence]]) -> None:
    one = replace(trained, gates=trained.subnetworks["no"])
    one.save_pretrained(tmp_path / "model")
    read = Parser.from_pretrained(tmp_path / "model")
    for name, (out, into) in one.subnetworks["hi"].factors.items():  # type: ignore[union-attr]
        other = read.subnetworks["hi"].factors[name]  # type: ignore[union-attr]
        assert torch.equal(out, other[0])
        assert torch.equal(into, other[1])
    sentences = demo("Swedish", 3)
    assert [s.to_conllu() for s in read.parse(sentences)] == [s.to_conllu() for s in one.parse(sentences)]


def test_adapted_it_is_a_part_of_the_weights_and_counts_once(
    trained: Parser, demo: Callable[..., list[Sentence]]
) -> None:
    support, adapter = demo("Swedish", 5), trained.subnetworks["no"]
    none = adapt(trained, support, config=AdaptConfig(steps=0, precision="fp32"), gates=adapter).parser
    assert none.gates is None
    assert none.subnetworks == {}
    before = replace(trained, gates=adapter).parse(support)
    assert [s.to_conllu() for s in none.parse(support)] == [s.to_conllu() for s in before]


def test_tested_few_shot_it_takes_the_nearest_language_s_adapter(trained: Parser) -> None:
    treebank = find(embedded_folder(), "UD_Swedish-Demo")
    config = AdaptConfig(steps=2, precision="fp32")
    (record,) = fewshot(trained, treebank, seeds=[0], config=config, cap=3)
    assert record["system"] == "nonep-adapters"
    assert record["transfer"]["code"] == "no"
    assert record["transfer"]["gates_off"] == 0


def test_an_adapter_of_another_encoder_is_refused(trained: Parser) -> None:
    adapter = trained.subnetworks["no"]
    assert isinstance(adapter, Adapter)
    name, (out, into) = next(iter(adapter.factors.items()))
    with pytest.raises(ModelError, match="does not fit the encoder"):
        refuse_unfit(trained.network.encoder, Adapter({**adapter.factors, name: (out[1:], into)}))


def test_rows_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="adapters are of all languages, and go with gates = static alone"):
        System("mine", gates="dynamic", kind="adapters")
    with pytest.raises(ConfigError, match="adapters are of all languages"):
        system("nonep-adapters-only-ar")


def test_without_peft_the_extra_is_named(tiny_parser: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"adapters need the library PEFT: pip install 'sublingual\[adapters\]'"):
        train_system(Parser(tiny_parser()), FILES, row=system("nonep-adapters"), config=CONFIG)
