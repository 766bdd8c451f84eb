"""The service under load, on this machine's loopback alone: are all answers right, does its memory stay, how fast is it.

    python bench/service.py FILE.conllu MODEL [MODEL ...] [--clients 64] [--requests 2000] [--fuzzed 10000] [--threads 2]

Starts `sublingual serve` on a free port of 127.0.0.1. Every different question (one to four sentences of FILE, each model in
turn) is asked once alone; then `--clients` threads ask `--requests` of them at random, and every answer is compared with the
one that was given alone. After that `--fuzzed` damaged requests (`fuzzing.py`) are sent, to every address and in every form,
and each must get an answer of the kinds that the service promises. Printed as one JSON object; memory is the server's resident
set (VmRSS) in MB. It ends by itself.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from fuzzing import FORM, Fuzzer, Request, fault_of

from sublingual.data.conllu import Sentence, read_conllu

Reply = tuple[int, bytes]


class Server:
    """A running `sublingual serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def memory(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return round(int(found[1]) / 1024, 1)

    def send(self, request: Request) -> tuple[int, str, bytes]:
        """Status, type and bytes of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        try:
            connection.request(request.method, request.path, request.body, headers | request.headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        finally:
            connection.close()

    def heard(self, request: Request) -> tuple[int, str, bytes]:
        """As `send`; status 0 where no answer came."""
        try:
            return self.send(request)
        except (OSError, http.client.HTTPException) as fault:
            return 0, "", repr(fault).encode()

    def ask(self, question: bytes) -> Reply:
        status, _, answer = self.send(Request("", "POST", "/process", question, FORM))
        return status, answer


@contextmanager
def serving(models: list[str], *, threads: int) -> Iterator[Server]:
    code = "from sublingual.cli import main; main()"
    words = ["serve", *models, "--port", "0", "--threads", str(threads), "--queue", "500", "--device", "cpu"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=log, env={**os.environ})
        try:
            yield Server(process, _port(process, log))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _port(process: subprocess.Popen[bytes], log: Any) -> int:
    for _ in range(3000):
        log.seek(0)
        text = log.read().decode()
        if found := re.search(r"at http://127\.0\.0\.1:(\d+)", text):
            return int(found[1])
        if process.poll() is not None:
            raise SystemExit(text)
        time.sleep(0.1)
    raise SystemExit("the service did not start")


def questions(sentences: list[Sentence], models: list[str]) -> list[tuple[bytes, int]]:
    """Each question with the number of its words."""
    found = []
    for k, i in enumerate(range(0, len(sentences), 3)):
        part = sentences[i : i + 1 + k % 4]
        data = "".join(sentence.to_conllu() for sentence in part)
        asked = {"data": data, "parser": "", "tagger": "", "model": Path(models[k % len(models)]).name}
        found.append((urlencode(asked).encode(), sum(len(sentence.words) for sentence in part)))
    return found


def under_load(server: Server, asked: list[tuple[bytes, int]], chosen: argparse.Namespace) -> dict[str, Any]:
    alone = {question: server.ask(question) for question, _ in asked}
    assert {status for status, _ in alone.values()} == {200}
    rng = random.Random(chosen.seed)
    drawn = [rng.choice(asked) for _ in range(chosen.requests)]
    memory = [server.memory()]
    seconds = []
    wrong = 0

    def one(pair: tuple[bytes, int]) -> tuple[bool, float]:
        began = time.perf_counter()
        right = server.ask(pair[0]) == alone[pair[0]]
        return right, time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(chosen.clients) as clients:
        for k, (right, took) in enumerate(clients.map(one, drawn), 1):
            wrong += not right
            seconds.append(took)
            if k % (chosen.requests // 5) == 0:
                memory.append(server.memory())
    passed = time.perf_counter() - began
    n_words = sum(n for _, n in drawn)
    return {
        "requests": chosen.requests,
        "clients": chosen.clients,
        "answers": len(seconds),
        "wrong": wrong,
        "different_questions": len(alone),
        "words": n_words,
        "words_per_second": round(n_words / passed, 1),
        "seconds_median": round(median(seconds), 2),
        "seconds_slowest": round(max(seconds), 2),
        "memory_mb": memory,
    }


def fuzzed(server: Server, sentences: list[Sentence], chosen: argparse.Namespace) -> dict[str, Any]:
    short = sorted((sentence.to_conllu() for sentence in sentences), key=len)[:20]
    fuzzer = Fuzzer(random.Random(chosen.seed + 1), short, [Path(model).name for model in chosen.models])
    requests = [fuzzer.request() for _ in range(chosen.fuzzed)]
    before = server.memory()
    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(server.heard, requests))
    kinds: dict[str, Counter[int]] = defaultdict(Counter)
    faults = []
    for request, (status, media, answer) in zip(requests, found, strict=True):
        kinds[request.kind][status] += 1
        if fault := fault_of(request, status, media, answer.decode("utf-8", "replace")):
            faults.append(f"{request.kind}: {fault}")
    return {
        "requests": len(found),
        "statuses": _by_number(Counter(status for status, *_ in found)),
        "kinds": {kind: _by_number(kinds[kind]) for kind in sorted(kinds)},
        "faults": faults,
        "healthy_after": server.send(Request("", "GET", "/health"))[0] == 200,
        "memory_mb": [before, server.memory()],
    }


def _by_number(statuses: Counter[int]) -> dict[str, int]:
    return {str(status): n for status, n in sorted(statuses.items())}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file")
    options.add_argument("models", nargs="+")
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--requests", type=int, default=2000)
    options.add_argument("--fuzzed", type=int, default=10_000)
    options.add_argument("--sentences", type=int, default=300)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    sentences = read_conllu(chosen.file, heads="ignored")[: chosen.sentences]
    asked = questions(sentences, chosen.models)
    with serving(chosen.models, threads=chosen.threads) as server:
        result = {"models": len(chosen.models), "threads": chosen.threads, "load": under_load(server, asked, chosen)}
        print(json.dumps({**result, "fuzzed": fuzzed(server, sentences, chosen)}, indent=1))


if __name__ == "__main__":
    main()
