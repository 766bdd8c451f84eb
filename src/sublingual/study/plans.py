"""What a study's folder says of it: the settings, and the release, in one file that the Snakefile reads."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from sublingual.config import from_mapping
from sublingual.errors import ConfigError
from sublingual.study.config import Study

PLAN = "study.json"


def write_plan(folder: Path, study: Study, ud: Path | None) -> Path:
    """Writes what the Snakefile reads: the study and the release; left alone where it says the same."""
    path = folder / PLAN
    text = json.dumps({"study": asdict(study), "ud": None if ud is None else str(ud)}, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
    return path


def read_plan(path: Path) -> tuple[Study, Path | None]:
    """Returns the study and the release that a folder's plan names; ConfigError where there is none."""
    if not path.is_file():
        raise ConfigError(
            f"{path.parent} holds no study; begin one: sublingual study run --scale SCALE --out {path.parent}"
        )
    plan = json.loads(path.read_text(encoding="utf-8"))
    return from_mapping(Study, plan["study"], source=str(path)), None if plan["ud"] is None else Path(plan["ud"])
