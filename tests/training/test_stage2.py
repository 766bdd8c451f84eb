"""Stage 2 as a run: equal batches for all systems, the same bits after any stop, and what bad input does to it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from sublingual.adaptation import AdaptConfig
from sublingual.data.batches import Encoded
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.parsing import parse
from sublingual.subnetworks.dynamic import DynamicConfig, DynamicGates, LanguageGates, LanguageSubnetworks
from sublingual.subnetworks.language_weights import DynamicWeights, LanguageWeights
from sublingual.subnetworks.magnitude import ranks
from sublingual.training import stage2
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.runs import CHECKPOINT, METRICS, only_run_in
from sublingual.training.stage2 import Draws, Stage2Config, stage2_, stage2_config

Make = Callable[..., BiaffineParser]
Run = Callable[[Callable[[], object]], int]
LANGUAGES = ("ar", "hi")
START = torch.tensor([[[1, 1], [0, 1]], [[0, 1], [1, 1]]]).bool()
CONFIG = Stage2Config(
    steps=6,
    batch=3,
    seed=2,
    outer=OptimConfig(encoder_rate=1e-3, classifier_rate=3e-3, weight_decay=0.0, beta2=0.999),
    inner=AdaptConfig(steps=2, optimizer="sgd", encoder_rate=1e-2, classifier_rate=1e-2, precision="fp32"),
    dynamic=DynamicConfig(off=0.25, rate=5e-3),
    checkpoint_every=1,
    precision="fp32",
)


@pytest.fixture
def data(demo: Callable[..., list[Sentence]]) -> dict[str, list[Sentence]]:
    return {"ar": demo("Arabic", 7), "hi": demo("Hindi", 8)}


def gates_of(kind: str, config: Stage2Config = CONFIG) -> LanguageGates:
    if kind == "dynamic":
        return DynamicGates(START, languages=LANGUAGES, config=config.dynamic)
    return LanguageGates(torch.ones_like(START) if kind == "full" else START, languages=LANGUAGES)


def weights_of(network: BiaffineParser, kind: str, config: Stage2Config) -> LanguageSubnetworks:
    generator = torch.Generator().manual_seed(0)
    shapes = {name: p.shape for name, p in attention_weights(network.encoder).items()}
    masks = {
        code: WeightMask({name: torch.rand(shape, generator=generator) > 0.3 for name, shape in shapes.items()})
        for code in LANGUAGES
    }
    if kind == "weights":
        return LanguageWeights(masks)
    return DynamicWeights(masks, rank=ranks(network), config=config.dynamic)


@pytest.fixture
def work(tiny_parser: Make, data: dict[str, list[Sentence]]) -> Callable[..., str]:
    """Trains a tiny parser with dropout and returns a digest of it and of its gates."""

    def worked(
        folder: Path | None = None,
        *,
        loop: Any = "joint",
        kind: str = "dynamic",
        config: Stage2Config = CONFIG,
        **options: Any,
    ) -> str:
        network = tiny_parser(dropout=True)
        gates = weights_of(network, kind, config) if "weights" in kind else gates_of(kind, config)
        stage2_(network, gates, options.pop("data", data), loop=loop, config=config, folder=folder, **options)
        both = [*network.state_dict().values(), *gates.state_dict().values()]
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in both)).hexdigest()

    return worked


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("kind", ["dynamic", "weights", "dynamic weights"])
@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_stopped_and_resumed_runs_give_the_bits_of_one_that_never_stopped(
    work: Callable[..., str], tmp_path: Path, loop: str, kind: str
) -> None:
    work = partial(work, kind=kind)
    whole = work(tmp_path / "whole", loop=loop)

    def stop_at(step: int) -> Callable[[Progress], None]:
        def stop(progress: Progress) -> None:
            if progress.step == step:
                raise StoppedError

        return stop

    for step in (1, 4):
        with pytest.raises(StoppedError):
            work(tmp_path / "parts", loop=loop, progress=stop_at(step))
    assert work(tmp_path / "parts", loop=loop) == whole
    assert (tmp_path / "parts" / METRICS).read_bytes() == (tmp_path / "whole" / METRICS).read_bytes()
    assert work(loop=loop) == whole


def test_a_resumed_run_counts_the_processor_time_of_all_its_steps(
    tiny_parser: Make, data: dict[str, list[Sentence]], tmp_path: Path
) -> None:
    def trained() -> Any:
        return stage2_(tiny_parser(), gates_of("full"), data, loop="joint", config=CONFIG, folder=tmp_path)

    whole, resumed = trained(), trained()
    assert (whole.steps, resumed.steps) == (CONFIG.steps, 0)
    assert whole.cpu_seconds == resumed.cpu_seconds > 0


@pytest.mark.parametrize(
    ("loop", "n_kills"),
    [
        ("joint", 4),
        ("meta", 4),
        pytest.param("joint", 20, marks=pytest.mark.slow),
        pytest.param("meta", 20, marks=pytest.mark.slow),
    ],
)
def test_runs_killed_at_random_moments_give_the_bits_of_one_that_never_was(
    work: Callable[..., str], tmp_path: Path, start: Run, run: Run, loop: str, n_kills: int
) -> None:
    config = replace(CONFIG, steps=max(12, 2 * n_kills))

    def finish(folder: Path) -> Callable[[], None]:
        def finished() -> None:
            found = work(folder, loop=loop, config=config)
            (folder / "done").write_text(found)

        return finished

    began = time.monotonic()
    assert run(finish(tmp_path / "whole")) == 0
    duration = time.monotonic() - began
    rng = random.Random(n_kills)
    kills = 0
    while kills < n_kills:
        child = start(finish(tmp_path / "killed"))
        time.sleep(rng.uniform(0, duration / 2))
        os.kill(child, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        kills += killed
        if not killed:  # it was done before: once more from its start
            shutil.rmtree(tmp_path / "killed")
    assert run(finish(tmp_path / "killed")) == 0
    for name in ("done", METRICS):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert checkpoint_of(tmp_path / "killed") == checkpoint_of(tmp_path / "whole")


def checkpoint_of(folder: Path) -> str:
    """The SHA-256 of the last checkpoint: weights, gates, optimizer, samplers, random state."""
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        found: str = file.metadata()["sha256"]
    return found


def test_the_inner_loop_is_killed_and_the_episode_done_again(
    work: Callable[..., str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sublingual.training import meta

    whole = work(loop="meta")
    real, calls = meta.adapt_, []

    def killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        found = real(*args, **kwargs)
        if len(calls) == 6:  # the second language of the third episode, after its inner steps
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(meta, "adapt_", killed)
        assert run(lambda: work(tmp_path, loop="meta")) == -signal.SIGKILL
    assert len((tmp_path / METRICS).read_text().splitlines()) == 2
    assert work(tmp_path, loop="meta") == whole


@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_all_systems_of_a_seed_see_the_same_batches_in_the_same_order(
    work: Callable[..., str], monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    seen: dict[str, list[list[str]]] = {}
    name = f"{loop}_gradients_"
    real = getattr(stage2, name)
    for kind in ("full", "static", "dynamic"):

        def watch(network: Any, gates: Any, *sets: list[list[Encoded]], kind: str = kind, **rest: Any) -> Any:
            seen.setdefault(kind, []).append([e.sentence.place for batches in sets for batch in batches for e in batch])
            return real(network, gates, *sets, **rest)

        monkeypatch.setattr(stage2, name, watch)
        work(kind=kind, loop=loop)
    assert seen["full"] == seen["static"] == seen["dynamic"]
    assert len(seen["full"]) == 6
    assert {len(batch) for batch in seen["full"]} == {6 if loop == "joint" else 12}
    assert len({tuple(batch) for batch in seen["full"]}) == 6


def test_what_one_language_draws_does_not_depend_on_the_others() -> None:
    both, alone = Draws({"ar": 50, "hi": 60}, batch=5, seed=1), Draws({"hi": 60}, batch=5, seed=1)
    for _ in range(20):
        assert both.draw()["hi"] == alone.draw()["hi"]
    other = Draws({"hi": 60}, batch=5, seed=2)
    assert [other.draw() for _ in range(3)] != [alone.draw() for _ in range(3)]


def test_static_gates_stay_and_learned_ones_change(work: Callable[..., str], tmp_path: Path) -> None:
    work(tmp_path / "static", kind="static")
    work(tmp_path / "dynamic", config=replace(CONFIG, dynamic=DynamicConfig(off=0.25, rate=0.05)))
    for kind in ("static", "dynamic"):
        lines = [json.loads(line) for line in (tmp_path / kind / METRICS).read_text().splitlines()]
        switched = sum(line["switched_ar"] + line["switched_hi"] for line in lines)
        assert (switched > 0) == (kind == "dynamic")
        for line in lines:
            assert line["loss"] == pytest.approx((line["loss_ar"] + line["loss_hi"]) / 2)


def test_gates_changed_since_the_start_are_counted(tiny_parser: Make, data: dict[str, list[Sentence]]) -> None:
    gates = gates_of("dynamic", config := replace(CONFIG, dynamic=DynamicConfig(off=0.25, rate=0.05)))
    first = gates.binary()
    found = stage2_(tiny_parser(), gates, data, loop="joint", config=config)
    changed = (gates.binary() != first).sum(dim=(1, 2)).tolist()
    assert found.changed == dict(zip(LANGUAGES, changed, strict=True))
    assert all(found.switched[code] >= found.changed[code] for code in LANGUAGES)
    assert sum(changed) > 0
    assert found.steps == 6


def test_an_episodes_record_has_the_support_loss_before_and_after(work: Callable[..., str], tmp_path: Path) -> None:
    work(tmp_path, loop="meta", kind="static")
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert all(
        line[f"support_after_{code}"] > 0 < line[f"support_before_{code}"] for line in lines for code in LANGUAGES
    )


@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_an_attention_head_that_was_wrongly_switched_off_comes_back(
    tiny_parser: Make, data: dict[str, list[Sentence]], loop: Any
) -> None:
    """A toy: one attention head alone reaches the output, and the toy itself annotated the sentences, with that one on."""
    network = tiny_parser().eval()
    for i, layer in enumerate(network.encoder.model.encoder.layer):
        columns = layer.attention.output.dense.weight.data.view(32, 2, 16)  # [hidden, attention heads, size]
        for j in range(2):
            columns[:, j] *= 4 if (i, j) == (1, 0) else 0
    own = {code: parse(network, sentences) for code, sentences in data.items()}
    wrong = torch.ones(2, 2, 2, dtype=torch.bool)
    wrong[1, 1, 0] = False  # Hindi alone
    rates = OptimConfig(encoder_rate=0.0, classifier_rate=0.0, weight_decay=0.0, schedule="constant", clip=float("inf"))
    inner = replace(CONFIG.inner, encoder_rate=0.0, classifier_rate=0.0)
    config = replace(CONFIG, outer=rates, inner=inner, dynamic=DynamicConfig(off=0.25, rate=2e-3), steps=12)
    gates = DynamicGates(wrong, languages=LANGUAGES, config=config.dynamic)
    assert torch.nonzero(gates.binary()[1] == 0).tolist() == [[1, 0]]
    found = stage2_(network, gates, own, loop=loop, config=config)
    assert gates.binary()[:, 1, 0].tolist() == [1, 1]
    assert (gates.binary() == 0).sum(dim=(1, 2)).tolist() == [1, 1]
    assert found.changed == {"ar": 0, "hi": 2}


@pytest.mark.parametrize("change", ["loop", "gates", "config", "data"])
def test_a_folder_of_another_run_is_refused(
    work: Callable[..., str], tmp_path: Path, change: str, data: dict[str, list[Sentence]]
) -> None:
    work(tmp_path, loop="joint")
    other: dict[str, Any] = {
        "loop": {"loop": "meta"},
        "gates": {"kind": "static"},
        "config": {"config": replace(CONFIG, seed=9)},
        "data": {"data": {**data, "hi": data["hi"][:5]}},
    }[change]
    with pytest.raises(TrainingError, match="is of a run with other settings, data or parser"):
        work(tmp_path, **other)


def test_a_folder_of_gates_with_the_same_zeros_but_other_weights_is_refused(
    tiny_parser: Make, data: dict[str, list[Sentence]], tmp_path: Path
) -> None:
    importance = torch.tensor([[[3.0, 4.0], [1.0, 2.0]]] * 2)
    for given in (importance, importance.flip(1)):
        ones = torch.ones(2, 2, 2, dtype=torch.bool)
        nothing_off = replace(CONFIG, dynamic=DynamicConfig(off=0.0))
        gates = DynamicGates(ones, languages=LANGUAGES, config=nothing_off.dynamic, importance=given)
        if given is importance:
            stage2_(tiny_parser(), gates, data, loop="joint", config=nothing_off, folder=tmp_path)
        else:
            with pytest.raises(TrainingError, match="is of a run with other settings, data or parser"):
                stage2_(tiny_parser(), gates, data, loop="joint", config=nothing_off, folder=tmp_path)


def test_two_runs_in_one_folder_are_refused(work: Callable[..., str], tmp_path: Path) -> None:
    with only_run_in(tmp_path), pytest.raises(TrainingError, match="another run is in this folder"):
        work(tmp_path)


def test_a_language_without_annotated_sentences_is_named(
    work: Callable[..., str], data: dict[str, list[Sentence]]
) -> None:
    for poor in ({"ar": data["ar"]}, {**data, "hi": [Sentence.from_words(["a", "b"])]}):
        with pytest.raises(DataError, match="no annotated sentence of hi to train on; give a treebank"):
            work(data=poor)


def test_a_loss_that_is_not_finite_names_language_and_sentences_and_keeps_the_checkpoint(
    work: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, real, calls = work(), stage2.joint_gradients_, []

    def diverging(*args: Any, **kwargs: Any) -> list[float]:
        calls.append(1)
        losses = real(*args, **kwargs)
        return [losses[0], float("nan")] if len(calls) == 4 else losses

    with monkeypatch.context() as patch:
        patch.setattr(stage2, "joint_gradients_", diverging)
        message = rf"the loss of step 4 is nan.*the last checkpoint in {tmp_path} stays.*its sentences: hi: .*Hindi.*"
        with pytest.raises(TrainingError, match=message) as fault:
            work(tmp_path)
    assert "Arabic" not in str(fault.value)
    assert work(tmp_path) == whole


def test_an_inner_loop_that_diverges_names_language_and_sentences_and_keeps_the_checkpoint(
    work: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sublingual.training import meta

    whole, real, calls = work(loop="meta"), meta.adapt_, []

    def diverging(network: BiaffineParser, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:  # Hindi's, in the third episode
            raise TrainingError("the loss of adaptation step 2 is nan")
        return real(network, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(meta, "adapt_", diverging)
        with pytest.raises(TrainingError, match=r"in the inner loop of hi: the loss .* is nan \(its support: .*Hindi"):
            work(tmp_path, loop="meta")
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 2
    assert work(tmp_path, loop="meta") == whole


@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_a_batch_without_any_annotated_word_adds_nothing(
    work: Callable[..., str], data: dict[str, list[Sentence]], tmp_path: Path, loop: str
) -> None:
    """Partly annotated treebanks have such batches now and then."""
    poor = {**data, "hi": [data["hi"][0], *(Sentence.from_words(["क", "ख"]) for _ in range(17))]}
    work(tmp_path, loop=loop, data=poor)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert 0.0 in [line["loss_hi"] for line in lines]
    assert all(line["loss_ar"] > 0 for line in lines)


def test_the_presets_are_what_the_loops_take() -> None:
    paper = stage2_config("meta", "bert-base-multilingual-cased")
    assert (paper.steps, paper.batch, paper.inner.steps, paper.inner.optimizer) == (500, 20, 20, "sgd")
    assert (paper.inner.encoder_rate, paper.inner.classifier_rate) == (1e-5, 5e-4)
    assert (paper.outer.encoder_rate, paper.outer.classifier_rate) == (1e-4, 1e-3)
    joint = stage2_config("joint", "bert-base-multilingual-cased")
    assert (joint.steps, joint.outer.encoder_rate, joint.outer.classifier_rate) == (1000, 5e-5, 5e-4)
    assert (joint.outer.weight_decay, joint.outer.warmup, joint.dynamic.off) == (0.0, 0.1, 0.2)
    assert paper.outer.embeddings  # every parameter, in both loops
    assert joint.outer.embeddings
    for loop in ("joint", "meta"):
        assert stage2_config(loop, "bundled").steps > 0


@pytest.mark.parametrize("name", ["steps", "batch", "checkpoint_every", "budget"])
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} 0: it is 1 or more"):
        Stage2Config(**{name: 0})  # type: ignore[arg-type]


def test_an_inner_loop_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"inner\.steps 0: it is 1 or more"):
        Stage2Config(inner=AdaptConfig(steps=0))
