"""Damaged requests: texts and parameters of the service are changed first and encoded then, in every form that it takes.

`Fuzzer.request` draws one, `fault_of` says what is wrong with its answer; for `bench/service.py` and the tests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from sublingual.data.blocks import Heads
from sublingual.data.conllu import parse_conllu
from sublingual.errors import DataError

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PROMISED = {200, 400, 403, 404, 405, 408, 503}
ODD = [
    "",
    "_",
    "0",
    "-1",
    "1.1",
    "1-2",
    "9" * 30,
    "²",
    "root",
    "a:b",
    "=|=",
    "none",
    "../x",
    "%",
    "&=",
    "--b\r\n",
    '"',
    "{}",
]
ODD += [
    " ",
    "\t",
    "\n\n",
    "\r",
    "\0",
    "\x1b[2J",
    "\xa0",
    "\u0301",
    "\u200f",
    "\u2028",
    "\ufeff",
    "\ufffd",
    "\ud800",
    "一",
    "👩‍👧",
]
ODD += ["# text = x", "a" * 3000, "a " * 300]
FORMS = ["conllu", "text", "presegmented", "horizontal", "vertical"]
USUAL = {
    "tokenizer": ["", "ranges", "presegmented", "presegmented;normalized_spaces", "1", "x"],
    "input": ["conllu", "horizontal", "vertical", "generic_tokenizer", "epe"],
    "output": ["conllu", "horizontal", "vertical", "plaintext", "matxin"],
    "tagger": ["", "none"],
    "parser": ["", "none", "yes"],
}
ADDRESSES = [
    "/models",
    "/health",
    "/metrics",
    "/",
    "/page/main.js",
    "/page/../x",
    "/api/models",
    "/api/subnetworks",
    "/api/jobs/0",
]
ADDRESSES += ["/process", "/weblicht/tag", "/weblicht/x", "/api/parse", "/nothing", "//", "/%ff", "/models/"]
NO_NAMES = ["", "-", "a b", "Ä", "../x", "a" * 100]
"""No adaptation is begun: it would take the time of thousands of requests."""


@dataclass(frozen=True)
class Request:
    """What is sent; `kind` says in which form, and whereto."""

    kind: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Fuzzer:
    """Draws requests that are wrong in one of many ways, or right. `texts` are CoNLL-U, `models` names that are served."""

    def __init__(self, rng: random.Random, texts: Sequence[str], models: Sequence[str]) -> None:
        self.rng = rng
        self.texts = [*texts, "The dog barks. Why?\n\nIt is loud!", "a b\nc d\n"]
        self.models = [*models, "", "nothing"]

    def request(self) -> Request:
        """Returns the next request."""
        ways = [
            self.form,
            self.multipart,
            self.get,
            self.weblicht,
            self.parse,
            self.job,
            self.address,
            self.damaged_bytes,
        ]
        return self.rng.choice(ways)()

    def form(self) -> Request:
        return Request("form /process", "POST", self._process(), _urlencoded(self.parameters()), FORM)

    def multipart(self) -> Request:
        boundary = self.rng.choice(["b", "=-=", "x" * 70])
        body = b"".join(self._part(boundary, name, value) for name, value in self.parameters())
        body += self._mostly(f"--{boundary}--\r\n", "", f"--{boundary}").encode()
        kind = f'multipart/form-data; boundary="{self._mostly(boundary, "c", "")}"'
        return Request("multipart /process", "POST", self._process(), body, kind)

    def get(self) -> Request:
        return Request("get /process", "GET", f"/process?{_urlencoded(self.parameters()).decode()}")

    def weblicht(self) -> Request:
        path = f"/weblicht/{self.rng.choice(['tokenize', 'tag', 'parse'])}"
        return Request(path, "POST", f"{path}?model={self._model()}", _raw(self.text()), "text/plain")

    def parse(self) -> Request:
        wanted = {"data": self.text(), "form": self.rng.choice(FORMS), "keep": self.rng.random() < 0.5}
        return self._json("/api/parse", {**wanted, "model": self.rng.choice(self.models)})

    def job(self) -> Request:
        wanted = {
            "data": self.text(),
            "name": self.rng.choice([*NO_NAMES, self.models[0]]),
            "steps": self.rng.randrange(300),
        }
        return self._json("/api/jobs", {**wanted, "language": self.rng.choice(["", "fo", "Welsh", *ODD])})

    def address(self) -> Request:
        path, method = (
            self.rng.choice(ADDRESSES),
            self.rng.choice(["GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
        )
        query = self._mostly("", f"?model={self._model()}", "?" + quote(_raw(self.rng.choice(ODD))))
        body = b"" if method in ("GET", "HEAD") else _raw(self._mostly("", self.text()))
        return Request(f"address {path}", method, path + query, body, headers=self._origin())

    def damaged_bytes(self) -> Request:
        """Another request whose body is damaged where it is encoded already."""
        request = self.rng.choice([self.form, self.multipart, self.weblicht, self.parse, self.job])()
        body = bytearray(request.body)
        for _ in range(self.rng.randrange(1, 6)):
            at = self.rng.randrange(len(body) + 1)
            body[at : at + self.rng.randrange(3)] = self.rng.randbytes(self.rng.randrange(3))
        kind = self._mostly(request.content_type, "", "\x07", FORM, JSON, "multipart/form-data; boundary=b")
        return replace(request, kind=f"bytes {request.path.partition('?')[0]}", body=bytes(body), content_type=kind)

    def parameters(self) -> list[tuple[str, str]]:
        """Parameters of /process, some twice, some odd, in any order."""
        usual = {**USUAL, "model": self.models}
        names = self.rng.choices([*usual], k=self.rng.randrange(7))
        pairs = [(self._mostly(name, "x"), self._mostly(self.rng.choice(usual[name]), *ODD)) for name in names]
        pairs += [("data", self.text())] * self._mostly(1, 0, 2, 99)
        self.rng.shuffle(pairs)
        return pairs

    def text(self) -> str:
        """A text that is changed in some places, or in none."""
        text = self.rng.choice(self.texts)
        for _ in range(self.rng.choice([0, 1, 1, 2, 5])):
            text = self.rng.choice([self._cells, self._lines, self._characters, self._ends])(text)
        return text

    def _cells(self, text: str) -> str:
        lines = text.split("\n")
        i = self.rng.randrange(len(lines))
        cells = lines[i].split("\t")
        j = self.rng.randrange(len(cells))
        cells[j : j + self.rng.choice([1, 1, 1, 0, 2])] = [self.rng.choice(ODD)] * self.rng.choice([1, 1, 1, 0, 2])
        return "\n".join([*lines[:i], "\t".join(cells), *lines[i + 1 :]])

    def _lines(self, text: str) -> str:
        lines = text.split("\n")
        line = lines.pop(self.rng.randrange(len(lines)))
        at = self.rng.randrange(len(lines) + 1)
        return "\n".join([*lines[:at], *[line] * self.rng.randrange(3), *lines[at:]])

    def _characters(self, text: str) -> str:
        at = self.rng.randrange(len(text) + 1)
        return text[:at] + self.rng.choice(ODD) + text[at + self.rng.randrange(4) :]

    def _ends(self, text: str) -> str:
        cut = text[: self.rng.randrange(len(text) + 1)]
        return self.rng.choice([cut, *(text.replace("\n", end) for end in ("\r\n", "\r", "\n\n", ""))])

    def _part(self, boundary: str, name: str, value: str) -> bytes:
        named = self._mostly(f'name="{name}"', "", 'name=""', f"name={name}", f'name="{name}"; filename="a.conllu"')
        head = f"--{boundary}\r\nContent-Disposition: form-data; {named}\r\n"
        head += self._mostly(
            "", "Content-Transfer-Encoding: 8bit\r\n", "Content-Transfer-Encoding: base64\r\n", "X\r\n"
        )
        head += self._mostly("", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: \xff\r\n")
        return head.encode() + b"\r\n" + _raw(value) + b"\r\n"

    def _json(self, path: str, wanted: dict[str, Any]) -> Request:
        for name in self.rng.sample([*wanted], k=self._mostly(0, 1, 2)):
            wanted[name] = self.rng.choice([*ODD, None, True, -1, 1.5, 10**400, [], {"a": []}])
        if self.rng.random() < 0.1:
            wanted[self.rng.choice(ODD)] = 0
        text = json.dumps(wanted, ensure_ascii=self.rng.random() < 0.5)
        body = _raw(self._mostly(text, text[1:], f"[{text}]", "[" * 5000, f"{text},"))
        return Request(f"json {path}", "POST", path, body, self._mostly(JSON, FORM), self._origin())

    def _process(self) -> str:
        return "/process" + self._mostly(
            "", f"?model={self._model()}", "?model=%ff", "?parser&tagger", "?data=a&input=horizontal"
        )

    def _model(self) -> str:
        return quote(_raw(self._mostly(self.rng.choice(self.models), *ODD)))

    def _origin(self) -> dict[str, str]:
        return self._mostly({}, {"Origin": "http://elsewhere.org"}, {"Host": "elsewhere.org"}, {"Host": "["})

    def _mostly(self, usual: Any, *others: Any) -> Any:
        """The usual one nine times in ten."""
        return usual if self.rng.random() < 0.9 else self.rng.choice(others)


def _raw(text: str) -> bytes:
    """UTF-8, but for half a surrogate pair, which becomes what is none."""
    return text.encode("utf-8", "surrogatepass")


def _urlencoded(pairs: Sequence[tuple[str, str]]) -> bytes:
    return urlencode([(_raw(name), _raw(value)) for name, value in pairs]).encode("ascii")


def fault_of(request: Request, status: int, media: str, text: str) -> str:
    """What is wrong with an answer; nothing where it is of a kind that the service promises, and CoNLL-U in it can be read.

    Without a parser, heads come back as they were sent: they are looked at where one surely ran.
    """
    if status not in PROMISED:
        return f"status {status}"
    if status != 200:
        return "" if media.startswith("text/plain") and "Traceback" not in text else "a refusal that is no plain text"
    if request.method == "HEAD":
        return ""
    try:
        path = request.path.partition("?")[0]
        heads: Heads = "partial" if path in ("/weblicht/parse", "/api/parse") else "ignored"
        parse_conllu(_conllu_in(path, media, text), heads=heads)
    except (ValueError, KeyError, DataError) as fault:
        return f"{type(fault).__name__}: {fault}"
    return ""


def _conllu_in(path: str, media: str, text: str) -> str:
    """The CoNLL-U of an answer, if it has any; raises ValueError or KeyError where the answer is not what it should be."""
    if path.startswith("/weblicht/"):
        return text
    found = json.loads(text) if media == "application/json" else {}
    if path == "/process":
        return found["result"] if found["result"].startswith("# generator = sublingual") else ""
    if path == "/api/parse":
        return "".join(_joined(sentence) for sentence in found["sentences"])
    return ""


def _joined(sentence: dict[str, Any]) -> str:
    return "\n".join([*sentence["comments"], *("\t".join(row) for row in sentence["rows"]), "", ""])
