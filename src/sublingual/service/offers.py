"""The models that a service offers, and the names that clients may call them by."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from sublingual.errors import ConfigError, LanguageError, ModelError
from sublingual.languages import resolve
from sublingual.model.checkpoint import has_tagger
from sublingual.model.folder import MANIFEST

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """A model as clients see it: its name, its other names, where it is, and the licences of what it learned from.

    tags: whether it finds parts of speech; language: the one that it was adapted to; trained_on: those before; note: how it
    came about, as its manifest says.
    """

    name: str
    aliases: tuple[str, ...]
    folder: Path
    licence: str
    tags: bool = False
    language: str = ""
    trained_on: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Offers:
    """All models of a service. The first is the default; none is loaded yet."""

    models: tuple[Offer, ...]

    @property
    def default(self) -> Offer:
        return self.models[0]

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("no model to serve; name one or more folders")
        names = [offer.name for offer in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two models are called {name!r}; name them apart: other-name=FOLDER")

    @cached_property
    def _by_name(self) -> dict[str, Offer]:
        return dict(reversed(list(self._names())))

    def _names(self) -> Iterator[tuple[str, Offer]]:
        """Every name with its model, the stronger first: whole names, then aliases, then what both begin with."""
        yield from ((offer.name, offer) for offer in self.models)
        yield from ((alias, offer) for offer in self.models for alias in offer.aliases)
        for offer in self.models:
            for name in (offer.name, *offer.aliases):
                parts = name.split("-")
                yield from (("-".join(parts[:n]), offer) for n in range(len(parts) - 1, 0, -1))

    def find(self, name: str) -> Offer | None:
        """The model of that name, of that alias, or whose name begins with it up to a hyphen; the first of several.

        Names are looked up among these alone: no name is ever taken for a path.
        """
        return self._by_name.get(name)


def offers(models: Sequence[str]) -> Offers:
    """The models of these folders, each given as FOLDER, or as NAME=FOLDER or NAME:ALIAS:ALIAS=FOLDER.

    Without a name it is the folder's; the language that a model was adapted to is an alias, by its codes and its name.
    Raises ModelError for a folder that is no model, ConfigError for two models of one name.
    """
    return Offers(tuple(_offer(model) for model in models))


def _offer(model: str) -> Offer:
    given, equals, path = model.rpartition("=")
    if not equals or Path(model).exists():
        given, path = "", model
    folder = Path(path)
    about = _about(folder)
    name, *aliases = given.split(":") if given else [folder.resolve().name]
    if not all([name, *aliases]):
        raise ConfigError(f"{model!r}: a name is empty; write NAME:ALIAS=FOLDER")
    licences = dict.fromkeys(str(entry.get("licence", "unknown")) for entry in about.get("data", []))
    licence = "; ".join(licences) or "unknown"
    language = about.get("language") or ""
    return Offer(
        name,
        (*aliases, *_names_of_language(language)),
        folder,
        licence,
        _has_tagger(folder),
        language,
        tuple(map(str, about.get("trained_on", ()))),
        str(about.get("note", "")),
    )


def with_kept(offered: Offers, folder: Path) -> Offers:
    """The offers and, after them, the models that the page has written into the folder, by name.

    What is offered already, and what is damaged, is passed over: neither keeps the service from starting.
    """
    found = list(offered.models)
    for path in sorted(folder.glob(f"[!.]*/{MANIFEST}")):
        try:
            (offer,) = offers([str(path.parent)]).models
        except ModelError as fault:
            _log.warning("passed over: %s", fault)
            continue
        if all(offer.name != other.name and not path.parent.samefile(other.folder) for other in found):
            found.append(offer)
    return Offers(tuple(found))


def _about(folder: Path) -> dict[str, Any]:
    """What the model's manifest says of it; the files are checked when it is loaded."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder} has no {MANIFEST}: it is no model; name the folder that adapt or train wrote")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["about"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ModelError(f"{path} cannot be read ({fault}); get the model anew") from fault


def _has_tagger(folder: Path) -> bool:
    try:
        return has_tagger(folder)
    except (OSError, SafetensorError):  # told when it is loaded
        return False


def _names_of_language(code: str) -> tuple[str, ...]:
    if not code:
        return ()
    try:
        language = resolve(code)
    except LanguageError:
        return (code,)
    name = language.name.lower().replace(" ", "-")
    return tuple(dict.fromkeys(filter(None, (language.code, language.iso639_3, name))))
