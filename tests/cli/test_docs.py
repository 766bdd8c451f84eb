"""Every command of the linguist's tutorial, run in its order."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import Sentence, write_conllu

Run = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs" / "linguist.md"


def commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, demo: Callable[..., list[Sentence]]) -> Path:
    """A folder with the files that the page speaks of; the base parser is made already."""
    shutil.copytree(model, tmp_path / "home" / "base" / "bundled")
    monkeypatch.chdir(tmp_path)
    swedish, turkish = demo("Swedish"), demo("Turkish")
    write_conllu(swedish[:20], "Faroese-20.conllu")
    write_conllu(swedish[:40], "Faroese-40.conllu")
    write_conllu(swedish[40:], "test.conllu")
    write_conllu(swedish[20:40], "new.conllu")
    write_conllu([*swedish[20:40], *turkish[:20]], "pool.conllu")
    Path("new.txt").write_text("The dog sleeps. Who knows?\n", encoding="utf-8")
    return tmp_path


def test_the_tutorials_commands_run_in_their_order(run: Run, desk: Path) -> None:
    pytest.importorskip("icu4py")
    found = commands(PAGE)
    assert {words[0] for words in found} == {"check", "adapt", "parse", "next", "evaluate", "compare", "serve"}
    quick = {"adapt": ["--steps", "1"], "serve": ["--help"]}  # serve does not end by itself
    for words in found:
        ran = run(*words, *quick.get(words[0], []))
        assert ran.code == 0, (words, ran.err)
    for folder in ("faroese", "faroese-40"):
        assert (desk / folder / "adaptation.html").is_file()
