"""UDPipe's own client, front end and evaluation, unmodified and in processes of their own, on a service of ours."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.text import sentences_of

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def udpipe() -> Path:
    """The branch udpipe-2 of UDPipe's repository (SUBLINGUAL_UDPIPE); under the MPL, and not a part of ours.

    `git clone --branch udpipe-2 https://github.com/ufal/udpipe` fetches it.
    """
    folder = os.environ.get("SUBLINGUAL_UDPIPE")
    if not folder:
        pytest.skip("SUBLINGUAL_UDPIPE is not set: no client of UDPipe to test with")
    return Path(folder)


@contextmanager
def front_end(udpipe: Path, port: int) -> Iterator[int]:
    """UDPipe's front end before the service at `port`: its own port."""
    with socket() as free:
        free.bind(("", 0))
        own = free.getsockname()[1]
    words = [sys.executable, udpipe / "scripts" / "frontend_rest_server.py", str(own), f"127.0.0.1:{port}"]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    try:
        assert running.stderr.readline().startswith("Started Frontend REST server")
        assert running.stderr.readline().startswith("To stop it")
        yield own
    finally:
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert "Traceback" not in said


@pytest.fixture(params=["straight", "by the front end"])
def client(request: pytest.FixtureRequest, udpipe: Path, served: Any, tmp_path: Path) -> Iterator[Run]:
    """Runs `udpipe2_client.py` with some words, in a folder of its own; the text is its standard input."""

    def at(port: int) -> Run:
        def run(*words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-X", "utf8", udpipe / "udpipe2_client.py", *words]
            command += ["--service", f"http://127.0.0.1:{port}"]
            return subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, encoding="utf-8", check=False)

        return run

    if request.param == "straight":
        yield at(served.client.port)
    else:
        with front_end(udpipe, served.client.port) as port:
            yield at(port)


def test_models_are_listed(client: Run) -> None:
    assert client("--list_models").stdout == "english-tiny-ud\nfo-mine\nDefault model: english-tiny-ud\n"


@pytest.mark.parametrize("change", [str, lambda text: "\ufeff" + text.replace("\n", "\r\n")], ids=["LF", "CR LF"])
def test_files_are_parsed(
    client: Run, folders: dict[str, Path], conllu: str, tmp_path: Path, change: Callable[[str], str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.conllu").write_bytes(change(conllu).encode("utf-8"))
    ran = client("a.conllu", "b.conllu", "--model", "fo", "--tagger=", "--parser=", "--outfile", "{}.out")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "UDPipe generated an output using the model 'fo-mine'." in ran.stderr
    expected = Parser.from_pretrained(folders["fo"]).parse(parse_conllu(conllu, heads="ignored"))
    for name in ("a", "b"):
        found = parse_conllu((tmp_path / f"{name}.out").read_text(encoding="utf-8"))
        assert [sentence.rows for sentence in found] == [sentence.rows for sentence in expected]


def test_text_from_standard_input_is_cut_and_parsed(client: Run, folders: dict[str, Path]) -> None:
    text = "The dog barks. Vårt hus?"
    ran = client("--tokenizer=ranges", "--tagger=", "--parser=", text=text)
    expected = Parser.from_pretrained(folders["en"]).parse(sentences_of(text, form="text"))
    found = parse_conllu(ran.stdout)
    assert [(s.words, s.heads, s.labels) for s in found] == [(s.words, s.heads, s.labels) for s in expected]
    assert "TokenRange=0:3" in ran.stdout
    assert client("--tokenizer=", "--output=horizontal", text=text).stdout == "The dog barks .\nVårt hus ?\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--model=klingon"], "The requested model 'klingon' does not exist. There are: english-tiny-ud, fo-mine."),
        (["--parser="], "Cannot parse the input in 'conllu' format. data:1: 'no columns' is no line of CoNLL-U"),
        (["--output=epe"], "Unknown output format 'epe'."),
    ],
)
def test_refusals_are_shown_with_our_words(client: Run, words: list[str], text: str) -> None:
    ran = client(*words, text="no columns")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"The service returned the following error:\n  {text}" in ran.stderr


def test_its_evaluation_finds_the_score_that_ours_finds(
    udpipe: Path, served: Any, folders: dict[str, Path], demo: Callable[..., list[Sentence]], tmp_path: Path
) -> None:
    for program in ("curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here: UDPipe's script needs it")
    gold = demo("English", 20)
    (tmp_path / "gold.conllu").write_text("".join(sentence.to_conllu() for sentence in gold), encoding="utf-8")
    command = ["bash", udpipe / "scripts" / "eval_via_server.sh", "en", tmp_path / "gold.conllu", ""]
    command.append(f"http://127.0.0.1:{served.client.port}")
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    table = dict(re.findall(r"^(\w+) .*\| +([\d.]+) +\| *[\d.]*$", ran.stdout, re.MULTILINE))
    ours = score(gold, Parser.from_pretrained(folders["en"]).parse(gold))
    assert (table["UAS"], table["LAS"]) == (f"{ours.uas.f1:.2f}", f"{ours.las.f1:.2f}")
    assert ours.uas.f1 > 0
