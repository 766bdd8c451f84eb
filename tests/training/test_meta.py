"""First-order MAML against algorithm 1 written plainly: a copy of the model a language, SGD, the mean, and Adam by hand."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from sublingual.adaptation import AdaptConfig
from sublingual.data.batches import Encoded, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.subnetworks.dynamic import DynamicConfig, DynamicGates, LanguageGates, LanguageSubnetworks
from sublingual.subnetworks.language_weights import LanguageWeights
from sublingual.training.meta import Episode, meta_gradients_
from sublingual.training.optim import OptimConfig
from sublingual.training.stage2 import Draws, Stage2Config, stage2_

Make = Callable[..., BiaffineParser]
LANGUAGES = ("ar", "hi", "it")
INNER = AdaptConfig(
    steps=3, optimizer="sgd", encoder_rate=2e-2, classifier_rate=5e-2, clip=math.inf, dropout=False, precision="fp32"
)
START = torch.tensor(
    [[[True, False], [True, True]], [[True, True], [False, True]], [[True, True], [True, False]]]
)  # [languages, layers, attention_heads]


@pytest.fixture
def data(demo: Callable[..., list[Sentence]]) -> dict[str, list[Sentence]]:
    return dict(zip(LANGUAGES, (demo("Arabic", 6), demo("Hindi", 6), demo("Italian", 6)), strict=True))


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scores and losses too are float64. In float32, gradients that are zero but for rounding become steps of Adam."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def dynamic(config: DynamicConfig | None = None) -> DynamicGates:
    return DynamicGates(START, languages=LANGUAGES, config=config or DynamicConfig(off=0.25, rate=1e-3))


def static() -> LanguageGates:
    return LanguageGates(START, languages=LANGUAGES)


def split(network: BiaffineParser) -> tuple[list[str], list[str]]:
    """The names of the parameters with the encoder's rate and with the classifier's; the piece embeddings have none."""
    names = [name for name, _ in network.named_parameters() if "word_embeddings" not in name]
    return [n for n in names if n.startswith("encoder.")], [n for n in names if not n.startswith("encoder.")]


def per_word(network: BiaffineParser, sentences: Sequence[Encoded], gates: Tensor) -> Tensor:
    batch = pack(sorted(sentences, key=lambda e: e.n_pieces))
    return network.loss(batch, gates.expand(len(batch), -1, -1)).total / batch.n_annotated


@dataclass
class Learner:
    """What one language gives: its query gradients at phi by name, the query gradient of its gates, the losses."""

    gradients: dict[str, Tensor]
    gates: Tensor
    support: list[float]
    query: float


def learner(
    theta: BiaffineParser, support: Sequence[Encoded], query: Sequence[Encoded], gates: Tensor, inner: AdaptConfig
) -> Learner:
    """Lines 5 to 9 of algorithm 1 for one language, on a copy."""
    phi = deepcopy(theta)
    encoder, classifier = split(phi)
    rates = dict.fromkeys(encoder, inner.encoder_rate) | dict.fromkeys(classifier, inner.classifier_rate)
    parameters = {name: p for name, p in phi.named_parameters() if name in rates}
    losses = []
    for _ in range(inner.steps):
        loss = per_word(phi, support, gates)
        losses.append(loss.item())
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for (name, p), g in zip(parameters.items(), found, strict=True):
            if g is not None:
                p.data -= rates[name] * g
    own = gates.clone().requires_grad_()
    loss = per_word(phi, query, own)
    *found, of_gates = torch.autograd.grad(loss, [*parameters.values(), own], allow_unused=True)
    gradients = {
        name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(parameters.items(), found, strict=True)
    }
    return Learner(gradients, of_gates, losses, loss.item())


class PlainAdam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self) -> None:
        self.t = 0
        self.m: dict[str, Tensor] = {}
        self.v: dict[str, Tensor] = {}

    def step_(self, parameters: dict[str, Tensor], gradients: dict[str, Tensor], rates: dict[str, float]) -> None:
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = 0.9 * self.m.get(name, torch.zeros_like(g)) + 0.1 * g
            self.v[name] = 0.999 * self.v.get(name, torch.zeros_like(g)) + 0.001 * g**2
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            parameters[name].data -= rates[name] * m / (v.sqrt() + 1e-8)


def smallest_off(weights: Tensor, off: int) -> Tensor:
    gates = torch.ones_like(weights)
    for i in sorted(range(weights.numel()), key=lambda i: float(weights.flatten()[i]))[:off]:
        gates.view(-1)[i] = 0
    return gates


def algorithm_1(
    network: BiaffineParser, weights: Tensor | None, encoded: dict[str, list[Encoded]], config: Stage2Config
) -> None:
    """Trains a network, and the weights of gates where they are learned, as algorithm 1 and section 4.3.2 say."""
    draws, adam = Draws({c: len(e) for c, e in encoded.items()}, batch=config.batch, seed=config.seed), PlainAdam()
    encoder, classifier = split(network)
    rising = round(config.outer.warmup * config.steps)
    for t in range(config.steps):
        support, query = draws.draw(), draws.draw()
        gates = START.double() if weights is None else torch.stack([smallest_off(w, 1) for w in weights])
        found = [
            learner(network, [e[i] for i in support[c]], [e[i] for i in query[c]], g, config.inner)
            for (c, e), g in zip(encoded.items(), gates, strict=True)
        ]
        n = len(found)
        gradients = {name: sum(f.gradients[name] for f in found) / n for name in [*encoder, *classifier]}
        falling = 0.5 * (1 + math.cos(math.pi * (t - rising) / (config.steps - rising)))
        factor = t / rising if t < rising else falling
        rates = dict.fromkeys(encoder, config.outer.encoder_rate * factor)
        rates |= dict.fromkeys(classifier, config.outer.classifier_rate * factor)
        parameters: dict[str, Tensor] = dict(network.named_parameters())
        if weights is not None:
            gradients["gates"] = torch.stack([f.gates for f in found]) / n
            rates["gates"], parameters["gates"] = config.dynamic.rate * factor, weights
        adam.step_(parameters, gradients, rates)  # type: ignore[arg-type]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("episodes", "warmup"), [(2, 0.0), (4, 0.5)])
@pytest.mark.parametrize("learned", [False, True])
def test_the_parameters_after_episodes_are_those_of_algorithm_1_written_plainly(
    tiny_parser: Make, data: dict[str, list[Sentence]], learned: bool, episodes: int, warmup: float
) -> None:
    config = Stage2Config(
        steps=episodes,
        batch=3,
        seed=5,
        outer=OptimConfig(
            encoder_rate=1e-3, classifier_rate=2e-3, weight_decay=0.0, beta2=0.999, clip=math.inf, warmup=warmup
        ),
        inner=INNER,
        dynamic=DynamicConfig(off=0.25, rate=4e-3),
        precision="fp32",
        budget=10_000,
    )
    network, plain = tiny_parser().double(), tiny_parser().double()
    gates = dynamic(config.dynamic).double() if learned else static()
    weights = gates.weights.detach().clone() if isinstance(gates, DynamicGates) else None
    begun = {name: p.detach().clone() for name, p in network.named_parameters()}
    stage2_(network, gates, data, loop="meta", config=config)
    algorithm_1(plain, weights, {c: plain.encode(s, gold=True) for c, s in data.items()}, config)
    expected = dict(plain.named_parameters())
    for name, p in network.named_parameters():
        torch.testing.assert_close(p, expected[name], rtol=0, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    moved = max((p - begun[name]).abs().max().item() for name, p in network.named_parameters())
    assert moved > 1e-3  # far more than the tolerance
    if weights is not None and isinstance(gates, DynamicGates):
        torch.testing.assert_close(gates.weights.detach(), weights, rtol=0, atol=1e-6)
        assert (gates.binary() != gates.start).any()


def sets_of(
    network: BiaffineParser, data: dict[str, list[Sentence]]
) -> tuple[list[list[Encoded]], list[list[Encoded]]]:
    encoded = [network.encode(s, gold=True) for s in data.values()]
    return [e[:3] for e in encoded], [e[3:] for e in encoded]


def episode(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    data: dict[str, list[Sentence]],
    inner: AdaptConfig = INNER,
    observe: Callable[[int, Sequence[Tensor | None]], None] | None = None,
    budget: int = 10_000,
) -> Episode:
    supports, queries = sets_of(network, data)
    return meta_gradients_(
        network, gates, supports, queries, inner=inner, budget=budget, precision="fp32", observe=observe
    )


@pytest.mark.usefixtures("float64")
def test_an_episode_gives_the_mean_of_the_learners_gradients_and_their_losses(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    network = tiny_parser().double()
    network.encoder.model.get_input_embeddings().requires_grad_(False)
    supports, queries = sets_of(network, data)
    plain = [learner(network, s, q, g, INNER) for s, q, g in zip(supports, queries, START.double(), strict=True)]
    found = episode(network, static(), data, budget=40)
    assert found.before == pytest.approx([f.support[0] for f in plain], rel=1e-9)
    assert found.after == pytest.approx([f.support[-1] for f in plain], rel=1e-9)
    assert found.query == pytest.approx([f.query for f in plain], rel=1e-9)
    for name, p in network.named_parameters():
        if p.requires_grad:
            assert p.grad is not None
            expected = sum(f.gradients[name] for f in plain) / 3
            torch.testing.assert_close(p.grad, expected, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_in_masks_of_single_weights_the_learners_are_those_of_masked_copies(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    network = tiny_parser().double()
    network.encoder.model.get_input_embeddings().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    shapes = {name: p.shape for name, p in attention_weights(network.encoder).items()}
    masks = {
        code: WeightMask({name: torch.rand(shape, generator=generator) > 0.3 for name, shape in shapes.items()})
        for code in LANGUAGES
    }
    before = deepcopy(network.state_dict())
    found = episode(network, LanguageWeights(masks), data)
    supports, queries = sets_of(network, data)
    expected = {name: torch.zeros_like(p) for name, p in network.named_parameters() if p.requires_grad}
    for i, mask in enumerate(masks.values()):
        phi = deepcopy(network)
        phi.zero_grad()
        on = {f"encoder.model.{name}": kept for name, kept in mask.kept.items()}
        for name, p in phi.named_parameters():
            p.data *= on.get(name, torch.ones(()))
        for sentences in [supports[i]] * INNER.steps + [queries[i]]:
            loss = per_word(phi, sentences, torch.ones(2, 2))
            phi.zero_grad()
            loss.backward()
            if sentences is queries[i]:
                break
            for name, p in phi.named_parameters():
                rate = INNER.encoder_rate if name.startswith("encoder.") else INNER.classifier_rate
                if p.grad is not None:
                    p.data -= rate * p.grad * on.get(name, torch.ones(()))
        assert found.query[i] == pytest.approx(loss.item(), rel=1e-9)
        for name, p in phi.named_parameters():
            if p.grad is not None and name in expected:
                expected[name] += p.grad * on.get(name, torch.ones(())) / 3
    for name, p in network.named_parameters():
        assert torch.equal(p, before[name])
        if p.requires_grad:
            torch.testing.assert_close(p.grad, expected[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dropout", [False, True])
def test_theta_is_bit_identical_after_the_inner_loops(
    tiny_parser: Make, data: dict[str, list[Sentence]], dropout: bool
) -> None:
    network = tiny_parser(dropout=dropout)
    before = deepcopy(network.state_dict())
    found = episode(network, static(), data, inner=replace(INNER, dropout=dropout))
    assert found.before != found.after
    for name, t in network.state_dict().items():
        assert torch.equal(t, before[name]), name


def faulty_from(network: BiaffineParser, n: int) -> None:
    """From the n-th backward on the layer mix's gradient is not finite."""
    seen = [0]

    def spoil(gradient: Tensor) -> Tensor:
        seen[0] += 1
        return gradient * math.inf if seen[0] >= n else gradient

    network.mix.scale.register_hook(spoil)


