"""What ran: settings, versions and machines of records, each once, with how many records have them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublingual.analysis.records import Run, by_system


@dataclass(frozen=True)
class SystemSettings:
    """A system: the settings of its parsers but for the seed, and those of its adaptation, as indented JSON."""

    system: str
    training: tuple[str, ...]
    adaptation: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """The distinct settings by system; versions, machines and signatures with their numbers of records."""

    systems: tuple[SystemSettings, ...]
    versions: tuple[tuple[str, int], ...]
    machines: tuple[tuple[str, int], ...]
    signatures: tuple[tuple[str, int], ...]


def settings_of(runs: Sequence[Run]) -> Settings:
    """Returns what the runs say of how they were made."""
    return Settings(
        systems=tuple(_of_system(name, own) for name, own in by_system(runs).items()),
        versions=_counted(_line(run.details.versions) for run in runs),
        machines=_counted(_line(run.details.machine) for run in runs),
        signatures=_counted(run.details.signature for run in runs),
    )


def _of_system(name: str, runs: Sequence[Run]) -> SystemSettings:
    training = (_without_seed(run.details.parser.settings) for run in runs if run.details.parser is not None)
    adaptation = (_indented(json.loads(run.settings)) for run in runs if run.settings)
    return SystemSettings(name, tuple(dict.fromkeys(training)), tuple(dict.fromkeys(adaptation)))


def _without_seed(settings: Mapping[str, Any]) -> str:
    """The settings but for what differs from seed to seed without being one: the seed itself, processor time."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: cleaned(own) for key, own in value.items() if key != "seed" and not key.endswith("cpu_seconds")
            }
        return value

    return _indented(cleaned(settings))


def _indented(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _line(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _counted(texts: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(text for text in texts if text).most_common())
