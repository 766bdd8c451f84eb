"""`sublingual serve` as a process of its own: it answers, ends on SIGTERM with what was begun, and refuses before it opens.

`parse --input` beside it: both read text in the same forms.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

import sublingual.service
from sublingual.data.conllu import parse_conllu, read_conllu

Run = Callable[..., Any]
pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Process:
    """A running `sublingual serve` and the file that its stderr goes to."""

    running: subprocess.Popen[bytes]
    err: Path

    def line_with(self, pattern: str) -> re.Match[str]:
        """Waits for a line of stderr with the pattern."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and self.running.poll() is None:
            if found := re.search(pattern, self.err.read_text("utf-8"), re.MULTILINE):
                return found
            time.sleep(0.05)
        raise AssertionError(self.err.read_text("utf-8"))


@pytest.fixture
def process(model: Path, tmp_path: Path) -> Iterator[Process]:
    code = "from sublingual.cli import main; main()"
    words = ["serve", f"english:en={model}", "--port", "0", "--threads", "1", "--device", "cpu"]
    with (tmp_path / "err").open("wb") as err:
        running = subprocess.Popen(
            [sys.executable, "-c", code, *words], stderr=err, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            yield Process(running, tmp_path / "err")
        finally:
            running.kill()
            running.wait(20)


def test_service_answers_and_ends_on_sigterm_with_what_was_begun(process: Process) -> None:
    address = process.line_with(r"^serving english at (http://127\.0\.0\.1:\d+)$")[1]

    def ask(text: str) -> str:
        form = urlencode({"data": text, "tokenizer": "", "parser": "", "model": "en", "output": "conllu"}).encode()
        with urlopen(f"{address}/process", form, timeout=60) as answer:
            return str(answer.read().decode("utf-8"))

    assert "# sent_id = 2" in ask("A dog. A cat!")
    process.line_with(r"[0-9a-f]{8} POST /process 200 \d+\.\d{3} s$")
    with ThreadPoolExecutor(1) as client:
        begun = client.submit(ask, "A dog barks. " * 2000)
        time.sleep(0.3)
        process.running.send_signal(signal.SIGTERM)
        assert "# sent_id = 2000" in begun.result(60)
    assert process.running.wait(60) in (0, -signal.SIGTERM)
    with pytest.raises(OSError):
        urlopen(f"{address}/health", timeout=5)


def test_what_cannot_be_served_is_refused_before_the_door_opens(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("serve", tmp_path)
    assert (ran.code, ran.last) == (
        1,
        f"sublingual: {tmp_path} has no manifest.json: it is no model; name the folder that adapt or train wrote",
    )
    ran = run("serve", model, model)
    assert (ran.code, ran.last) == (2, "sublingual: two models are called 'en'; name them apart: other-name=FOLDER")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for part in model.rglob("*"):
        if part.is_file():
            target = damaged / part.relative_to(model)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(part.read_bytes()[:-1] if part.name == "labels.json" else part.read_bytes())
    ran = run("serve", damaged)
    assert ran.code == 1
    assert "labels.json is damaged" in ran.last


def test_port_in_use_is_told(run: Run, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("serve", model, "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "cannot listen on 127.0.0.1 port" in ran.last
    assert "choose others by --host and --port" in ran.last


def test_missing_server_library_is_named(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sublingual.service.")]:
        monkeypatch.delattr(sublingual.service, name.rpartition(".")[2])  # or other tests would meet the second import
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = run("serve", model)
    assert (ran.code, ran.last) == (2, "sublingual: the service needs uvicorn: pip install 'sublingual[serve]'")


def test_parse_takes_raw_text(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("The dog barks. Why?\n", encoding="utf-8")
    ran = run("parse", model, tmp_path / "in.txt", tmp_path / "out.conllu", "--input", "text")
    assert ran.code == 0, ran.err
    assert [s.words for s in read_conllu(tmp_path / "out.conllu")] == [("The", "dog", "barks", "."), ("Why", "?")]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("presegmented", "The dog barks.\nWhy?\n"),
        ("horizontal", "The dog barks .\nWhy ?"),
        ("vertical", "The\ndog\nbarks\n.\n\nWhy\n?\n"),
    ],
)
def test_parse_takes_sentences_and_words_from_standard_input(run: Run, model: Path, form: str, text: str) -> None:
    ran = run("parse", model, "-", "--input", form, stdin=text.encode())
    assert ran.code == 0, ran.err
    assert [s.words for s in parse_conllu(ran.out)] == [("The", "dog", "barks", "."), ("Why", "?")]


def test_parse_refuses_an_unknown_form(run: Run, model: Path) -> None:
    ran = run("parse", model, "-", "--input", "pdf")
    assert ran.code == 2
    assert ran.last.startswith("sublingual: unknown form of text 'pdf'; allowed: conllu, text, presegmented")
