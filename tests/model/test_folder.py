"""Where a model may be saved, asked before any work and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sublingual.errors import ModelError
from sublingual.model.folder import MANIFEST, refuse_existing


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_and_an_empty_folder_are_free(tmp_path: Path, overwrite: bool) -> None:
    refuse_existing(tmp_path, overwrite=overwrite)
    refuse_existing(tmp_path / "new", overwrite=overwrite)


def test_a_model_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ModelError, match="is there already; choose another folder, or --overwrite"):
        refuse_existing(tmp_path, overwrite=False)
    refuse_existing(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_model_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    file = tmp_path / "thesis.tex"
    file.write_text("years of work")
    for place in (file, tmp_path):
        with pytest.raises(ModelError, match="is there and is no model: it is never replaced; choose another folder"):
            refuse_existing(place, overwrite=overwrite)


def test_asking_imports_no_torch() -> None:
    code = "import sublingual.model.folder, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
