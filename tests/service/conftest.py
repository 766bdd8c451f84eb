"""Two small models, and services over them on free ports, each in a thread of its own."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import torch

from sublingual.data.conllu import Sentence
from sublingual.model.card import About
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import ParserConfig, new_parser
from sublingual.parsing import Parser
from sublingual.service.app import Service, application
from sublingual.service.limits import Limits
from sublingual.service.offers import Offer, offers
from sublingual.service.server import listen, server
from sublingual.service.shelf import Shelf


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No request may hang."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(60))


@dataclass(frozen=True)
class Reply:
    """What came back: status, headers by their lower-case names, text."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def result(self) -> str:
        assert self.status == 200, self.text
        return str(self.json["result"])


@dataclass(frozen=True)
class Client:
    """As much of HTTP as UDPipe's documentation asks of a client, by the standard library alone."""

    port: int

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = "", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": content_type} if content_type else {}
        try:
            connection.request(method, path, body, sent | headers)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, headers, answer.read().decode("utf-8"))
        finally:
            connection.close()

    def get(self, path: str, **parameters: str) -> Reply:
        return self.send("GET", f"{path}?{urlencode(parameters)}" if parameters else path)

    def post(self, path: str, **parameters: str) -> Reply:
        return self.send("POST", path, urlencode(parameters).encode(), "application/x-www-form-urlencoded")

    def ask(self, path: str, wanted: Any = None, **headers: str) -> Reply:
        """As the page asks: JSON, or nothing (GET)."""
        if wanted is None:
            return self.send("GET", path, **headers)
        return self.send("POST", path, json.dumps(wanted).encode(), "application/json", **headers)

    def upload(self, path: str, **parameters: str | bytes) -> Reply:
        """As udpipe2_client.py sends it: a quoted boundary, each part with its type and encoding."""
        parts = b""
        for name, value in parameters.items():
            raw = value.encode("utf-8") if isinstance(value, str) else value
            head = f'--=-=\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Transfer-Encoding: 8bit\r\n'
            parts += head.encode() + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + raw + b"\r\n"
        return self.send("POST", path, parts + b"--=-=--\r\n", 'multipart/form-data; boundary="=-="')


class HeldShelf(Shelf):
    """A shelf that can be made to wait, so that tests know that a request is being worked on."""

    def __init__(self, *, keep: int) -> None:
        super().__init__(keep=keep)
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.asked = 0

    def parser(self, offer: Offer) -> Parser:
        self.asked += 1
        self.entered.set()
        assert self.open.wait(20)
        return super().parser(offer)


@dataclass(frozen=True)
class Served:
    """A running service."""

    client: Client
    service: Service
    shelf: HeldShelf


Serve = Callable[..., Any]


@contextmanager
def serving(
    models: list[str], *, keep: int = 4, adapts_to: Path | None = None, loopback: bool = True, **limits: Any
) -> Iterator[Served]:
    """Runs a service on a free port of this machine."""
    bounds = Limits(**limits)
    shelf = HeldShelf(keep=keep)
    service = Service(offers(models), shelf, bounds, adapts_to=adapts_to, loopback=loopback)
    socket = listen("127.0.0.1", 0)
    running = server(application(service), bounds)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        for _ in range(2000):
            if running.started:
                break
            time.sleep(0.01)
        yield Served(Client(socket.getsockname()[1]), service, shelf)
    finally:
        shelf.open.set()
        running.should_exit = True
        thread.join(40)  # the server itself gives open requests up to 30
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def folders(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models: `english-tiny`, and `fo`, the same but for its classifier; none was trained."""
    at = tmp_path_factory.mktemp("served")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = new_parser(load_encoder(str(tiny_encoder)), config=ParserConfig(arc_size=24, label_size=12))
        other = deepcopy(network)
        for parameter in other.classifier_parameters():
            torch.nn.init.normal_(parameter)
    data = ({"treebank": "UD_A", "licence": "CC BY-SA 4.0"}, {"treebank": "UD_B", "licence": "CC BY-NC-SA 4.0"})
    Parser(network, about=About(trained_on=("en",), data=data)).save_pretrained(at / "english-tiny")
    Parser(other, about=About(language="fo")).save_pretrained(at / "fo-mine")
    return {"en": at / "english-tiny", "fo": at / "fo-mine"}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> list[str]:
    return [f"english-tiny-ud:en={folders['en']}", str(folders["fo"])]


@pytest.fixture(scope="session")
def served(models: list[str]) -> Iterator[Served]:
    """A service with the usual limits."""
    with serving(models) as running:
        yield running


@pytest.fixture(scope="session")
def serve(models: list[str]) -> Serve:
    """Runs a service with other limits: `with serve(queue=2) as running`."""
    return lambda **limits: serving(models, **limits)


@pytest.fixture(scope="session")
def conllu(demo: Callable[..., list[Sentence]]) -> str:
    """Some sentences without heads, as raw CoNLL-U."""
    rows = [(s, [(*row[:6], "_", "_", *row[8:]) for row in s.rows]) for s in demo("English", 6)]
    return "".join(Sentence(s.comments, tuple(bare)).to_conllu() for s, bare in rows)
