"""The Hub is asked once, and what is in the cache serves where it does not answer."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from sublingual.errors import EncoderError
from sublingual.model import hub
from sublingual.model.encoder import load_encoder
from sublingual.model.hub import is_reachable, only_cached


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A Hub on this computer that is out of order; the requests that it got."""
    found: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found.append(self.command)
            self.send_error(503)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(hub, "PATIENCE", 0.2)
        yield


def test_whatever_the_hub_answers_it_is_there_and_is_asked_once(asked: list[str]) -> None:
    assert is_reachable()
    assert asked == ["HEAD"]


@pytest.mark.usefixtures("silent")
def test_a_hub_that_says_nothing_is_given_up() -> None:
    assert not is_reachable()


def test_a_hub_that_is_not_there_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    assert not is_reachable()


def test_a_hub_that_is_switched_off_is_not_asked(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not is_reachable()
    assert asked == []


def test_folders_and_names_that_cannot_be_are_no_reason_to_ask(asked: list[str], tmp_path: Path) -> None:
    assert not only_cached(str(tmp_path))
    with pytest.raises(ValueError, match="my encoder"):
        only_cached("models/my encoder/v 1")
    assert asked == []


@pytest.mark.usefixtures("silent")
def test_without_a_hub_an_encoder_comes_out_of_the_cache_or_is_refused(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match="'some/encoder' could not be loaded .*or --encoder bundled"):
        load_encoder("some/encoder")
    cached = tmp_path / "cache" / "models--some--encoder"
    shutil.copytree(folder_of("bert"), cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    assert load_encoder("some/encoder").identity == load_encoder(str(folder_of("bert"))).identity
