"""The settings that a study hands to its steps, read as each step will read them: a misspelt one costs no night."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sublingual.config import changed, load
from sublingual.errors import ConfigError
from sublingual.study.config import Settings, Study


def refuse_words(study: Study) -> None:
    """Raises ConfigError, naming the part of the study, for what a step would refuse once others are done. Imports torch."""
    from sublingual.adaptation import AdaptConfig
    from sublingual.training.finding import FindConfig
    from sublingual.training.stage1 import TrainConfig
    from sublingual.training.stage2 import Stage2Config

    def parts() -> Iterator[tuple[str, Settings, type[Any]]]:
        yield "stage1", study.stage1, TrainConfig
        yield "pooled", study.pooled, TrainConfig
        yield "finding.heads", study.finding.heads, FindConfig
        yield "finding.weights", study.finding.weights, FindConfig
        for name, loop in (("joint", study.joint), ("meta", study.meta)):
            yield name, loop, Stage2Config
            yield f"{name}.adapt", Settings(None, loop.adapt), AdaptConfig

    for name, settings, kind in parts():
        try:
            changed(kind() if settings.config is None else load(kind, settings.config), settings.set)
        except ConfigError as fault:
            raise ConfigError(f"{name}: {fault}") from fault
