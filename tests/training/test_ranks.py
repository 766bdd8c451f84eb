"""Several processes in one run of stage 2: what one process gives, and the same bits after any stop."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sublingual.adaptation import AdaptConfig
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.subnetworks.dynamic import DynamicConfig, DynamicGates, LanguageGates
from sublingual.training.gradients import Conflicts
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.ranks import ALONE, Ranks, joined
from sublingual.training.runs import METRICS
from sublingual.training.stage2 import Stage2Config, stage2_

Make = Callable[..., BiaffineParser]
Start = Callable[[Callable[[], object]], int]
LANGUAGES = ("ar", "hi", "it")
START = torch.ones(3, 2, 2, dtype=torch.bool)
CONFIG = Stage2Config(
    steps=4,
    batch=3,
    outer=OptimConfig(encoder_rate=1e-3, classifier_rate=1e-3, weight_decay=0.0),
    inner=AdaptConfig(steps=2, optimizer="sgd", encoder_rate=1e-2, classifier_rate=1e-2, precision="fp32"),
    dynamic=DynamicConfig(off=0.25, rate=5e-3),
    checkpoint_every=1,
    precision="fp32",
)


@pytest.fixture
def data(demo: Callable[..., list[Sentence]]) -> dict[str, list[Sentence]]:
    return dict(zip(LANGUAGES, (demo("Arabic", 6), demo("Hindi", 6), demo("Italian", 6)), strict=True))


@pytest.fixture
def work(tiny_parser: Make, data: dict[str, list[Sentence]]) -> Callable[..., None]:
    """Trains in `folder`, by itself or as one of several; writes the parameters to `folder/RANK.safetensors`."""

    def worked(
        folder: Path,
        *,
        ranks: Ranks = ALONE,
        loop: Any = "joint",
        kind: str = "dynamic",
        dropout: bool = False,
        last: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        network = tiny_parser(dropout=dropout)
        gates = (
            DynamicGates(START, languages=LANGUAGES, config=CONFIG.dynamic)
            if kind == "dynamic"
            else LanguageGates(START, languages=LANGUAGES)
        )
        seen = Conflicts(network, LANGUAGES, steps=CONFIG.steps, last=last) if last else None
        stage2_(
            network,
            gates,
            data,
            loop=loop,
            config=CONFIG,
            folder=folder,
            conflicts=seen,
            ranks=ranks,
            progress=progress,
        )
        both = {**network.state_dict(), **{f"gates.{name}": t for name, t in gates.state_dict().items()}}
        save_file({name: t.contiguous().clone() for name, t in both.items()}, folder / f"{ranks.rank}.safetensors")
        if seen is not None:
            (folder / f"{ranks.rank}.json").write_text(json.dumps(seen.record()))

    return worked


@pytest.fixture
def port() -> Callable[[], int]:
    def free() -> int:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            return int(found.getsockname()[1])

    return free


@pytest.fixture
def together(start: Start, port: Callable[[], int], work: Callable[..., None]) -> Callable[..., list[int]]:
    """Starts two processes of one run, as torchrun would, and returns their ids."""

    def started(folder: Path, **options: Any) -> list[int]:
        folder.mkdir(exist_ok=True)
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port()), "WORLD_SIZE": "2"}

        def one(rank: int) -> Callable[[], None]:
            def run() -> None:
                os.environ |= {**place, "RANK": str(rank)}
                with joined(torch.device("cpu")) as ranks:
                    work(folder, ranks=ranks, **options)

            return run

        return [start(one(rank)) for rank in (0, 1)]

    return started


def ended(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("loop", "kind"), [("joint", "dynamic"), ("meta", "dynamic"), ("joint", "full")])
def test_two_processes_train_what_one_does(
    work: Callable[..., None], together: Callable[..., list[int]], tmp_path: Path, loop: str, kind: str
) -> None:
    (tmp_path / "one").mkdir()
    work(tmp_path / "one", loop=loop, kind=kind, last=2)
    assert ended(together(tmp_path / "two", loop=loop, kind=kind, last=2)) == [0, 0]
    assert digest(tmp_path / "two" / "0.safetensors") == digest(tmp_path / "two" / "1.safetensors")
    alone, shared = (load_file(tmp_path / each / "0.safetensors") for each in ("one", "two"))
    apart = torch.cat([(shared[name].float() - p.float()).abs().flatten() for name, p in alone.items()])
    # Where a gradient is nothing but rounding (what a softmax does not see), Adam makes whole steps of it.
    assert (apart > 2e-5).float().mean() < 0.01
    assert apart.max() < 2 * CONFIG.steps * CONFIG.outer.encoder_rate
    lines = [
        [json.loads(line) for line in (tmp_path / each / METRICS).read_text().splitlines()] for each in ("one", "two")
    ]
    assert len(lines[0]) == len(lines[1]) == CONFIG.steps
    for one, two in zip(*lines, strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    compared = [json.loads((tmp_path / each / "0.json").read_text()) for each in ("one", "two")]
    assert compared[1]["cosine_by_pair"] == pytest.approx(compared[0]["cosine_by_pair"], abs=1e-3)


@pytest.mark.parametrize("loop", ["joint", "meta"])
def test_two_killed_processes_go_on_to_the_same_bits(
    together: Callable[..., list[int]], tmp_path: Path, loop: str
) -> None:
    """With dropout: each process has its own random numbers back."""
    assert ended(together(tmp_path / "whole", loop=loop, dropout=True, last=3)) == [0, 0]

    def kill(now: Progress) -> None:
        if now.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(together(tmp_path / "parts", loop=loop, dropout=True, last=3, progress=kill)) == [-9, -9]
    assert ended(together(tmp_path / "parts", loop=loop, dropout=True, last=3)) == [0, 0]
    for name in ("0.safetensors", "1.safetensors", METRICS, "0.json"):
        assert digest(tmp_path / "parts" / name) == digest(tmp_path / "whole" / name)


def test_a_signal_to_one_process_stops_both_after_the_same_step(
    together: Callable[..., list[int]], tmp_path: Path
) -> None:
    def stop(now: Progress) -> None:
        if now.step == 2 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)

    assert ended(together(tmp_path / "parts", progress=stop)) == [143, 143]
    assert len((tmp_path / "parts" / METRICS).read_text().splitlines()) == 3
    assert ended(together(tmp_path / "parts")) == [0, 0]
    assert ended(together(tmp_path / "whole")) == [0, 0]
    assert digest(tmp_path / "parts" / "0.safetensors") == digest(tmp_path / "whole" / "0.safetensors")


def test_each_language_has_one_owner() -> None:
    for size in (1, 2, 3, 8):
        owners = [[Ranks(rank, size).owns(i) for rank in range(size)] for i in range(7)]
        assert all(sum(row) == 1 for row in owners)
    assert Ranks(1, 2).share([["a"], ["b"], ["c"]]) == [[], ["b"], []]


def test_several_processes_without_an_address_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(ConfigError, match="WORLD_SIZE is 2, but RANK.* is not set; start several processes by torchrun"),
        joined(torch.device("cpu")),
    ):
        pass