@pytest.mark.parametrize(("at", "language"), [(2, "ar"), (6, "hi"), (10, "it")])
def test_a_fault_in_an_inner_loop_names_the_language_and_its_support_and_leaves_theta_as_it_was(
    tiny_parser: Make, data: dict[str, list[Sentence]], at: int, language: str
) -> None:
    network = tiny_parser()
    before = deepcopy(network.state_dict())
    faulty_from(network, at)  # 3 inner steps and a query a language: always the second inner step
    place = re.escape(data[language][0].place)
    with pytest.raises(
        TrainingError,
        match=rf"in the inner loop of {language}: the loss of adaptation step 2 is .*its support: {place}",
    ):
        episode(network, static(), data)
    for name, t in network.state_dict().items():
        assert torch.equal(t, before[name]), name


def test_rates_that_are_too_high_are_a_fault_of_the_first_language(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    with pytest.raises(TrainingError, match=r"in the inner loop of ar: .* is nan.*lower the rates"):
        episode(tiny_parser(), static(), data, inner=replace(INNER, encoder_rate=1e30, classifier_rate=1e30))


@pytest.mark.parametrize("learned", [False, True])
def test_an_observer_sees_each_languages_query_gradients_and_changes_nothing(
    tiny_parser: Make, data: dict[str, list[Sentence]], learned: bool
) -> None:
    gradients: list[list[Tensor]] = []
    seen: dict[int, list[Tensor]] = {}

    def observe(i: int, found: Sequence[Tensor | None]) -> None:
        seen[i] = [torch.zeros(()) if g is None else g.clone() for g in found]

    for observer in (None, observe):
        network, gates = tiny_parser(dropout=True), dynamic() if learned else static()
        torch.manual_seed(1)
        episode(network, gates, data, inner=replace(INNER, dropout=True), observe=observer)
        gradients.append([p.grad for p in [*network.parameters(), *gates.parameters()] if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert list(seen) == [0, 1, 2]
    for p, *own in zip(gradients[1][: len(seen[0])], *seen.values(), strict=True):
        torch.testing.assert_close(p, sum(g.expand_as(p) for g in own), rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_what_the_observer_sees_is_a_third_of_the_learners_gradient(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    network = tiny_parser().double()
    network.encoder.model.get_input_embeddings().requires_grad_(False)
    supports, queries = sets_of(network, data)
    seen: dict[int, list[Tensor | None]] = {}
    episode(network, static(), data, observe=lambda i, found: seen.update({i: [*found]}))
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    for i in range(3):
        plain = learner(network, supports[i], queries[i], START[i].double(), INNER)
        for name, g in zip(names, seen[i], strict=True):
            found = torch.zeros_like(plain.gradients[name]) if g is None else g
            torch.testing.assert_close(found, plain.gradients[name] / 3, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_learned_gates_get_the_gradient_of_the_query_alone(tiny_parser: Make, data: dict[str, list[Sentence]]) -> None:
    network, gates = tiny_parser().double(), dynamic().double()
    network.encoder.model.get_input_embeddings().requires_grad_(False)
    supports, queries = sets_of(network, data)
    weights = gates.weights.detach().clone()
    binary = gates.binary()
    episode(network, gates, data)
    assert torch.equal(gates.weights.detach(), weights)  # fixed within the episode
    assert gates.weights.grad is not None
    for i in range(3):
        plain = learner(network, supports[i], queries[i], binary[i], INNER)
        torch.testing.assert_close(gates.weights.grad[i], plain.gates / 3, rtol=0, atol=1e-9)
        assert plain.gates.abs().max() > 1e-4


def test_support_and_query_of_one_language_do_not_touch_another(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    """The learners start from theta, not from one another: their order does not matter."""
    results: list[dict[str, float]] = []
    for order in (LANGUAGES, LANGUAGES[::-1]):
        network = tiny_parser()
        start = torch.stack([START[LANGUAGES.index(c)] for c in order])
        found = episode(network, LanguageGates(start, languages=order), {c: data[c] for c in order})
        results.append(dict(zip(order, found.query, strict=True)))
    assert results[0] == results[1]


class Saved:
    """A tensor that a graph keeps for its backward pass; counts the bytes of all that are alive, and their peak."""

    now = peak = 0

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        Saved.now += tensor.nbytes
        Saved.peak = max(Saved.peak, Saved.now)

    def __del__(self) -> None:
        Saved.now -= self.tensor.nbytes


def test_no_graph_outlives_its_step_whatever_the_number_of_steps_or_languages(
    tiny_parser: Make, data: dict[str, list[Sentence]]
) -> None:
    peaks = []
    for codes, steps in (("ar", 2), ("ar", 9), (LANGUAGES, 9)):
        network = tiny_parser()
        same = dict.fromkeys([codes] if isinstance(codes, str) else codes, data["ar"])
        gates = LanguageGates(torch.ones(len(same), 2, 2, dtype=torch.bool), languages=[*same])
        Saved.now = Saved.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            episode(network, gates, same, inner=replace(INNER, steps=steps, encoder_rate=0.0, classifier_rate=0.0))
        gc.collect()
        assert Saved.now == 0
        peaks.append(Saved.peak)
    assert peaks[0] == peaks[1] == peaks[2] > 0
