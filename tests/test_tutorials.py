"""Every command of the tutorials runs, as it is written, in the order in which a reader meets it.

Only the encoder is another: `bundled` becomes a tiny one of random weights, so that a tutorial takes a minute. Lines that
begin with `$` in blocks marked `console` are commands; `python` blocks run where they stand.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def steps(tutorial: str) -> Iterator[tuple[str, str]]:
    """Each command, or piece of Python, of a tutorial."""
    for kind, text in _BLOCK.findall((DOCS / tutorial).read_text(encoding="utf-8")):
        if kind == "python":
            yield kind, text
        else:
            yield from ((kind, line[2:]) for line in text.splitlines() if line.startswith("$ "))


@pytest.mark.parametrize("tutorial", ["linguist.md", "researcher.md"])
def test_every_command_of_a_tutorial_runs(tutorial: str, tmp_path: Path, tiny_encoder: Path) -> None:
    program = tmp_path / "bin" / "sublingual"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from sublingual.cli import main; main()' \"$@\"\n")
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "SUBLINGUAL_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("SUBLINGUAL_UD", None)
    done = 0
    for kind, text in steps(tutorial):
        command = text.replace("--encoder bundled", f"--encoder {shlex.quote(str(tiny_encoder))}")
        if command.startswith("sublingual serve"):
            serves(command, tmp_path, environment)
        else:
            words = ["sh", "-ec", command] if kind == "console" else [sys.executable, "-c", text]
            ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, f"{text}\n{ran.stdout[-1000:]}\n{ran.stderr[-3000:]}"
        done += 1
    assert done > 5


def serves(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Starts the service, looks at its page, ends it."""
    with (folder / "served").open("wb") as err:
        words = [*shlex.split(command), "--port", "0"]
        running = subprocess.Popen(words, cwd=folder, env=environment, stderr=err)
        try:
            deadline = time.monotonic() + 300
            while not (found := re.search(r"at (http://\S+)", (folder / "served").read_text())):
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            with urlopen(f"{found[1]}/", timeout=60) as page:
                assert b"sublingual" in page.read()
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(60)


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'sublingual[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    ran = subprocess.run(words, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("index.html")}
    assert {"index.html", "linguist/index.html", "researcher/index.html", "log/index.html"} <= pages
    for page in pages:
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert not re.findall(r'(?:src|href)="https?://(?:fonts|cdn|unpkg)[^"]*"', text)
