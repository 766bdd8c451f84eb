"""The service end to end, over sockets: what UDPipe's clients ask and get, and what is refused with which words."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.parsing import Parser
from sublingual.text import sentences_of

Serve = Callable[..., Any]
MADE = [f"# generator = sublingual {version('sublingual')}", "# udpipe_model = english-tiny-ud"]
MADE.append("# udpipe_model_licence = CC BY-SA 4.0; CC BY-NC-SA 4.0")
HEAD = "\n".join([*MADE, ""])


@pytest.fixture(scope="session")
def expected(folders: dict[str, Path], conllu: str) -> str:
    """What the parser itself makes of the sentences, without a service."""
    parsed = Parser.from_pretrained(folders["en"]).parse(parse_conllu(conllu, heads="ignored"), drop_deps=True)
    return HEAD + "".join(s.to_conllu() for s in parsed)


def test_models_are_listed_as_udpipe_lists_them(served: Any) -> None:
    for reply in (served.client.get("/models"), served.client.post("/models")):
        assert reply.headers["content-type"] == "application/json"
        assert list(reply.json) == ["models", "default_model"]
        assert reply.json["models"] == {"english-tiny-ud": ["tokenizer", "parser"], "fo-mine": ["tokenizer", "parser"]}
        assert reply.json["default_model"] == "english-tiny-ud"


def test_every_way_of_sending_gives_the_parsers_own_trees(served: Any, conllu: str, expected: str) -> None:
    client, wanted = served.client, {"data": conllu, "tagger": "", "parser": ""}
    replies = [
        client.upload("/process", input="conllu", output="conllu", **wanted),
        client.upload("/process", model="english-tiny", **wanted),
        client.post("/process", model="en", **wanted),
        client.get("/process", model="english", **wanted),
        client.post("/process", **{**wanted, "parser": "yes"}),
    ]
    for reply in replies:
        assert reply.result == expected
        assert list(reply.json) == ["model", "acknowledgements", "result"]
        assert reply.json["model"] == "english-tiny-ud"
        assert reply.headers["access-control-allow-origin"] == "*"
    words = [word for s in parse_conllu(conllu, heads="ignored") for word in s.words]
    assert replies[0].headers["x-billing-input-nfc-len"] == str(sum(map(len, words)))


def test_curl_sends_files_and_raw_utf8(served: Any, conllu: str, expected: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="data"; filename="a.conllu"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + conllu.encode() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="parser"\r\n\r\n\r\n--b--\r\n'
    )
    assert served.client.send("POST", "/process", body, "multipart/form-data; boundary=b").result == expected
    raw = (
        "GET /process?input=horizontal&data=D\u011bti&output=vertical HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert json.loads(exchange(served.client.port, raw.encode()).partition("\r\n\r\n")[2])["result"] == "Děti\n\n"


def test_windows_line_ends_and_byte_order_mark_are_taken(served: Any, conllu: str, expected: str) -> None:
    windows = "\ufeff" + conllu.replace("\n", "\r\n")
    assert served.client.upload("/process", data=windows, parser="").result == expected


def test_body_goes_before_address(served: Any) -> None:
    body = b"data=new&input=horizontal&output=horizontal"
    reply = served.client.send("POST", "/process?data=old&model=fo", body, "application/x-www-form-urlencoded")
    assert (reply.result, reply.json["model"]) == ("new\n", "fo-mine")


def test_raw_text_is_cut_and_parsed(served: Any, folders: dict[str, Path]) -> None:
    text = "The dog  barks. It is loud!\n\nWhy?"
    parsed = Parser.from_pretrained(folders["en"]).parse(sentences_of(text, form="text"))
    expected = HEAD + "".join(s.to_conllu() for s in parsed)
    for asked in ({"tokenizer": ""}, {"tokenizer": "1"}, {"input": "generic_tokenizer"}):
        assert served.client.post("/process", data=text, parser="", tagger="", **asked).result == expected
    assert served.client.post("/process", data=text, tokenizer="", output="plaintext").result == text


@pytest.mark.parametrize(
    ("asked", "data", "result"),
    [
        ({"tokenizer": "", "output": "horizontal"}, "A b. C", "A b .\nC\n"),
        ({"tokenizer": "presegmented", "output": "horizontal"}, "A b. C\nd", "A b . C\nd\n"),
        ({"input": "horizontal", "output": "vertical"}, "a\u00a0b c\nd", "a b\nc\n\nd\n\n"),
        ({"input": "vertical", "output": "horizontal"}, "a b\nc\n\nd", "a\u00a0b c\nd\n"),
        ({"input": "vertical", "output": "plaintext", "parser": ""}, "a\nb", "a b "),
        ({"input": "vertical", "output": "plaintext", "parser": "none"}, "a\nb", "a b "),
        ({"tokenizer": "", "output": "conllu"}, " \n ", ""),
        ({"output": "conllu", "parser": ""}, "", ""),
    ],
)
def test_forms_of_text(served: Any, asked: dict[str, str], data: str, result: str) -> None:
    assert served.client.post("/process", data=data, **asked).result == result


def test_tokenizers_options_reach_misc(served: Any) -> None:
    result = served.client.post("/process", data="a  b", tokenizer="ranges;normalized_spaces").result
    assert [line.split("\t")[-1] for line in result.splitlines() if "\t" in line] == [
        "TokenRange=0:1",
        "SpaceAfter=No|TokenRange=3:4",
    ]


def test_without_parser_nothing_but_the_first_comments_changes(served: Any, conllu: str) -> None:
    assert served.client.post("/process", data=conllu).result == HEAD + conllu


def test_comments_of_an_earlier_answer_are_replaced(served: Any, conllu: str, expected: str) -> None:
    again = served.client.post("/process", data=expected, parser="").result
    assert again == expected


def test_multiword_tokens_and_missing_heads_are_taken(served: Any) -> None:
    rows = [("1-2", "don't"), ("1", "do"), ("2", "n't"), ("2.1", "x"), ("3", "run")]
    text = "# a\n" + "".join("\t".join([*row, *["_"] * 8]) + "\n" for row in rows) + "\n"
    result = served.client.post("/process", data=text, parser="").result
    assert result.startswith(HEAD + "# a\n1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n")
    (sentence,) = parse_conllu(result, heads="gold")
    assert sentence.words == ("do", "n't", "run")


def test_old_enhanced_dependencies_are_dropped(served: Any) -> None:
    data = "1\ta\t_\t_\t_\t_\t0\troot\t0:root\t_\n\n"
    assert "0:root" not in served.client.post("/process", data=data, parser="").result


def test_weblicht_takes_the_bare_body(served: Any, conllu: str, expected: str) -> None:
    reply = served.client.send("POST", "/weblicht/parse?model=en", conllu.encode(), "application/conllu")
    assert (reply.text, reply.headers["content-type"]) == (expected, "application/conllu")
    cut = served.client.send("POST", "/weblicht/tokenize", b"Hi  there", "text/plain").text
    assert served.client.send("POST", "/weblicht/tag", cut.encode(), "application/conllu").text == cut
    lines = [
        "# newdoc",
        "# newpar",
        "# sent_id = 1",
        "# text = Hi there",
        word(1, "Hi"),
        word(2, "there", "SpaceAfter=No"),
    ]
    assert cut == HEAD + "\n".join([*lines, "", ""])
    assert served.client.send("POST", "/weblicht/other", b"a").status == 404


def word(number: int, form: str, misc: str = "_") -> str:
    return "\t".join([str(number), form, *["_"] * 7, misc])


PATHS = [
    "../../x",
    "/etc/passwd",
    "%2e%2e%2f",
    "english-tiny/",
    "./english-tiny",
    "en\0",
    "EN",
    " en",
    "..",
    "-",
    "en-",
    "\n",
]


@pytest.mark.parametrize("name", PATHS)
def test_no_name_is_taken_for_a_path(served: Any, name: str) -> None:
    reply = served.client.post("/process", data="a", model=name)
    assert reply.status == 400
    assert reply.text == f"The requested model '{name}' does not exist. There are: english-tiny-ud, fo-mine.\n"


LONG = "\n".join(["a"] * 1001)
BAD = "1\ta\n"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "The parameter 'data' is required."),
        ({"data": "a", "model": "x"}, "The requested model 'x' does not exist. There are: english-tiny-ud, fo-mine."),
        ({"data": BAD}, "Cannot parse the input in 'conllu' format. data:1: 2 columns, 10 needed"),
        ({"data": "a\0b", "input": "vertical"}, "Cannot parse the input in 'vertical' format. data:1: a NUL character"),
        ({"data": "a\rb", "tokenizer": ""}, "An error occured during tokenization of the input. data:1: the lines end"),
        (
            {"data": "a", "output": "epe"},
            "Unknown output format 'epe'. Allowed: conllu, horizontal, vertical, plaintext.",
        ),
        ({"data": "a", "input": "pdf"}, "Unknown input format 'pdf'. Allowed: conllu, generic_tokenizer, horizontal"),
        ({"data": "a", "tokenizer": "ranges;x"}, "Unknown tokenizer option 'x'. Allowed, between semicolons: preseg"),
        (
            {"data": LONG, "input": "vertical"},
            "Sentence longer than 1000 words was found on input, aborting: sentence 1",
        ),
        ({"data": "a " * 3 + "a" * 10_000, "input": "horizontal"}, "Sentence 1 has more than 10000 characters."),
        ({"data": "a " * 100 + "\n", "input": "horizontal", **{f"x{i}": "" for i in range(99)}}, "More than 100 param"),
    ],
)
def test_bad_requests_are_refused_with_the_reason(served: Any, asked: dict[str, str], text: str) -> None:
    for send in (served.client.post, served.client.upload):
        reply = send("/process", **asked)
        assert (reply.status, reply.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert reply.text.startswith(text)
        assert reply.text.count("\n") == 1


def test_what_is_not_utf8_is_refused(served: Any) -> None:
    refused = "The parameters are not in UTF-8: byte 0xe9. Convert them, e.g. iconv -t utf-8.\n"
    form = "application/x-www-form-urlencoded"
    for reply in (
        served.client.upload("/process", data=b"caf\xe9"),
        served.client.send("POST", "/process", b"data=caf%e9", form),
        served.client.send("POST", "/process", b"data=caf\xe9", form),
        served.client.send("GET", "/process?data=caf%E9"),
        served.client.send("POST", "/weblicht/parse", b"caf\xe9"),
    ):
        assert (reply.status, reply.text) == (400, refused)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/json", b"{}", "Unsupported payload Content-Type 'application/json'. Send a form"),
        ("", b"data=a", "Unsupported payload Content-Type ''"),
        ("multipart/form-data", b"x", "The multipart payload is malformed"),
        ("multipart/form-data; boundary=b", b"nothing", "The multipart payload is malformed"),
        ("multipart/form-data; boundary=b", b"", "The parameter 'data' is required."),
    ],
)
def test_payloads_of_other_kinds_are_refused(served: Any, kind: str, body: bytes, text: str) -> None:
    reply = served.client.send("POST", "/process", body, kind)
    assert (reply.status, reply.text[: len(text)]) == (400, text)


def test_unknown_addresses_and_methods(served: Any) -> None:
    reply = served.client.get("/nothing")
    assert (reply.status, reply.text) == (404, "No handler for the given URL '/nothing'\n")
    assert served.client.send("PUT", "/process").status == 405


def test_limits_are_told(serve: Serve) -> None:
    with serve(body=1000, words=3) as running:
        reply = running.client.post("/process", data="a b\nc d", input="horizontal")
        assert (reply.status, reply.text) == (400, "The input has 4 words; at most 3 are taken: send it in parts.\n")
        for size in (1001, 15_000, 100_000):
            reply = running.client.send("POST", "/process", b"x" * size, "application/x-www-form-urlencoded")
            assert reply.status == 400
            assert reply.text == "The payload size is too large. At most 1000 bytes are taken: send it in parts.\n"


def test_health_metrics_and_ids(served: Any, conllu: str) -> None:
    first = served.client.post("/process", data=conllu, parser="")
    assert first.headers["x-request-id"] != served.client.get("/nothing/at/all").headers["x-request-id"]
    assert served.client.get("/health").json == {"status": "ok", "models": 2, "in_memory": len(served.shelf)}
    found = served.client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    counts = dict(line.rsplit(" ", 1) for line in found.text.splitlines() if not line.startswith("#"))
    assert float(counts['sublingual_requests_total{path="/process",status="200"}']) >= 1
    assert float(counts['sublingual_requests_total{path="other",status="404"}']) >= 1
    assert float(counts['sublingual_words_total{model="english-tiny-ud"}']) >= 30
    assert float(counts["sublingual_models_in_memory"]) == len(served.shelf)
    assert "/nothing" not in found.text


def test_faults_of_ours_stay_in_the_log(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as running:

        def broken(offer: object) -> None:
            raise RuntimeError("a secret of the house")

        monkeypatch.setattr(running.shelf, "parser", broken)
        with caplog.at_level(logging.INFO, "sublingual.service"):
            reply = running.client.post("/process", data="zzz", input="horizontal", parser="")
            assert running.client.get("/health").status == 200
    id = reply.headers["x-request-id"]
    assert (reply.status, reply.text) == (
        500,
        f"An internal error occurred during processing. The log has more under {id}.\n",
    )
    assert f"{id} failed" in caplog.text
    assert f"{id} POST /process 500" in caplog.text
    assert "RuntimeError: a secret of the house" in caplog.text
    assert "zzz" not in caplog.text  # what clients send is not logged


def test_parallel_answers_equal_serial_ones(served: Any, demo: Callable[..., list[Sentence]]) -> None:
    sentences = demo("English", 16)
    asked = [
        {"data": "".join(s.to_conllu() for s in sentences[i : i + 1 + i % 3]), "model": model, "parser": ""}
        for i in range(16)
        for model in ("en", "fo")
    ] + [{"data": "A dog. A cat!" * (n % 9) + f" {n}.", "tokenizer": "", "parser": ""} for n in range(32)]

    def ask(parameters: dict[str, str]) -> tuple[int, str]:
        reply = served.client.post("/process", **parameters)
        return reply.status, reply.text

    serial = [ask(parameters) for parameters in asked]
    assert {status for status, _ in serial} == {200}
    assert len(set(serial)) > 40
    with ThreadPoolExecutor(64) as clients:
        assert list(clients.map(ask, asked)) == serial


def test_full_queue_is_told_to_come_back(serve: Serve) -> None:
    with serve(queue=2) as running, ThreadPoolExecutor(2) as clients:
        running.shelf.open.clear()
        ask = lambda: running.client.post("/process", data="a", input="horizontal", parser="")  # noqa: E731
        first = clients.submit(ask)
        assert running.shelf.entered.wait(10)
        second = clients.submit(ask)
        wait_for(lambda: running.service.house._worker._places._value == 0)
        refused = ask()
        assert (refused.status, refused.text) == (503, "The service is busy. Try again later.\n")
        assert int(refused.headers["retry-after"]) > 0
        assert running.client.get("/health").status == 200
        running.shelf.open.set()
        assert first.result().status == second.result().status == 200
        assert ask().status == 200


def test_late_answers_are_given_up_and_the_place_is_free_again(serve: Serve) -> None:
    with serve(queue=1, seconds=0.3) as running:
        running.shelf.open.clear()
        reply = running.client.post("/process", data="a", input="horizontal", parser="")
        assert reply.status == 503
        assert reply.text == "No answer within 0.3 s: the service is busy, or the text is long. Send it in parts.\n"
        assert int(reply.headers["retry-after"]) > 0
        running.shelf.open.set()
        wait_for(lambda: running.service.house._worker._places._value == 1)
        assert running.client.post("/process", data="a", input="horizontal").status == 200


def test_work_for_a_client_that_left_is_not_begun(serve: Serve) -> None:
    body = b"data=a&input=horizontal&parser="
    request = b"POST /process HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    with serve(queue=2) as running, ThreadPoolExecutor(1) as clients:
        running.shelf.open.clear()
        first = clients.submit(running.client.post, "/process", data="a", input="horizontal", parser="")
        assert running.shelf.entered.wait(10)
        with socket.create_connection(("127.0.0.1", running.client.port), timeout=10) as leaving:
            leaving.sendall(request)
            wait_for(lambda: running.service.house._worker._places._value == 0)
        wait_for(lambda: running.service.house._worker._places._value == 1)
        running.shelf.open.set()
        assert first.result().status == 200
        assert running.client.get("/health").status == 200
        assert running.shelf.asked == 1


def test_slow_requests_are_cut_off(serve: Serve) -> None:
    with serve(receive_seconds=0.3) as running:
        assert exchange(running.client.port, b"") == ""
        assert exchange(running.client.port, b"GET /health HTTP/1.1\r\nHost:") == ""
        head = b"POST /process HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n"
        answer = exchange(running.client.port, head + b"Connection: close\r\n\r\ndata")
        assert answer.startswith("HTTP/1.1 408")
        assert answer.endswith("The payload did not arrive within 0.3 s.\n")
        with socket.create_connection(("127.0.0.1", running.client.port), timeout=4) as kept:
            kept.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 OK")
            kept.sendall(b"GET /hea")
            while _received(kept):  # until it is closed, sooner than an idle one would be
                pass


def test_broken_http_is_refused(served: Any) -> None:
    for raw in (b"\x16\x03\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000):
        assert exchange(served.client.port, raw).startswith("HTTP/1.1 400")
    chunked = b"POST /process HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n"
    assert exchange(served.client.port, chunked).startswith("HTTP/1.1 400")
    assert served.client.get("/health").status == 200


def test_who_sends_too_long_an_address_hears_the_answer(served: Any) -> None:
    reply = served.client.get("/process", data="x" * (8 << 20))
    assert (reply.status, reply.text) == (400, "Invalid HTTP request received.\n")
    assert served.client.get("/health").status == 200


def test_names_in_the_address_may_be_quoted(served: Any) -> None:
    reply = served.client.send("GET", f"/process?data={quote('Děti')}&input=horizontal&output=horizontal")
    assert reply.result == "Děti\n"


def test_words_that_strangers_sent_are_forgotten(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sublingual.service.answers._KNOWN_WORDS", 10)
    with serve() as running:
        for i in range(5):
            text = " ".join(f"w{i}x{k}" for k in range(8))
            assert running.client.post("/process", data=text, input="horizontal", parser="").status == 200
        (parser,) = running.shelf._parsers.values()
        assert len(parser.network.encoder.pieces.known) <= 10


def exchange(port: int, raw: bytes) -> str:
    """Sends the bytes and returns all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        parts = []
        while part := _received(connection):
            parts.append(part)
    return b"".join(parts).decode("utf-8")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_service_leaves_no_thread(serve: Serve) -> None:
    with serve() as running:
        running.client.post("/process", data="a", input="horizontal", parser="")
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("parser")]
        assert workers
    wait_for(lambda: threading.active_count() < 40)
    assert running.service.house._worker._thread._shutdown
