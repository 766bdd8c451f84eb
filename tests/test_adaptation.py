"""Adaptation against an independent copy of its steps; the base parser stays as it was to the bit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sublingual.adaptation import SHARED, AdaptConfig, adapt, adapt_, config_for
from sublingual.data.batches import pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError, ModelError, TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.training.finetune import FinetuneConfig, finetune_
from sublingual.training.optim import OptimConfig

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]

CONFIG = AdaptConfig(steps=4, encoder_rate=1e-3, classifier_rate=3e-3, precision="fp32")


def digest(network: BiaffineParser) -> str:
    found = hashlib.sha256()
    for name, t in network.state_dict().items():
        found.update(name.encode() + t.detach().numpy().tobytes())
    return found.hexdigest()


def outputs(network: BiaffineParser, sentences: list[Sentence], gates: Tensor | None = None) -> list[Tensor]:
    """What the network in eval mode says of each sentence, alone in its batch."""
    network.eval()
    found = []
    with torch.no_grad():
        for sentence in sentences:
            batch = pack(network.encode([sentence], gold=False))
            found.append(network(batch, None if gates is None else gates[None]).arcs)
    return found


@pytest.fixture
def base(tiny_parser: Make) -> Parser:
    return Parser(tiny_parser(dropout=True).eval())


@pytest.fixture
def support(demo: Demo) -> list[Sentence]:
    return demo("Norwegian", 20)


def test_the_base_stays_as_it_was_to_the_bit(base: Parser, support: list[Sentence], demo: Demo) -> None:
    test = demo("Italian", 5)
    weights, before = digest(base.network), outputs(base.network, test)
    flags = [p.requires_grad for p in base.network.parameters()]
    adapt(base, support, config=CONFIG)
    assert digest(base.network) == weights
    assert all(torch.equal(a, b) for a, b in zip(outputs(base.network, test), before, strict=True))
    assert [p.requires_grad for p in base.network.parameters()] == flags
    assert all(p.grad is None for p in base.network.parameters())


def test_every_parameter_is_adapted_and_none_shared_with_the_base(base: Parser, support: list[Sentence]) -> None:
    adapted = adapt(base, support, config=replace(CONFIG, dropout=False)).parser.network
    own = {p.data_ptr() for p in base.network.parameters()}
    for (name, p), q in zip(adapted.named_parameters(), base.network.parameters(), strict=True):
        assert p.data_ptr() not in own
        assert not torch.equal(p, q), name


def test_the_same_seed_gives_equal_bits_and_another_does_not(base: Parser, support: list[Sentence]) -> None:
    first = digest(adapt(base, support, config=CONFIG, seed=1).parser.network)
    torch.rand(3)
    assert digest(adapt(base, support, config=CONFIG, seed=1).parser.network) == first
    assert digest(adapt(base, support, config=CONFIG, seed=2).parser.network) != first


def test_the_global_random_state_is_as_before(base: Parser, support: list[Sentence]) -> None:
    before = torch.get_rng_state()
    adapt(base, support, config=CONFIG)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_falls_and_the_support_is_learned(base: Parser, support: list[Sentence]) -> None:
    config = AdaptConfig(steps=60, encoder_rate=3e-3, classifier_rate=1e-2, dropout=False, precision="fp32")
    adapted = adapt(base, support, config=config)
    assert len(adapted.losses) == 60
    assert adapted.losses[-1] < 0.5 * adapted.losses[0]
    before, after = (score(support, parser.parse(support)).las.f1 for parser in (base, adapted.parser))
    assert after > before + 30


@pytest.mark.parametrize("n", [1, 7, 20, 35])
def test_any_number_of_sentences_works(base: Parser, demo: Demo, n: int) -> None:
    adapted = adapt(base, demo("Norwegian", n), config=CONFIG)
    assert len(adapted.losses) == 4
    assert all(math.isfinite(loss) for loss in adapted.losses)


def test_progress_is_told_each_step_and_its_loss(base: Parser, support: list[Sentence]) -> None:
    told: list[tuple[int, float]] = []
    adapted = adapt(base, support, config=CONFIG, progress=lambda step, loss: told.append((step, loss)))
    assert told == [(i + 1, loss) for i, loss in enumerate(adapted.losses)]


def test_no_step_changes_nothing(base: Parser, support: list[Sentence]) -> None:
    adapted = adapt(base, support, config=replace(CONFIG, steps=0))
    assert (adapted.losses, digest(adapted.parser.network)) == ((), digest(base.network))


def by_hand(network: BiaffineParser, support: list[Sentence], config: AdaptConfig, gates: Tensor | None) -> list[float]:
    """The same steps written plainly: a loop over sentences and words, gold arcs and labels by log-softmax."""
    groups = [
        {"params": network.encoder_parameters(), "lr": config.encoder_rate},
        {"params": network.classifier_parameters(), "lr": config.classifier_rate},
    ]
    adam = torch.optim.Adam(groups, fused=False, foreach=False)
    optimizer = adam if config.optimizer == "adam" else torch.optim.SGD(groups, foreach=False)
    n_words = sum(len(sentence.words) for sentence in support)
    losses = []
    for _ in range(config.steps):
        loss = torch.zeros((), dtype=torch.float64)
        for sentence in support:
            batch = pack(network.encode([sentence], gold=True))
            scores = network(batch, None if gates is None else gates[None])
            for i, (head, label) in enumerate(zip(sentence.heads, sentence.labels, strict=True)):
                assert head is not None
                assert label is not None
                loss = loss - scores.arcs[0, i + 1].log_softmax(0)[head]
                pair = network.label_scores(scores, dependents=torch.tensor([[0, i + 1]]), heads=torch.tensor([head]))
                loss = loss - pair[0].log_softmax(0)[network.vocabulary.index[label]]
        optimizer.zero_grad()
        (loss / n_words).backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
        for p in network.parameters():
            if p.grad is not None:
                p.grad *= min(1.0, config.clip / float(norm))
        optimizer.step()
        losses.append(loss.item() / n_words)
    return losses


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.05), ("adam", 1e-4)])
def test_adaptation_is_that_of_a_plain_loop(
    tiny_parser: Make, demo: Demo, optimizer: Any, rate: float, gated: bool
) -> None:
    support = demo("Norwegian", 5)
    gates = torch.tensor([[1.0, 0.0], [0.5, 1.0]]) if gated else None
    config = AdaptConfig(
        steps=5,
        optimizer=optimizer,
        encoder_rate=rate,
        classifier_rate=2 * rate,
        clip=2.0,
        dropout=False,
        budget=40,
        precision="fp32",
    )
    ours, plain = tiny_parser(), tiny_parser()
    losses = adapt_(ours, ours.encode(support, gold=True), config=config, gates=gates)
    assert losses == pytest.approx(by_hand(plain, support, config, gates), rel=1e-6 if optimizer == "sgd" else 1e-5)
    assert losses[-1] < losses[0] - 1e-3
    if optimizer == "sgd":  # Adam turns rounding errors of parameters without effect into steps
        for (name, p), q in zip(ours.named_parameters(), plain.parameters(), strict=True):
            assert (p - q).abs().max() < 1e-6, name


def test_dropout_is_on_only_if_asked_for(base: Parser, support: list[Sentence]) -> None:
    still = replace(CONFIG, steps=1, dropout=False)
    assert adapt(base, support, config=still, seed=1).losses == adapt(base, support, config=still, seed=2).losses
    moving = replace(still, dropout=True)
    assert adapt(base, support, config=moving, seed=1).losses != adapt(base, support, config=moving, seed=2).losses
    assert not adapt(base, support, config=moving).parser.network.training


def relabelled(sentences: list[Sentence], old: str, new: str) -> list[Sentence]:
    found = []
    for s in sentences:
        labels = [new if label == old else label for label in s.labels]
        found.append(Sentence.from_words(s.words, heads=s.heads, labels=labels))
    return found


def test_a_new_label_gets_a_row_that_starts_from_its_base_relation(base: Parser, support: list[Sentence]) -> None:
    named = relabelled(support, "nsubj", "nsubj:xyz")
    untrained = adapt(base, named, config=replace(CONFIG, steps=0))
    assert untrained.new_labels == ("nsubj:xyz",)
    network = untrained.parser.network
    assert network.vocabulary.labels == (*base.network.vocabulary.labels, "nsubj:xyz")
    batch = pack(network.encode(support[:1], gold=False))
    with torch.no_grad():
        pairs = {"dependents": torch.tensor([[0, 1]]), "heads": torch.tensor([2])}
        new = network.label_scores(network(batch), **pairs)[0]
        old = base.network.label_scores(base.network(batch), **pairs)[0]
    assert torch.allclose(new[:-1], old, atol=1e-6)
    assert new[-1] == new[network.vocabulary.index["nsubj"]]
    assert "nsubj:xyz" not in base.network.vocabulary.index


def test_a_new_label_is_learned_and_predicted(base: Parser, support: list[Sentence]) -> None:
    named = relabelled(support, "nsubj", "nsubj:xyz")
    config = AdaptConfig(steps=60, encoder_rate=3e-3, classifier_rate=1e-2, dropout=False, precision="fp32")
    adapted = adapt(base, named, config=config)
    parsed = adapted.parser.parse(named)
    assert sum(label == "nsubj:xyz" for s in parsed for label in s.labels) >= 5
    assert score(named, parsed).las_full.f1 > 50


def test_a_label_without_a_universal_relation_is_refused(base: Parser, support: list[Sentence]) -> None:
    weights = digest(base.network)
    with pytest.raises(
        DataError, match=r"^<words>:1: the label 'xyz:nsubj' has no universal relation to start from: 'xyz' is not one"
    ):
        adapt(base, relabelled(support, "nsubj", "xyz:nsubj"), config=CONFIG)
    assert digest(base.network) == weights


def blank(sentence: Sentence, words: set[int]) -> Sentence:
    heads = [None if i in words else head for i, head in enumerate(sentence.heads)]
    labels = [None if i in words else label for i, label in enumerate(sentence.labels)]
    return Sentence.from_words(sentence.words, heads=heads, labels=labels)


@pytest.mark.parametrize("n", [0, 3])
def test_a_support_set_without_annotated_words_is_refused(base: Parser, support: list[Sentence], n: int) -> None:
    empty = [blank(s, set(range(99))) for s in support[:n]]
    with pytest.raises(DataError, match=f"the support set has no word with a head in its {n} sentences; annotate HEAD"):
        adapt(base, empty)


def test_words_that_are_not_annotated_do_not_count(base: Parser, support: list[Sentence]) -> None:
    config = replace(CONFIG, steps=1, dropout=False)
    sentences = support[:4]
    whole = adapt(base, [*sentences, blank(support[4], set(range(99)))], config=config)
    assert whole.losses == pytest.approx(adapt(base, sentences, config=config).losses, abs=1e-5)
    every = [blank(s, set(range(len(s.words))) - {i}) for s in sentences for i in range(len(s.words))]
    one_by_one = [adapt(base, [s], config=config).losses[0] for s in every]
    assert adapt(base, sentences, config=config).losses[0] == pytest.approx(sum(one_by_one) / len(every), abs=1e-4)


def test_labels_may_be_missing_where_heads_are_there(base: Parser, support: list[Sentence]) -> None:
    bare = [Sentence.from_words(s.words, heads=s.heads) for s in support]
    config = replace(CONFIG, steps=1, dropout=False)
    full, arcs = (adapt(base, s, config=config).losses[0] for s in (support, bare))
    assert 0 < arcs < full


def test_gates_are_used_in_training_and_kept_in_the_result(base: Parser, support: list[Sentence], demo: Demo) -> None:
    gates = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    config = replace(CONFIG, dropout=False)
    full, given = adapt(base, support, config=config), adapt(base, support, config=config, gates=gates)
    own = adapt(replace(base, gates=gates), support, config=config)
    assert given.losses == own.losses != full.losses
    assert full.parser.gates is None
    test = demo("Italian", 10)
    for adapted in (given, own):
        assert adapted.parser.gates is not None
        assert torch.equal(adapted.parser.gates, gates)
        bare = Parser(adapted.parser.network)
        assert adapted.parser.parse(test) == replace(bare, gates=gates).parse(test) != bare.parse(test)
    # The output projection of a closed attention head gets no gradient through it.
    layers = given.parser.network.encoder.model.encoder.layer
    before = base.network.encoder.model.encoder.layer
    for i in (0, 1):
        closed = slice(16 * (1 - i), 16 * (2 - i))
        assert torch.equal(
            layers[i].attention.output.dense.weight[:, closed], before[i].attention.output.dense.weight[:, closed]
        )


def test_gates_of_another_encoder_are_refused(base: Parser, support: list[Sentence]) -> None:
    with pytest.raises(ModelError, match=r"gates of shape \(12, 12\); the encoder .* has \(2, 2\)"):
        adapt(base, support, gates=torch.ones(12, 12))


def test_the_budget_of_a_forward_pass_changes_no_loss(base: Parser, support: list[Sentence]) -> None:
    config = replace(CONFIG, dropout=False, optimizer="sgd")
    whole = adapt(base, support, config=config).losses
    for budget in (1, 100):
        assert adapt(base, support, config=replace(config, budget=budget)).losses == pytest.approx(whole, abs=1e-5)


def test_a_parser_adapts_alike_before_and_after_it_is_saved(
    tiny_parser: Make, support: list[Sentence], demo: Demo, tmp_path: Path
) -> None:
    network = tiny_parser(dropout=True)
    finetune_(network, demo("English", 8), config=FinetuneConfig(steps=2, batch=4, optim=OptimConfig(frozen_steps=9)))
    fresh = Parser(network)
    fresh.save_pretrained(tmp_path / "model")
    saved = Parser.from_pretrained(tmp_path / "model")
    for config in (CONFIG, replace(CONFIG, embeddings=False)):
        a, b = (adapt(parser, support, config=config) for parser in (fresh, saved))
        assert a.losses == b.losses
        assert digest(a.parser.network) == digest(b.parser.network)


def test_embeddings_stay_if_asked_for(base: Parser, support: list[Sentence]) -> None:
    before = base.network.encoder.model.get_input_embeddings().weight
    for embeddings in (True, False):
        adapted = adapt(base, support, config=replace(CONFIG, embeddings=embeddings)).parser.network
        assert torch.equal(adapted.encoder.model.get_input_embeddings().weight, before) != embeddings


def test_small_parts_leave_the_encoders_matrices_as_they_were(base: Parser, support: list[Sentence]) -> None:
    before = base.network.state_dict()
    adapted = adapt(base, support, config=AdaptConfig(steps=2, **SHARED)).parser.network
    changed = {n for n, t in adapted.state_dict().items() if n in before and not torch.equal(t, before[n])}
    assert {n for n in changed if n.startswith("encoder.") and before[n].ndim != 1} == set()
    assert {n for n in changed if n.startswith("encoder.")}
    assert {n for n in changed if not n.startswith("encoder.")}


def test_frozen_parameters_stay_in_the_inner_loop(tiny_parser: Make, support: list[Sentence]) -> None:
    network = tiny_parser()
    network.encoder.requires_grad_(False)
    before = {name: p.clone() for name, p in network.named_parameters()}
    adapt_(network, network.encode(support, gold=True), config=CONFIG)
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not any(name.startswith("encoder.") for name in moved)


def test_what_is_not_finite_is_refused(base: Parser, support: list[Sentence]) -> None:
    with torch.no_grad():
        base.network.mix.scale.fill_(math.nan)
    with pytest.raises(TrainingError, match="the loss of adaptation step 1 is nan, .*; lower the rates"):
        adapt(base, support, config=CONFIG)


def test_a_last_step_that_breaks_the_parser_is_refused(base: Parser, support: list[Sentence]) -> None:
    before = digest(base.network)
    with pytest.raises(TrainingError, match="the loss after the last step of adaptation is (nan|inf); lower the rates"):
        adapt(base, support, config=replace(CONFIG, steps=1, encoder_rate=1e38, classifier_rate=1e38))
    assert digest(base.network) == before


def test_a_gradient_that_is_not_finite_is_refused_before_its_step_is_taken(
    tiny_parser: Make, support: list[Sentence]
) -> None:
    network = tiny_parser()
    network.root.register_hook(lambda g: g * math.nan)
    before = digest(network)
    with pytest.raises(TrainingError, match=r"the loss of adaptation step 1 is \d+\.\d+, the norm of its gradient nan"):
        adapt_(network, network.encode(support, gold=True), config=CONFIG)
    assert digest(network) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps -1, budget 4096: they are 0 and 1 or more"),
        ({"budget": 0}, "steps 20, budget 0: they are 0 and 1 or more"),
        ({"encoder_rate": -1e-3}, "rates -0.001 and 0.0005, clip 5.0: rates are 0 or more"),
        ({"encoder_rate": math.inf}, "rates inf and 0.0005"),
        ({"classifier_rate": math.nan}, "rates 0.0001 and nan"),
        ({"clip": 0.0}, "clip 0.0: rates are 0 or more, clip is above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdaptConfig(**settings)


def test_an_unknown_optimizer_is_refused() -> None:
    config = AdaptConfig()
    object.__setattr__(config, "optimizer", "adagrad")  # past the type check that runs with the tests
    with pytest.raises(ConfigError, match="unknown optimizer 'adagrad'; allowed: adam, sgd"):
        config.__post_init__()


def test_an_unknown_precision_is_refused(base: Parser, support: list[Sentence]) -> None:
    with pytest.raises(ConfigError, match="unknown precision 'fp8'"):
        adapt(base, support, config=replace(CONFIG, precision="fp8"))


def test_bf16_adapts_nearly_as_fp32_does(base: Parser, support: list[Sentence]) -> None:
    config = replace(CONFIG, dropout=False)
    exact = adapt(base, support, config=config).losses
    assert adapt(base, support, config=replace(config, precision="bf16")).losses == pytest.approx(exact, rel=0.02)


@pytest.mark.gpu
def test_a_gpu_adapts_as_a_cpu_does(base: Parser, support: list[Sentence]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    config = replace(CONFIG, dropout=False)
    exact = adapt(base, support, config=config).losses
    on_gpu = Parser(base.network.to("cuda"), gates=torch.ones(2, 2))
    assert adapt(on_gpu, support, config=config).losses == pytest.approx(exact, rel=1e-3)


def test_a_meta_trained_parser_adapts_as_its_inner_loop_did(base: Parser, support: list[Sentence]) -> None:
    inner = AdaptConfig(steps=3, optimizer="sgd", encoder_rate=0.01, classifier_rate=0.1, clip=7.0)
    settings = {"row": {"loop": "meta"}, "stage2": {"inner": asdict(inner), "outer": {"embeddings": False}}}
    trained = replace(base, about=replace(base.about, settings=settings))
    found = config_for(trained)
    assert found == replace(inner, steps=20, embeddings=False)  # frozen in the inner loop as in the outer
    assert config_for(replace(base, about=replace(base.about, settings={"row": {"loop": "joint"}}))) == AdaptConfig()
    assert config_for(base) == AdaptConfig()
    by_default, said = adapt(trained, support, seed=1), adapt(trained, support, config=found, seed=1)
    assert digest(by_default.parser.network) == digest(said.parser.network)
