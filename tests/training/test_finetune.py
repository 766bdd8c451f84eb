"""Fine-tuning: the same bits however often it is stopped, an independent copy of its steps, and what faults do to it."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.utils.tensorboard  # its import takes seconds, which each forked run would spend anew
from safetensors import safe_open

from sublingual.data.batches import Sampler, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import parse
from sublingual.scoring import score
from sublingual.training import finetune, loop
from sublingual.training.finetune import FinetuneConfig, finetune_
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.runs import CHECKPOINT, METRICS, only_run_in

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]
Run = Callable[[Callable[[], object]], int]

SMALL = FinetuneConfig(
    steps=16,
    batch=4,
    seed=3,
    optim=OptimConfig(encoder_rate=1e-3, classifier_rate=3e-3, frozen_steps=3, thaw_steps=6),
    eval_every=6,
    checkpoint_every=2,
    dev_sentences=5,
    precision="fp32",
)
PLAIN = replace(SMALL, optim=OptimConfig(encoder_rate=1e-3, classifier_rate=3e-3))


def digest(network: BiaffineParser) -> str:
    found = hashlib.sha256()
    for name, t in network.state_dict().items():
        found.update(name.encode() + t.numpy().tobytes())
    return found.hexdigest()


def trace(folder: Path) -> tuple[str, str]:
    """The SHA-256 of a run's last checkpoint (weights, optimizer, sampler, random state, best) and of its metrics."""
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        state = file.metadata()["sha256"]
    return state, hashlib.sha256((folder / METRICS).read_bytes()).hexdigest()


@pytest.fixture
def train(demo: Demo) -> list[Sentence]:
    return demo("English", 24)


@pytest.fixture
def dev(demo: Demo) -> list[Sentence]:
    return demo("Norwegian", 8)


@pytest.fixture
def work(tiny_parser: Make, train: list[Sentence], dev: list[Sentence]) -> Callable[..., BiaffineParser]:
    """Trains a tiny parser with dropout and gradual unfreezing; returns it."""

    def worked(folder: Path | None = None, config: FinetuneConfig = SMALL, **options: Any) -> BiaffineParser:
        network = tiny_parser(dropout=True)
        finetune_(network, train, config=config, **{"dev": dev, "folder": folder, **options})
        return network

    return worked


def test_the_same_seed_gives_equal_bits_and_another_does_not(work: Callable[..., BiaffineParser]) -> None:
    first = digest(work())
    torch.rand(7)  # torch's own random state is no part of a run
    assert digest(work()) == first
    assert digest(work(config=replace(SMALL, seed=4))) != first


