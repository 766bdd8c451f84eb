"""Strict settings: TOML or YAML files and `key=value` words into frozen dataclasses; an unknown key is an error at load."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from sublingual.errors import ConfigError

T = TypeVar("T")

_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}


def load(kind: type[T], path: Path | str | None = None, *, words: Iterable[str] = ()) -> T:
    """Returns settings of that kind: its defaults, then the file's, then the words' (`optim.encoder_rate=1e-4`).

    `path` is a .toml, .yaml or .json file, or the name of a preset of the package. Raises ConfigError that names the file
    and the key for an unknown key (with near ones), a value of the wrong type, a file that cannot be read.
    """
    values: dict[str, Any] = {} if path is None else values_of(path)
    source = str(path) if path is not None else "the settings"
    return changed(from_mapping(kind, values, source=source), words)


def values_of(path: Path | str) -> dict[str, Any]:
    """Returns what a file of settings, or a preset, says, unchecked. Raises ConfigError for one that cannot be read."""
    path = Path(path)
    preset = files("sublingual").joinpath(f"resources/presets/{path.name}.toml")
    if str(path) == path.stem and preset.is_file():
        return tomllib.loads(preset.read_text(encoding="utf-8"))
    if path.suffix not in (".toml", ".yaml", ".yml", ".json"):
        raise ConfigError(
            f"{path}: settings are a .toml, .yaml or .json file, or one of the presets {', '.join(presets())}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        values = _PARSERS.get(path.suffix, yaml.safe_load)(text)
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise ConfigError(f"{path} cannot be read: {fault}") from fault
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys; write `key = value` lines")
    return values


def changed(settings: T, words: Iterable[str]) -> T:
    """Returns the settings with each `key=value` word applied in turn; raises ConfigError as `load` does."""
    for word in words:
        settings = _with(settings, word)
    return settings


def from_mapping(kind: type[T], values: Mapping[str, Any], *, source: str, prefix: str = "") -> T:
    """Returns the dataclass of these values, nested ones from nested mappings; raises ConfigError as `load` does."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key {prefix + key!r} in {source}{_near(key, hints)}")
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            made[key] = from_mapping(hints[key], value, source=source, prefix=f"{prefix}{key}.")
        elif named := _named(hints[key], value):
            made[key] = {
                name: from_mapping(named, each, source=source, prefix=f"{prefix}{key}.{name}.")
                for name, each in value.items()
            }
        else:
            made[key] = _typed(hints[key], value, where=f"{prefix + key!r} in {source}")
    return _built(kind, made, source=source)


def _named(kind: Any, value: Any) -> Any:
    """The dataclass that `kind` has by name (`dict[str, Group]`), where the value is a mapping of mappings; else None."""
    of = get_args(kind)[1] if get_origin(kind) is dict else None
    mappings = isinstance(value, Mapping) and all(isinstance(each, Mapping) for each in value.values())
    return of if is_dataclass(of) and mappings else None


def _with(settings: T, word: str) -> T:
    """The settings with one `a.b=value` changed."""
    path, equals, text = word.partition("=")
    if not equals:
        raise ConfigError(f"{word!r} sets nothing; write key=value, for example steps=400")
    try:
        nested: Any = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ConfigError(f"{word!r} cannot be read: the value is no YAML; quote it") from fault
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return _merged(settings, nested, prefix="")


def _merged(settings: T, values: Mapping[str, Any], *, prefix: str) -> T:
    assert is_dataclass(settings)
    hints = get_type_hints(type(settings))
    made: dict[str, Any] = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key {prefix + key!r}{_near(key, hints)}")
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            made[key] = _merged(made[key], value, prefix=f"{prefix}{key}.")
        elif named := _named(hints[key], value):
            made[key] = dict(made[key])
            for name, each in value.items():
                below = f"{prefix}{key}.{name}."
                there = name in made[key]
                made[key][name] = (
                    _merged(made[key][name], each, prefix=below)
                    if there
                    else from_mapping(named, each, source="the settings", prefix=below)
                )
        else:
            made[key] = _typed(hints[key], value, where=repr(prefix + key))
    return _built(type(settings), made, source="the settings")


def _built(kind: type[T], values: Mapping[str, Any], *, source: str) -> T:
    try:
        return kind(**values)
    except ConfigError as fault:  # the dataclass knows the key, not the file
        raise ConfigError(f"{source}: {fault}") from fault


def _typed(kind: Any, value: Any, *, where: str) -> Any:
    if kind in (int, float) and isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}: input should be a number")
    try:
        found = TypeAdapter(kind).validate_python(value)  # not strict: YAML reads 1e-4 as a string
    except ValidationError as fault:
        raise ConfigError(f"{where} is {value!r}: {fault.errors()[0]['msg'].lower()}") from fault
    if isinstance(found, float) and math.isnan(found):
        raise ConfigError(f"{where} is {value!r}: input should be a number")
    return found


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"


def presets() -> list[str]:
    """Returns the names of the settings that come with the package."""
    folder = files("sublingual").joinpath("resources/presets")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
