"""Eq. 3 against plain loops, and pruning on toys of which one knows what it must find."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from sublingual.data.batches import Encoded, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import BiaffineParser, ParserConfig, new_parser
from sublingual.parsing import parse
from sublingual.subnetworks.importance import PruneConfig, evenly, importance, prune, shrink, without

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser()


@pytest.fixture
def sentences(network: BiaffineParser, demo: Demo) -> list[Encoded]:
    return network.encode([*demo("English", 6), *demo("Hindi", 5)], gold=True)


def one_by_one(network: BiaffineParser, sentences: list[Encoded], gates: Tensor) -> list[Tensor]:
    """The gradient of each sentence's loss per word, from a backward pass of its own."""
    found = []
    for e in sentences:
        own = gates.clone()[None].requires_grad_()
        batch = pack([e])
        (network.loss(batch, own).total / batch.n_annotated).backward()
        assert own.grad is not None
        found.append(own.grad[0])
    network.zero_grad()
    return found


@pytest.mark.parametrize("budget", [40, 4096])
@pytest.mark.parametrize("gated", [False, True])
def test_importance_is_the_mean_of_each_sentences_own_gradient(
    network: BiaffineParser, sentences: list[Encoded], budget: int, gated: bool
) -> None:
    gates = torch.tensor([[1.0, 0.0], [1.0, 1.0]]) if gated else torch.ones(2, 2)
    expected = torch.stack([g.abs() for g in one_by_one(network.eval(), sentences, gates)]).mean(0)
    given = gates if gated else None
    found = importance(network, sentences, gates=given, normalise=False, precision="fp32", budget=budget)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    normed = importance(network, sentences, gates=given, precision="fp32", budget=budget)
    torch.testing.assert_close(normed, expected / expected.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("budget", [40, 4096])
def test_importance_per_piece_is_michels_context_times_its_gradient(
    network: BiaffineParser, sentences: list[Encoded], budget: int
) -> None:
    """|ctx . dL/dctx| of each attention head at each piece, from the library's modules by hooks, summed, over the pieces."""
    n_heads = network.encoder.n_attention_heads
    layers = network.encoder.model.encoder.layer
    total, n = torch.zeros(len(layers), n_heads), 0
    for e in sentences:
        batch, contexts = pack([e]), {}

        def keep(i: int, contexts: dict[int, Tensor] = contexts) -> Callable[..., None]:
            def kept(_: object, given: tuple[Tensor]) -> None:
                given[0].retain_grad()
                contexts[i] = given[0]

            return kept

        hooks = [layer.attention.output.dense.register_forward_pre_hook(keep(i)) for i, layer in enumerate(layers)]
        (network.eval().loss(batch).total / batch.n_annotated).backward()
        for i, context in contexts.items():
            assert context.grad is not None
            products = (
                (context * context.grad)[0].view(batch.n_pieces, n_heads, -1).sum(-1)
            )  # [pieces, attention heads]
            total[i] += products.abs().sum(0).detach()
        n += batch.n_pieces
        for hook in hooks:
            hook.remove()
    network.zero_grad()
    found = importance(network, sentences, per="piece", normalise=False, precision="fp32", budget=budget)
    torch.testing.assert_close(found, total / n, rtol=1e-4, atol=1e-8)


def test_it_is_no_absolute_value_of_a_mean(network: BiaffineParser, sentences: list[Encoded]) -> None:
    gradients = torch.stack(one_by_one(network.eval(), sentences, torch.ones(2, 2)))
    found = importance(network, sentences, normalise=False, precision="fp32")
    assert (found > gradients.mean(0).abs() * 1.0001).any()


def test_it_leaves_parameters_without_gradient_and_trainable_as_they_were(
    network: BiaffineParser, sentences: list[Encoded]
) -> None:
    table = network.encoder.model.get_input_embeddings().weight
    table.requires_grad_(False)
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    importance(network, sentences, precision="fp32")
    assert {name: p.requires_grad for name, p in network.named_parameters()} == before
    assert all(p.grad is None for p in network.parameters())


def test_a_fault_meanwhile_leaves_parameters_trainable(
    network: BiaffineParser, sentences: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        assert not any(p.requires_grad for p in network.parameters())
        raise MemoryError

    monkeypatch.setattr(network, "loss", broken)
    with pytest.raises(MemoryError):
        importance(network, sentences, precision="fp32")
    assert all(p.requires_grad for p in network.parameters())


def test_sentences_without_any_annotated_word_have_no_importance(network: BiaffineParser) -> None:
    bare = network.encode([Sentence.from_words(["a", "b"])], gold=True)
    assert (importance(network, bare, precision="fp32") == 0).all()


def test_dropout_is_off(tiny_parser: Make, sentences: list[Encoded]) -> None:
    network = tiny_parser(dropout=True).train()
    first, second = (importance(network, sentences, precision="fp32") for _ in range(2))
    assert torch.equal(first, second)


PLANTED = ((0, 2), (1, 0), (2, 3))


@pytest.fixture
def toy(tiny_encoder: Path, tmp_path: Path) -> BiaffineParser:
    """A toy: 3 layers x 4 attention heads; all but the planted ones are cut from the output projection, and cannot matter."""
    shutil.copytree(tiny_encoder, tmp_path / "toy")
    shape = BertConfig.from_pretrained(tiny_encoder, num_hidden_layers=3, num_attention_heads=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(shape).save_pretrained(tmp_path / "toy")
        encoder = load_encoder(str(tmp_path / "toy"), dropout=0.0, attention_dropout=0.0)
        network = new_parser(encoder, config=ParserConfig(arc_size=24, label_size=12, dropout=0.0, layer_drop=0.0))
    for i, layer in enumerate(encoder.model.encoder.layer):
        columns = layer.attention.output.dense.weight.data.view(32, 4, 8)  # [hidden, attention heads, size]
        for j in range(4):
            columns[:, j] *= 4 if (i, j) in PLANTED else 0
    return network.eval()


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_pruning_a_toy_leaves_the_attention_heads_that_were_planted(
    toy: BiaffineParser, demo: Demo, again: bool, normalise: bool
) -> None:
    own = parse(toy, demo("English", 12))  # annotated by the toy itself: in full its LAS is 100
    told: list[tuple[int, float]] = []
    config = PruneConfig(share=0.1, again=again, normalise=normalise, precision="fp32")
    pruned, found = prune(toy, own, own, config=config, progress=lambda n, las: told.append((n, las)))
    assert [tuple(place) for place in torch.nonzero(found).tolist()] == [*PLANTED]
    assert [tuple(place) for place in torch.nonzero(pruned.left).tolist()] == [*PLANTED]
    assert pruned.before == pruned.after == 100.0
    assert [n for n, _ in pruned.curve] == [*range(11)]  # 9 that are nothing, and one that was something
    assert [las for _, las in pruned.curve[:10]] == [100.0] * 10
    assert pruned.curve[10][1] < 95.0
    assert tuple(told) == pruned.curve


def test_pruning_that_never_stops_ends_where_too_few_are_left_and_its_curve_is_of_every_step(
    toy: BiaffineParser, demo: Demo
) -> None:
    own = parse(toy, demo("English", 3))
    config = PruneConfig(share=0.45, keep=0.0, precision="fp32")  # 5 of 12 a step: after two, 2 are left
    pruned, _ = prune(toy, own, own, config=config)
    assert [n for n, _ in pruned.curve] == [0, 5, 10]
    assert int(pruned.left.sum()) == 2
    spared, _ = prune(toy, own, own, config=replace(config, share=0.1, least=2))
    assert spared.left.sum(dim=1).tolist() == [2, 2, 2]
    assert [n for n, _ in spared.curve] == [*range(7)]


def test_pruning_that_stops_at_once_leaves_all_on(toy: BiaffineParser, demo: Demo) -> None:
    own = parse(toy, demo("English", 6))
    pruned, _ = prune(toy, own, own, config=PruneConfig(share=0.9, precision="fp32"))  # 10 of 12: a planted one goes
    assert pruned.left.all()
    assert pruned.before == pruned.after == 100.0
    assert [n for n, _ in pruned.curve] == [0, 10]


def test_importance_may_be_estimated_once(network: BiaffineParser, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    from sublingual.subnetworks import importance as module

    calls, real = [], module.importance

    def counted(*args: object, **kwargs: object) -> Tensor:
        calls.append(1)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "importance", counted)
    english = demo("English", 4)
    for again in (True, False):
        calls.clear()
        prune(network, english, english, config=PruneConfig(share=0.25, keep=0.0, again=again, precision="fp32"))
        assert len(calls) == (
            6 if again else 1
        )  # the first, and one for each of five tries, the last of which is in vain


def steps(scores: list[float]) -> tuple[Callable[[int], int | None], Callable[[int], float]]:
    return (lambda n: n + 1 if n + 1 < len(scores) else None), scores.__getitem__


@pytest.mark.parametrize(
    ("scores", "kept", "tried"),
    [
        ([80.0, 79.0, 77.0, 76.0, 75.9], 3, 5),  # 76 is 95 % of 80 and stays; what comes after does not
        ([80.0, 70.0, 80.0], 0, 2),  # stops at once: all stays on, and what a later step would give is not asked
        ([80.0, 80.0, 81.0], 2, 3),  # never stops: as far as it goes
        ([80.0], 0, 1),
    ],
)
def test_the_95_percent_rule(scores: list[float], kept: int, tried: int) -> None:
    smaller, las = steps(scores)
    found = shrink(0, smaller, las=las, n_off=lambda n: 14 * n, keep=0.95)
    assert (found.left, found.before, found.after) == (kept, scores[0], scores[kept])
    assert found.curve == tuple((14 * i, las) for i, las in enumerate(scores[:tried]))


def test_without_takes_the_least_important_that_are_on() -> None:
    gates = torch.tensor([[True, True, False], [True, True, True]])
    values = torch.tensor([[0.3, 0.1, 0.0], [0.2, 0.5, 0.4]])
    left = without(gates, values, n=2, least=0)
    assert left is not None
    assert left.tolist() == [[True, False, False], [False, True, True]]
    spared = without(gates, values, n=3, least=1)
    assert spared is not None
    assert spared.tolist() == [[True, False, False], [False, True, False]]
    assert without(gates, values, n=6, least=0) is None
    assert without(gates, values, n=4, least=1) is None


def test_evenly_takes_no_more_than_there_are(demo: Demo) -> None:
    english = demo("English", 10)
    assert evenly(english, 100) == english
    assert [english.index(s) for s in evenly(english, 3)] == [0, 3, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0.0}, r"share 0\.0, keep 0\.95: they are shares, between 0 and 1"),
        ({"share": 1.0}, r"share 1\.0"),
        ({"keep": 1.5}, r"keep 1\.5"),
        ({"keep": -0.1}, r"keep -0\.1"),
        ({"least": -1}, "least is 0 or more; sentences, dev_sentences and budget are 1 or more"),
        ({"sentences": 0}, "sentences, dev_sentences and budget are 1 or more"),
        ({"dev_sentences": 0}, "sentences, dev_sentences and budget are 1 or more"),
        ({"budget": 0}, "sentences, dev_sentences and budget are 1 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PruneConfig(**settings)  # type: ignore[arg-type]
