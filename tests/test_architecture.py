"""ARCHITECTURE.md says what is: every module, and the layers of the import contract."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_every_module_is_named() -> None:
    named = set(re.findall(r"`([\w/.]+)`", TEXT))
    modules = {path.stem for path in (ROOT / "src" / "sublingual").rglob("*.py")}
    assert modules - named == {"__init__"}


def test_the_layers_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers")["layers"]
    said = re.search(r"keeps it:\n\n((?: {4}.*\n)+)", TEXT)
    assert said is not None
    assert [line.strip() for line in said[1].splitlines()] == [line.replace("sublingual.", "") for line in layers]
