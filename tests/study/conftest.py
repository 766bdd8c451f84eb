"""A study of seconds a step: the tiny random encoder on embedded treebanks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sublingual.config import changed
from sublingual.study.config import Choice, Finding, Group, Loop, Settings, Stage1, Study, Tests

Toy = Callable[..., Study]


@pytest.fixture
def toy(tiny_encoder: Path) -> Toy:
    """Makes the study; words change it as `--set` does."""
    made = Study(
        scale="toy",
        ud="embedded",
        encoder=str(tiny_encoder),
        seeds=1,
        languages=("UD_Hindi-Demo", "UD_Norwegian-Demo"),
        validation=("UD_Czech-Demo",),
        conflicts=1,
        stage1=Stage1(set=("finetune.steps=2", "finetune.batch=4"), treebanks=("UD_English-Demo",)),
        finding=Finding(seeds=1, start="stage1", heads=Settings(set=("finetune.steps=2", "prune.dev_sentences=5"))),
        joint=Loop(set=("steps=2", "batch=2")),
        meta=Loop(set=("steps=1", "batch=2", "inner.steps=1")),
        choices={"nonep": Choice("nonep-full", encoder=(1e-4,), classifier=(1e-3, 5e-4), adapts=True)},
        tests=Tests(treebanks=("UD_Swedish-Demo",), cap=5),
        groups={"main": Group(systems=("nonep-full", "nonep-static", "meta-full"), own=True)},
    )

    def change(*words: str, without: tuple[str, ...] = ()) -> Study:
        return changed(replace(made, **{name: {} for name in without}), words)

    return change