def test_a_folder_changes_no_bit(work: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    assert digest(work(tmp_path)) == digest(work())


def test_the_global_random_state_is_as_before(work: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    before = torch.get_rng_state()
    work(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


class StoppedError(Exception):
    pass


def stop_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise StoppedError

    return stop


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("select", ["last", "best"])
def test_stopped_and_resumed_runs_give_the_bits_of_one_that_never_stopped(
    work: Callable[..., BiaffineParser], tmp_path: Path, precision: str, select: Any
) -> None:
    config = replace(SMALL, precision=precision, select=select)
    whole = digest(work(tmp_path / "whole", config))
    for step in (
        1,
        4,
        5,
        9,
        14,
        16,
    ):  # while layers are frozen, while they wake, after, between checkpoints, at the end
        with pytest.raises(StoppedError):
            work(tmp_path / "parts", config, progress=stop_at(step))
    assert digest(work(tmp_path / "parts", config)) == whole
    assert trace(tmp_path / "parts") == trace(tmp_path / "whole")


def test_a_run_that_is_done_is_not_done_again(
    tiny_parser: Make, train: list[Sentence], dev: list[Sentence], tmp_path: Path
) -> None:
    results = []
    for _ in range(2):
        network = tiny_parser(dropout=True)
        found = finetune_(network, train, config=SMALL, dev=dev, folder=tmp_path)
        results.append((found.steps, found.dev, digest(network)))
    assert results[0][0] == 16
    assert results[1] == (0, *results[0][1:])


def finish(work: Callable[..., BiaffineParser], folder: Path, config: FinetuneConfig) -> Callable[[], None]:
    def finished() -> None:
        network = work(folder, config)
        (folder / "done").write_text(digest(network))

    return finished


def kill_at_random(start: Run, job: Callable[[], None], *, within: float, rng: random.Random) -> bool:
    """Starts the job and kills it after a random time; returns whether it still ran then."""
    child = start(job)
    time.sleep(rng.uniform(0, within))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("n_kills", "precision"),
    [
        (4, "fp32"),
        (3, "bf16"),
        pytest.param(40, "fp32", marks=pytest.mark.slow),
        pytest.param(20, "bf16", marks=pytest.mark.slow),
    ],
)
def test_runs_killed_at_random_moments_give_the_bits_of_one_that_never_was(
    work: Callable[..., BiaffineParser], tmp_path: Path, start: Run, run: Run, n_kills: int, precision: str
) -> None:
    config = replace(SMALL, precision=precision, select="best", steps=max(24, 2 * n_kills), checkpoint_every=1)
    began = time.monotonic()
    assert run(finish(work, tmp_path / "whole", config)) == 0
    duration = time.monotonic() - began
    rng = random.Random(n_kills)
    kills = 0
    while kills < n_kills:
        killed = kill_at_random(start, finish(work, tmp_path / "killed", config), within=duration / 2, rng=rng)
        kills += killed
        if not killed:  # it was done before: once more from its start
            shutil.rmtree(tmp_path / "killed")
    assert run(finish(work, tmp_path / "killed", config)) == 0
    assert (tmp_path / "killed/done").read_text() == (tmp_path / "whole/done").read_text()
    assert trace(tmp_path / "killed") == trace(tmp_path / "whole")


def test_sigterm_writes_a_checkpoint_and_exits_143_and_the_run_goes_on(
    work: Callable[..., BiaffineParser], tmp_path: Path, run: Run
) -> None:
    config = replace(SMALL, checkpoint_every=100)
    whole = digest(work(tmp_path / "whole", config))

    def terminate(progress: Progress) -> None:
        if progress.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(lambda: work(tmp_path / "parts", config, progress=terminate)) == 143
    lines = [json.loads(line)["step"] for line in (tmp_path / "parts" / METRICS).read_text().splitlines()]
    assert lines == [1, 2, 3, 4, 5, 6, 7]
    first_new = []
    assert digest(work(tmp_path / "parts", config, progress=lambda p: first_new.append(p.step))) == whole
    assert first_new[0] == 8
    assert trace(tmp_path / "parts") == trace(tmp_path / "whole")


def test_signal_handlers_are_as_before(work: Callable[..., BiaffineParser]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    work()
    assert signal.getsignal(signal.SIGTERM) is before


def test_metrics_have_one_line_a_step_and_dev_scores_where_they_are_due(
    work: Callable[..., BiaffineParser], tmp_path: Path
) -> None:
    work(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 17))
    assert [line["step"] for line in lines if "dev_las" in line] == [6, 12, 16]
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert any(path.name.startswith("events.out.tfevents") for path in (tmp_path / "tensorboard").iterdir())


def test_progress_tells_step_loss_speed_time_and_dev_las(work: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    told: list[Progress] = []
    work(tmp_path, progress=told.append)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [(p.step, p.steps, p.loss) for p in told] == [(i + 1, 16, line["loss"]) for i, line in enumerate(lines)]
    assert [p.dev_las for p in told[:5]] == [None] * 5
    assert told[5].dev_las == lines[5]["dev_las"] == told[10].dev_las
    assert all(p.speed > 0 for p in told)
    assert told[-1].seconds_left == 0


def test_the_best_weights_are_those_of_the_best_dev_uas_plus_las(
    work: Callable[..., BiaffineParser], tmp_path: Path, dev: list[Sentence]
) -> None:
    config = replace(PLAIN, select="best", eval_every=1, dev_sentences=100, steps=12)
    seen: dict[int, str] = {}
    network_of: list[BiaffineParser] = []
    with pytest.MonkeyPatch.context() as patch:
        real = finetune.parse

        def watch(network: BiaffineParser, sentences: Sequence[Sentence]) -> list[Sentence]:
            network_of.append(network)
            return real(network, sentences)

        patch.setattr(finetune, "parse", watch)
        network = work(tmp_path, config, progress=lambda p: seen.update({p.step: digest(network_of[-1])}))
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    sums = {line["step"]: line["dev_uas"] + line["dev_las"] for line in lines}
    best = max(sums, key=sums.__getitem__)  # the first of equals
    assert digest(network) == seen[best]
    found = score(dev, parse(network, dev))
    assert found.uas.f1 + found.las.f1 == pytest.approx(sums[best])
    assert len(set(sums.values())) > 1


def test_the_last_score_is_over_all_dev_sentences_and_those_on_the_way_are_evenly_drawn(
    tiny_parser: Make, train: list[Sentence], demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = demo("Norwegian", 8)
    scored: list[list[Sentence]] = []
    monkeypatch.setattr(finetune, "parse", lambda network, s: scored.append(list(s)) or parse(network, s))
    found = finetune_(tiny_parser(), train, config=replace(PLAIN, steps=2, eval_every=1, dev_sentences=5), dev=held_out)
    assert [[held_out.index(s) for s in drawn] for drawn in scored] == [[0, 1, 3, 4, 6]] * 2 + [list(range(8))]
    assert found.dev is not None
    assert found.dev.n_sentences == 8


def test_without_dev_sentences_there_is_no_score(tiny_parser: Make, train: list[Sentence]) -> None:
    found = finetune_(tiny_parser(), train, config=replace(PLAIN, steps=2))
    assert (found.dev, found.steps) == (None, 2)
    assert found.seconds > 0


def test_finetuning_learns(tiny_parser: Make, demo: Demo) -> None:
    sentences = demo("English", 10)
    network = tiny_parser()
    losses: list[float] = []
    optim = OptimConfig(encoder_rate=3e-3, classifier_rate=1e-2, weight_decay=0.0, embeddings=True)
    config = FinetuneConfig(steps=120, batch=10, optim=optim, precision="fp32")
    finetune_(network, sentences, config=config, progress=lambda p: losses.append(p.loss))
    assert losses[-1] < 0.05 * losses[0]
    assert score(sentences, parse(network, sentences)).las.f1 > 95


def by_hand(network: BiaffineParser, sentences: list[Sentence], config: FinetuneConfig) -> list[float]:
    """The same training written plainly: one sentence at a time, Adam and decay by their formulas."""
    o = config.optim
    table = network.encoder.model.get_input_embeddings().weight
    rates = {p: o.encoder_rate for p in network.encoder_parameters() if p is not table}
    rates |= dict.fromkeys(network.classifier_parameters(), o.classifier_rate)
    moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in rates}
    sampler = Sampler(len(sentences), size=config.batch, generator=torch.Generator().manual_seed(config.seed))
    rising = round(o.warmup * config.steps)
    losses = []
    network.train()
    for k in range(config.steps):
        drawn = [sentences[i] for i in sampler.draw()]
        n_words = sum(len(s.words) for s in drawn)
        loss = sum(network.loss(pack(network.encode([s], gold=True))).total for s in drawn) / n_words
        grads = torch.autograd.grad(loss, list(rates))
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in grads))
        shrink = min(1.0, o.clip / (norm + 1e-6))
        share = (k - rising) / (config.steps - rising)
        factor = k / rising if k < rising else (1 + math.cos(math.pi * share)) / 2
        with torch.no_grad():
            for p, g in zip(rates, grads, strict=True):
                m, v = moments[p]
                m.mul_(0.9).add_(shrink * g, alpha=0.1)
                v.mul_(o.beta2).add_((shrink * g).square(), alpha=1 - o.beta2)
                p.mul_(1 - rates[p] * factor * o.weight_decay)
                m_hat, v_hat = m / (1 - 0.9 ** (k + 1)), v / (1 - o.beta2 ** (k + 1))
                p.sub_(rates[p] * factor * m_hat / (v_hat.sqrt() + 1e-8))
        losses.append(loss.item())
    return losses


def judged(network: BiaffineParser, sentences: list[Sentence]) -> torch.Tensor:
    """Log-probabilities of all arcs: free of parameters without effect on them, which Adam moves by rounding errors."""
    batch = pack(network.encode(sentences, gold=True))
    with torch.no_grad():
        found = network.eval()(batch).arcs[:, 1:].log_softmax(dim=2)[batch.word_mask]
    return found[torch.isfinite(found)]


def test_training_is_that_of_a_plain_loop(tiny_parser: Make, train: list[Sentence]) -> None:
    optim = OptimConfig(encoder_rate=1e-4, classifier_rate=1e-3, weight_decay=0.1, warmup=0.25, clip=1.5)
    config = replace(PLAIN, optim=optim, steps=8, batch=5)
    ours, losses = tiny_parser(), []
    finetune_(ours, train, config=config, progress=lambda p: losses.append(p.loss))
    plain = tiny_parser()
    assert losses == pytest.approx(by_hand(plain, train, config), abs=1e-5)
    mine, his, before = (judged(network, train) for network in (ours, plain, tiny_parser()))
    assert (mine - his).abs().max() < 1e-3 * (his - before).abs().max()


def gradients(network: BiaffineParser, sentences: list[Sentence], budget: int) -> list[torch.Tensor]:
    """The gradients of the first step, as they stand before they are clipped."""
    seen: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        real = torch.nn.utils.clip_grad_norm_

        def watch(parameters: list[torch.nn.Parameter], clip: float) -> torch.Tensor:
            seen.extend(p.grad.clone() for p in parameters if p.grad is not None)
            return real(parameters, clip)

        patch.setattr(torch.nn.utils, "clip_grad_norm_", watch)
        finetune_(network, sentences, config=replace(PLAIN, steps=1, batch=len(sentences), budget=budget))
    return seen


def test_the_budget_of_a_forward_pass_does_not_change_the_gradient(tiny_parser: Make, train: list[Sentence]) -> None:
    whole = gradients(tiny_parser(), train, 10**6)
    for budget in (1, 60, 200):
        parts = gradients(tiny_parser(), train, budget)
        for a, b in zip(whole, parts, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def unannotated(sentence: Sentence, words: set[int]) -> Sentence:
    heads = [None if i in words else head for i, head in enumerate(sentence.heads)]
    labels = [None if i in words else label for i, label in enumerate(sentence.labels)]
    return Sentence.from_words(sentence.words, heads=heads, labels=labels)


def test_words_that_are_not_annotated_do_not_count(tiny_parser: Make, train: list[Sentence]) -> None:
    losses: list[float] = []
    partial = [unannotated(s, {0, 2}) for s in train[:6]] + [unannotated(train[6], set(range(99)))]
    config = replace(PLAIN, steps=1, batch=7)
    finetune_(tiny_parser(), partial, config=config, progress=lambda p: losses.append(p.loss))
    network = tiny_parser().train()
    total, n_words = 0.0, 0
    for sentence in partial[:6]:
        batch = pack(network.encode([sentence], gold=True))
        arcs = network(batch).arcs[0].log_softmax(dim=1)
        total -= sum(arcs[i + 1, h].item() for i, h in enumerate(sentence.heads) if h is not None)
        total += network.loss(batch).labels.item()
        n_words += sum(head is not None for head in sentence.heads)
    assert losses[0] == pytest.approx(total / n_words, abs=1e-5)


def test_a_batch_without_any_annotated_word_is_passed_over(tiny_parser: Make, train: list[Sentence]) -> None:
    partial = [train[0], *(unannotated(s, set(range(99))) for s in train[1:4])]
    losses: list[float] = []
    finetune_(tiny_parser(), partial, config=replace(PLAIN, steps=8, batch=1), progress=lambda p: losses.append(p.loss))
    assert sorted(loss > 0 for loss in losses) == [False] * 6 + [True] * 2


def test_frozen_embeddings_stay_and_thawed_ones_move(tiny_parser: Make, train: list[Sentence]) -> None:
    for embeddings in (False, True):
        network = tiny_parser()
        before = network.encoder.model.get_input_embeddings().weight.clone()
        finetune_(network, train, config=replace(PLAIN, steps=3, optim=replace(PLAIN.optim, embeddings=embeddings)))
        assert torch.equal(network.encoder.model.get_input_embeddings().weight, before) != embeddings


def test_layers_move_only_once_they_are_awake(tiny_parser: Make, train: list[Sentence]) -> None:
    network = tiny_parser()
    layers = network.encoder.model.encoder.layer
    before = [copy.deepcopy(layer.state_dict()) for layer in layers]
    seen: list[list[bool]] = []

    def watch(_: Progress) -> None:
        seen.append(
            [
                any(not torch.equal(t, b[n]) for n, t in layer.state_dict().items())
                for layer, b in zip(layers, before, strict=True)
            ]
        )

    optim = replace(PLAIN.optim, frozen_steps=2, thaw_steps=4, schedule="constant")
    finetune_(network, train, config=replace(PLAIN, steps=6, optim=optim), progress=watch)
    assert seen == [[False, False]] * 2 + [[False, True]] * 2 + [[True, True]] * 2


def poison(network: BiaffineParser, step: int) -> Callable[[Progress], None]:
    def poisoned(progress: Progress) -> None:
        if progress.step == step:
            with torch.no_grad():
                network.root.fill_(math.nan)

    return poisoned


def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_good_checkpoint_stays(
    tiny_parser: Make, demo: Demo, tmp_path: Path
) -> None:
    network = tiny_parser()
    train = demo("English", 3)
    place = re.escape(train[0].place)
    with pytest.raises(
        TrainingError, match=rf"the loss of step 6 is nan.*the last checkpoint in .* stays; lower the rates.*{place}"
    ):
        finetune_(network, train, config=replace(PLAIN, batch=3), folder=tmp_path, progress=poison(network, 5))
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 4
        assert all(bool(torch.isfinite(file.get_tensor(name).float()).all()) for name in file.keys())  # noqa: SIM118
    steps: list[int] = []
    finetune_(
        tiny_parser(), train, config=replace(PLAIN, batch=3), folder=tmp_path, progress=lambda p: steps.append(p.step)
    )
    assert steps == list(range(5, 17))


def test_a_gradient_that_is_not_finite_stops_the_run_before_its_step_is_taken(tiny_parser: Make, demo: Demo) -> None:
    network = tiny_parser()
    network.mix.scale.register_hook(lambda g: g * math.inf)
    before = digest(network)
    with pytest.raises(
        TrainingError, match=r"the loss of step 1 is \d+\.\d+, the norm of its gradient (inf|nan); lower"
    ):
        finetune_(network, demo("English", 3), config=PLAIN)
    assert digest(network) == before


def test_a_folder_in_use_is_refused(work: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    with only_run_in(tmp_path), pytest.raises(TrainingError, match=f"another run .*process {os.getpid()} on"):
        work(tmp_path)


@pytest.mark.parametrize("change", ["settings", "train", "dev", "labels", "classifier", "pieces"])
def test_a_folder_of_another_run_is_refused_and_nothing_is_changed(
    tiny_parser: Make, train: list[Sentence], dev: list[Sentence], tmp_path: Path, change: str
) -> None:
    words = [w for s in [*train, *dev] for w in s.words]
    config = replace(PLAIN, steps=2)
    finetune_(tiny_parser(keep=words), train, config=config, dev=dev, folder=tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / CHECKPOINT, tmp_path / METRICS)}
    network = tiny_parser(keep=None if change == "pieces" else words, dropout=change == "classifier")
    network = network.with_labels(["obl:xyz"]) if change == "labels" else network
    weights = digest(network)
    with pytest.raises(TrainingError, match="is of a run with other settings, data or parser; choose another folder"):
        finetune_(
            network,
            train[:-1] if change == "train" else train,
            config=replace(config, steps=3) if change == "settings" else config,
            dev=dev[:-1] if change == "dev" else dev,
            folder=tmp_path,
        )
    assert digest(network) == weights
    assert {path: path.read_bytes() for path in before} == before


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so(
    work: Callable[..., BiaffineParser], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digest(work(tmp_path / "whole"))
    real = loop.save_checkpoint
    with monkeypatch.context() as patch:
        from sublingual.training import runs

        def full(tensors: object, path: Path, **_: object) -> None:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")

        def save(folder: Path, state: Any) -> None:
            if state.step == 8:
                patch.setattr(runs, "save_file", full)
            real(folder, state)

        patch.setattr(loop, "save_checkpoint", save)
        with pytest.raises(
            TrainingError, match=r"step 8 could not be written .*No space left.* the one before is whole"
        ):
            work(tmp_path / "full")
    assert digest(work(tmp_path / "full")) == whole


def test_a_disk_too_small_is_refused_before_the_first_step(
    work: Callable[..., BiaffineParser], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    steps: list[int] = []
    with pytest.raises(TrainingError, match=r"checkpoints take up to \d+\.\d MB, free are 0\.1 MB"):
        work(tmp_path, progress=lambda p: steps.append(p.step))
    assert steps == []


def test_the_size_of_a_checkpoint_is_foreseen(work: Callable[..., BiaffineParser], tmp_path: Path) -> None:
    foreseen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "refuse_full_disk", lambda folder, size: foreseen.append(size))
        work(tmp_path, replace(SMALL, select="best"))
    found = (tmp_path / CHECKPOINT).stat().st_size
    assert foreseen[0] <= found <= 1.2 * foreseen[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps 0: it is 1 or more"),
        ({"batch": 0}, "batch 0: it is 1 or more"),
        ({"eval_every": 0}, "eval_every 0: it is 1 or more"),
        ({"checkpoint_every": -3}, "checkpoint_every -3: it is 1 or more"),
        ({"budget": 0}, "budget 0: it is 1 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**settings)


def test_an_unknown_selection_is_refused() -> None:
    config = FinetuneConfig()
    object.__setattr__(config, "select", "first")  # past the type check that runs with the tests
    with pytest.raises(ConfigError, match="unknown select 'first'; allowed: last, best"):
        config.__post_init__()


def test_impossible_pairs_are_refused_before_any_work(tiny_parser: Make, train: list[Sentence], tmp_path: Path) -> None:
    network = tiny_parser()
    before = digest(network)
    with pytest.raises(ConfigError, match="no sentences to train on"):
        finetune_(network, [], config=SMALL, folder=tmp_path)
    with pytest.raises(ConfigError, match="select = 'best' needs dev sentences; give some, or select = 'last'"):
        finetune_(network, train, config=replace(SMALL, select="best"), folder=tmp_path)
    with pytest.raises(DataError, match="none of the 2 sentences to train on has a word with a head"):
        finetune_(network, [unannotated(s, set(range(99))) for s in train[:2]], config=SMALL, folder=tmp_path)
    with pytest.raises(ConfigError, match="unknown precision 'fp8'"):
        finetune_(network, train, config=replace(SMALL, precision="fp8"), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert digest(network) == before


@pytest.mark.gpu
def test_a_gpu_trains_as_a_cpu_does(tiny_parser: Make, train: list[Sentence]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    losses: dict[str, list[float]] = {"cpu": [], "cuda": []}
    for where, told in losses.items():
        config = replace(PLAIN, steps=4)
        finetune_(tiny_parser().to(where), train, config=config, progress=lambda p, told=told: told.append(p.loss))
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)
