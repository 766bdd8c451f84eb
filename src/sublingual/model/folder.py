"""A model's folder as seen from outside: how its manifest is called, and whether a new model may take its place."""

from __future__ import annotations

from pathlib import Path

from sublingual.errors import ModelError

MANIFEST = "manifest.json"


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raises ModelError where a model could not be saved as `folder`: a model that is there stays without `overwrite`.

    What is no model is never replaced. Needs no torch, so that commands can ask before any work.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise ModelError(f"{folder} is there and is no model: it is never replaced; choose another folder")
    if not overwrite:
        raise ModelError(f"{folder} is there already; choose another folder, or --overwrite")
