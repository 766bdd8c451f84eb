"""Gradients of languages compared: cosines as a plain loop has them, and a training that does not notice."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from sublingual.adaptation import AdaptConfig
from sublingual.data.batches import pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.subnetworks.dynamic import DynamicConfig, DynamicGates, LanguageGates
from sublingual.training.gradients import Conflicts, cosines, observe_joint
from sublingual.training.optim import OptimConfig
from sublingual.training.stage2 import Stage2Config, stage2_

Make = Callable[..., BiaffineParser]
LANGUAGES = ("ar", "hi", "it")
CONFIG = Stage2Config(
    steps=4,
    batch=3,
    outer=OptimConfig(encoder_rate=1e-3, classifier_rate=1e-3, weight_decay=0.0),
    inner=AdaptConfig(steps=2, optimizer="sgd", encoder_rate=1e-2, classifier_rate=1e-2, precision="fp32"),
    precision="fp32",
)


@pytest.fixture
def data(demo: Callable[..., list[Sentence]]) -> dict[str, list[Sentence]]:
    return dict(zip(LANGUAGES, (demo("Arabic", 6), demo("Hindi", 6), demo("Italian", 6)), strict=True))


def gates_of(kind: type[LanguageGates]) -> LanguageGates:
    start = torch.ones(3, 2, 2, dtype=torch.bool)
    if kind is DynamicGates:
        return DynamicGates(start, languages=LANGUAGES, config=DynamicConfig(off=0.25))
    return LanguageGates(start, languages=LANGUAGES)


def test_cosines_are_those_of_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [[torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)] for _ in range(3)]
    found = cosines(gradients)
    for a in range(3):
        for b in range(3):
            x, y = ([v for t in gradients[i] for v in t.flatten().tolist()] for i in (a, b))
            dot = sum(p * q for p, q in zip(x, y, strict=True))
            assert found[a, b] == pytest.approx(
                dot / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y)), rel=1e-6
            )


def test_a_language_without_gradient_has_cosine_zero() -> None:
    assert cosines([[torch.zeros(2)], [torch.ones(2)]])[0, 1] == 0


@pytest.mark.parametrize("kind", [LanguageGates, DynamicGates])
@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_observing_changes_no_bit(
    tiny_parser: Make, data: dict[str, list[Sentence]], loop: Literal["joint", "meta"], kind: type[LanguageGates]
) -> None:
    digests = []
    for last in (0, 2):
        network, gates = tiny_parser(dropout=True), gates_of(kind)
        seen = Conflicts(network, LANGUAGES, steps=4, last=last) if last else None
        stage2_(network, gates, data, loop=loop, config=CONFIG, conflicts=seen)
        digests.append(hashlib.sha256(b"".join(t.numpy().tobytes() for t in network.state_dict().values())).hexdigest())
        digests.append(hashlib.sha256(gates.binary().numpy().tobytes()).hexdigest())
    assert digests[:2] == digests[2:]
    assert seen is not None
    record = seen.record()
    assert [entry["step"] for entry in record["steps"]] == [2, 3]
    assert record["pairs"] == ["ar-hi", "ar-it", "hi-it"]


@pytest.mark.parametrize("everything", [False, True])
def test_the_joint_loops_gradients_are_those_of_each_language_alone(
    tiny_parser: Make, data: dict[str, list[Sentence]], everything: bool
) -> None:
    network = tiny_parser()
    counted = [*network.parameters()] if everything else network.encoder_parameters()
    encoded = [network.encode(sentences, gold=True) for sentences in data.values()]
    expected = []
    for e in encoded:
        batch = pack(e)
        own = torch.autograd.grad(network.loss(batch).total / batch.n_annotated, counted, allow_unused=True)
        expected.append([torch.zeros(()) if g is None else g for g in own])
    seen = Conflicts(network, LANGUAGES, steps=1, last=1, everything=everything)
    observe_joint(network, gates_of(LanguageGates), encoded, seen, step=0, budget=50, precision="fp32")
    torch.testing.assert_close(seen.cosines[0], cosines(expected), rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in network.parameters())


def made_up(rows: list[list[float]]) -> dict[str, Any]:
    seen = Conflicts.__new__(Conflicts)
    seen.languages = LANGUAGES
    pairs = list(combinations(range(3), 2))
    seen.cosines = {}
    for step, row in enumerate(rows):
        matrix = torch.eye(3, dtype=torch.float64)
        for (a, b), value in zip(pairs, row, strict=True):
            matrix[a, b] = matrix[b, a] = value
        seen.cosines[step] = matrix
    return seen.record()


def test_the_record_counts_conflicts() -> None:
    full = made_up([[0.5, -0.1, -0.2], [0.1, 0.2, -0.3]])
    assert full["conflicts"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert full["conflicts_by_pair"] == {"ar-hi": 0.0, "ar-it": 0.5, "hi-it": 1.0}
    assert full["cosine"] == pytest.approx((0.2 / 3 + 0.0) / 2)


def test_a_record_of_nothing_is_refused(tiny_parser: Make) -> None:
    with pytest.raises(ConfigError, match="no step was observed"):
        Conflicts(tiny_parser(), LANGUAGES, steps=4).record()


def test_what_was_observed_before_a_stop_is_there_after_it(
    tiny_parser: Make, data: dict[str, list[Sentence]], tmp_path: Path
) -> None:
    """Also where the run stopped after its last step, before anything was made of it."""

    def work(folder: str, progress: Any = None) -> dict[str, Any]:
        network = tiny_parser(dropout=True)
        seen = Conflicts(network, LANGUAGES, steps=CONFIG.steps, last=3)
        config = replace(CONFIG, checkpoint_every=1)
        stage2_(
            network,
            gates_of(LanguageGates),
            data,
            loop="joint",
            config=config,
            folder=tmp_path / folder,
            conflicts=seen,
            progress=progress,
        )
        return seen.record()

    def stop_at(step: int) -> Any:
        def stop(now: Any) -> None:
            if now.step == step:
                raise KeyboardInterrupt

        return stop

    whole = work("whole")
    for step in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            work("parts", stop_at(step))
    assert work("parts") == whole
