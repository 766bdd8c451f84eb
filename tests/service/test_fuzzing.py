"""Some hundred of the damaged requests of `bench/service.py`: each gets an answer of a kind that the service promises."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.fuzzing import Fuzzer, fault_of
from sublingual.data.conllu import Sentence

FORMS = {"form /process", "multipart /process", "get /process", "json /api/parse", "json /api/jobs"}
FORMS |= {
    "/weblicht/tokenize",
    "/weblicht/tag",
    "/weblicht/parse",
    "bytes /process",
    "address /models",
    "address /metrics",
}


def test_damaged_requests_get_typed_answers(
    serve: Callable[..., Any], demo: Callable[..., list[Sentence]], tmp_path: Path
) -> None:
    texts = sorted((sentence.to_conllu() for sentence in demo("English")), key=len)[:10]
    fuzzer = Fuzzer(random.Random(7), texts, ["english-tiny-ud", "fo"])
    statuses: dict[str, set[int]] = defaultdict(set)
    faults = []
    with serve(adapts_to=tmp_path) as running:
        ask = lambda: running.client.post("/process", data=texts[0], parser="").result  # noqa: E731
        before = ask()
        for _ in range(300):
            r = fuzzer.request()
            reply = running.client.send(r.method, r.path, r.body, r.content_type, **r.headers)
            statuses[r.kind].add(reply.status)
            if fault := fault_of(r, reply.status, reply.headers.get("content-type", ""), reply.text):
                faults.append((r, fault))
        assert ask() == before
    assert faults == []
    assert set(statuses) >= FORMS
    assert all(statuses[kind] >= {200, 400} for kind in ("form /process", "multipart /process", "get /process"))
    assert list(tmp_path.iterdir()) == []
