"""Some hundred of the damaged requests of `bench/service.py`: each gets an answer of a kind that the service promises."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

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


@pytest.fixture(scope="session")
def fuzzing() -> ModuleType:
    """The module `bench/fuzzing.py`."""
    spec = spec_from_file_location("fuzzing", Path(__file__).parents[2] / "bench" / "fuzzing.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["fuzzing"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_requests_get_typed_answers(
    serve: Callable[..., Any], fuzzing: ModuleType, demo: Callable[..., list[Sentence]], tmp_path: Path
) -> None:
    texts = sorted((sentence.to_conllu() for sentence in demo("English")), key=len)[:10]
    fuzzer = fuzzing.Fuzzer(random.Random(7), texts, ["english-tiny-ud", "fo"])
    statuses: dict[str, set[int]] = defaultdict(set)
    faults = []
    with serve(adapts_to=tmp_path) as running:
        ask = lambda: running.client.post("/process", data=texts[0], parser="").result  # noqa: E731
        before = ask()
        for _ in range(300):
            r = fuzzer.request()
            reply = running.client.send(r.method, r.path, r.body, r.content_type, **r.headers)
            statuses[r.kind].add(reply.status)
            if fault := fuzzing.fault_of(r, reply.status, reply.headers.get("content-type", ""), reply.text):
                faults.append((r, fault))
        assert ask() == before
    assert faults == []
    assert set(statuses) >= FORMS
    assert all(statuses[kind] >= {200, 400} for kind in ("form /process", "multipart /process", "get /process"))
    assert list(tmp_path.iterdir()) == []
