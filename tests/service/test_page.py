"""What the page asks for: its own files and nothing from elsewhere, trees with their doubts, jobs, maps; and who may ask."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from sublingual.adaptation import adapt
from sublingual.confidence import confident
from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.parsing import Parser
from sublingual.service.jobs import agreement
from sublingual.service.offers import Offers, with_kept

Serve = Callable[..., Any]
FILES = sorted(entry.name for entry in (files("sublingual") / "resources" / "page").iterdir())


@pytest.fixture
def adapting(serve: Serve, tmp_path: Path) -> Iterator[Any]:
    """A service that may make new models."""
    with serve(adapts_to=tmp_path / "adapted") as running:
        yield running


def finished(client: Any, id: str) -> Any:
    """The job once it has ended."""
    for _ in range(600):
        now = client.ask(f"/api/jobs/{id}").json
        if now["state"] in ("done", "failed", "stopped"):
            return now
        time.sleep(0.05)
    raise AssertionError(now)


def annotated(demo: Callable[..., list[Sentence]], n: int = 4) -> str:
    return "".join(sentence.to_conllu() for sentence in demo("English", n))


def test_page_comes_from_this_service_alone(served: Any) -> None:
    assert {"index.html", "page.css", "main.js"} <= set(FILES)
    for name in FILES:
        reply = served.client.get("/" if name == "index.html" else f"/page/{name}")
        policy = reply.headers["content-security-policy"]
        assert (reply.status, policy.partition(";")[0]) == (200, "default-src 'none'")
        assert "'unsafe" not in policy
        addresses = re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"'`)]*", re.sub(r"(?m)^\s*//.*", "", reply.text))
        assert [a for a in addresses if "www.w3.org/2000/svg" not in a] == [], name
    assert served.client.get("/page/../index.html").status == 404
    assert served.client.get("/page/%2e%2e/__init__.py").status == 404


def test_models_are_told_with_their_languages_and_labels(served: Any) -> None:
    found = served.client.ask("/api/models").json
    assert [(m["name"], m["language"], m["language_name"]) for m in found["models"]] == [
        ("english-tiny-ud", "", ""),
        ("fo-mine", "fo", "Faroese"),
    ]
    assert (found["default"], found["adapts_to"]) == ("english-tiny-ud", None)
    assert "nsubj:pass" in found["models"][0]["labels"]


def test_trees_come_with_the_parsers_own_doubts(served: Any, folders: dict[str, Path], conllu: str) -> None:
    reply = served.client.ask("/api/parse", {"data": conllu, "model": "en"}).json
    sentences = parse_conllu(conllu, heads="ignored")
    expected = confident(Parser.from_pretrained(folders["en"]), sentences, drop_deps=True)
    assert reply["model"] == "english-tiny-ud"
    for found, one in zip(reply["sentences"], expected, strict=True):
        assert found["rows"] == [list(row) for row in one.sentence.rows]
        assert found["comments"] == list(one.sentence.comments)
        assert found["rtl"] is False
        assert found["sure"]["heads"] == pytest.approx(one.arcs.tolist(), abs=5e-4)
        assert found["sure"]["labels"] == pytest.approx(one.labels.tolist(), abs=5e-4)
        for others, row, head in zip(found["sure"]["others"], one.heads, one.sentence.heads, strict=True):
            ranked = sorted((p for i, p in enumerate(row.tolist()) if i != head and p >= 0.005), reverse=True)
            assert [p for _, p in others] == pytest.approx(ranked[:3], abs=5e-4)
            assert all(row[i] == pytest.approx(p, abs=5e-4) and i != head for i, p in others)


def test_annotated_trees_are_kept_where_asked(served: Any, demo: Callable[..., list[Sentence]]) -> None:
    data = annotated(demo).replace("\t2\tdet\t", "\t_\t_\t", 1)
    reply = served.client.ask("/api/parse", {"data": data, "keep": True}).json
    assert [(s["comments"], s["rows"], s["sure"]) for s in reply["sentences"]] == [
        (list(s.comments), [list(row) for row in s.rows], None) for s in parse_conllu(data, heads="partial")
    ]
    refused = served.client.ask("/api/parse", {"data": data.replace("\troot\t", "\troot x\t", 1), "keep": True})
    assert refused.status == 400
    assert refused.text.startswith("Cannot parse the input in 'conllu' format. data:")


def test_right_to_left_is_told(served: Any) -> None:
    reply = served.client.ask("/api/parse", {"data": "كتب الولد رسالة", "form": "horizontal"}).json
    assert [s["rtl"] for s in reply["sentences"]] == [True]


def test_adapted_model_is_the_one_that_adapt_makes_and_joins_the_shelf(
    adapting: Any, folders: dict[str, Path], demo: Callable[..., list[Sentence]]
) -> None:
    client, data = adapting.client, annotated(demo)
    reply = client.ask("/api/jobs", {"data": data, "name": "fo-2", "language": "Faroese", "steps": 3})
    assert reply.status == 202
    assert reply.headers["location"] == f"/api/jobs/{reply.json['id']}"
    now = finished(client, reply.json["id"])
    assert (now["state"], now["fault"], now["step"], now["steps"]) == ("done", "", 3, 3)

    base, support = Parser.from_pretrained(folders["en"]), parse_conllu(data)
    from sublingual.adaptation import AdaptConfig

    expected = adapt(base, support, config=AdaptConfig(steps=3))
    right, n_words = agreement(support, base.parse(support))
    assert now["result"]["losses"] == pytest.approx(expected.losses, abs=1e-4)
    assert (now["result"]["right_before"], now["result"]["words"]) == (right, n_words)
    assert [m["name"] for m in client.ask("/api/models").json["models"]] == ["english-tiny-ud", "fo-mine", "fo-2"]
    for name in ("fo-2", "english-tiny-ud"):
        parsed = client.ask("/api/parse", {"data": data, "model": name}).json["sentences"]
        parser = expected.parser if name == "fo-2" else base
        assert [s["rows"] for s in parsed] == [
            [list(row) for row in s.rows] for s in parser.parse(support, drop_deps=True)
        ]
    about = Parser.from_pretrained(now["result"]["folder"]).about
    assert (about.language, about.data[-1]["sentences"], about.seeds["adaptation"]) == ("fo", 4, 0)
    again = with_kept(Offers(adapting.service.house.offers.models[:2]), adapting.service.jobs.folder)
    assert [str(offer.folder) for offer in again.models[2:]] == [now["result"]["folder"]]
    assert client.post("/process", data="a", input="horizontal", parser="", model="fo-2").status == 200


@pytest.mark.parametrize("shared", [False, True])
def test_a_shared_encoder_changes_its_biases_and_norms_alone(
    adapting: Any, folders: dict[str, Path], demo: Callable[..., list[Sentence]], shared: bool
) -> None:
    asked = {"data": annotated(demo), "name": "new", "steps": 2, "shared": shared}
    now = finished(adapting.client, adapting.client.ask("/api/jobs", asked).json["id"])
    assert (now["state"], now["fault"]) == ("done", "")
    base, found = (Parser.from_pretrained(at).network.encoder for at in (folders["en"], now["result"]["folder"]))
    changed = [a.ndim for a, b in zip(base.parameters(), found.parameters(), strict=True) if not torch.equal(a, b)]
    assert set(changed) == ({1} if shared else {1, 2})


@pytest.mark.parametrize(
    ("language", "subnetwork", "in_full"), [("Faroese", "no", False), ("qhe", None, True), ("", None, True)]
)
def test_a_subnetwork_is_taken_where_something_says_which_is_near(
    adapting: Any,
    folders: dict[str, Path],
    demo: Callable[..., list[Sentence]],
    tmp_path: Path,
    language: str,
    subnetwork: str | None,
    in_full: bool,
) -> None:
    gates = {"ar": torch.eye(2), "no": 1 - torch.eye(2)}
    replace(Parser.from_pretrained(folders["en"]), subnetworks=gates).save_pretrained(tmp_path / "sub")
    adapting.service.house.add(replace(adapting.service.house.offers.models[0], name="sub", folder=tmp_path / "sub"))
    asked = {"data": annotated(demo), "name": "new", "model": "sub", "language": language, "steps": 1}
    now = finished(adapting.client, adapting.client.ask("/api/jobs", asked).json["id"])
    assert (now["state"], now["fault"]) == ("done", "")
    assert (now["result"]["subnetwork"], now["result"]["in_full"]) == (subnetwork, in_full)
    found = Parser.from_pretrained(now["result"]["folder"]).gates
    assert found is None if in_full else found is not None and torch.equal(found, gates["no"])


def test_a_job_can_be_stopped_and_leaves_no_model(adapting: Any, demo: Callable[..., list[Sentence]]) -> None:
    client = adapting.client
    first = client.ask("/api/jobs", {"data": annotated(demo, 20), "name": "a", "steps": 200}).json["id"]
    second = client.ask("/api/jobs", {"data": annotated(demo), "name": "b"}).json["id"]
    assert client.send("DELETE", f"/api/jobs/{second}").json["state"] == "stopped"
    client.send("DELETE", f"/api/jobs/{first}")
    assert finished(client, first)["state"] == "stopped"
    assert not list(adapting.service.jobs.folder.glob("*"))
    assert len(client.ask("/api/models").json["models"]) == 2
    assert client.send("DELETE", "/api/jobs/none").status == client.ask("/api/jobs/none").status == 404


def test_parsing_goes_on_while_a_job_runs(adapting: Any, conllu: str, demo: Callable[..., list[Sentence]]) -> None:
    client = adapting.client
    alone = client.ask("/api/parse", {"data": conllu}).json
    job = client.ask("/api/jobs", {"data": annotated(demo, 20), "name": "a", "steps": 200}).json["id"]
    for _ in range(5):
        assert client.ask("/api/parse", {"data": conllu}).json == alone
    assert client.ask(f"/api/jobs/{job}").json["state"] in ("waiting", "running")
    client.send("DELETE", f"/api/jobs/{job}")
    finished(client, job)


def test_failed_jobs_say_why(
    adapting: Any, demo: Callable[..., list[Sentence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = annotated(demo).replace("\tnsubj\t", "\tnobase\t", 1)
    job = adapting.client.ask("/api/jobs", {"data": data, "name": "a"}).json["id"]
    now = finished(adapting.client, job)
    assert now["state"] == "failed"
    assert "(sent_id en-004): the label 'nobase' has no universal relation to start from" in now["fault"]

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr("sublingual.service.jobs.adapt", broken)
    job = adapting.client.ask("/api/jobs", {"data": annotated(demo), "name": "a"}).json["id"]
    assert finished(adapting.client, job)["fault"] == f"An internal error occurred. The log has more under {job}."


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"name": "../x"}, "The name '../x' cannot be a model's: lower-case letters"),
        ({"name": "a" * 61}, "The name 'aaaa"),
        ({"name": "fo-mine"}, "There is a model 'fo-mine' already."),
        ({"name": "here"}, "There is a model 'here' already."),
        ({"model": "x"}, "The requested model 'x' does not exist."),
        ({"language": "Klingonese"}, "unknown language 'Klingonese'"),
        ({"steps": 0}, "The payload cannot be used: steps: Input should be greater than or equal to 1."),
        ({"steps": "3"}, "The payload cannot be used: steps: Input should be a valid integer."),
        ({"other": 1}, "The payload cannot be used: other: Extra inputs are not permitted."),
        ({"data": "1\ta\n"}, "Cannot parse the input in 'conllu' format. data:1: 2 columns"),
        ({"data": ""}, "No word of the sentences has a head"),
    ],
)
def test_what_cannot_be_adapted_is_refused(
    adapting: Any, demo: Callable[..., list[Sentence]], changed: dict[str, Any], text: str
) -> None:
    (adapting.service.jobs.folder / "here").mkdir(parents=True)
    reply = adapting.client.ask("/api/jobs", {"data": annotated(demo), "name": "a", **changed})
    assert (reply.status, reply.text[: len(text)]) == (400, text)


def test_long_queue_of_jobs_is_told_to_come_back(adapting: Any, demo: Callable[..., list[Sentence]]) -> None:
    client = adapting.client
    replies = [client.ask("/api/jobs", {"data": annotated(demo, 20), "name": f"m{i}", "steps": 200}) for i in range(6)]
    assert [reply.status for reply in replies] == [202] * 5 + [503]
    assert int(replies[-1].headers["retry-after"]) > 0
    for reply in replies[:5]:
        client.send("DELETE", f"/api/jobs/{reply.json['id']}")


def test_service_that_makes_no_models_says_so(served: Any, demo: Callable[..., list[Sentence]]) -> None:
    reply = served.client.ask("/api/jobs", {"data": annotated(demo), "name": "a"})
    assert (reply.status, reply.text) == (
        403,
        "This service makes no models: it was started without --adapt-to FOLDER.\n",
    )


def test_other_sites_may_not_ask(served: Any, serve: Serve) -> None:
    client = served.client
    own = f"127.0.0.1:{client.port}"
    assert client.ask("/api/models", Origin=f"http://{own}").status == 200
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example", "Host": "evil.example"},  # a name that was made to point here
        {"Host": "evil.example"},
        {"Host": "["},
    ):
        for path, wanted in (("/api/models", None), ("/api/parse", {"data": ""}), ("/api/jobs/x", None)):
            assert client.ask(path, wanted, **headers).status == 403
    plain = client.send("POST", "/api/parse", b'{"data": ""}', "text/plain")  # what a form of another page can send
    assert (plain.status, plain.text) == (
        400,
        "Unsupported payload Content-Type 'text/plain'. Send application/json.\n",
    )
    assert "access-control-allow-origin" not in client.ask("/api/models").headers
    with serve(loopback=False) as running:
        assert running.client.ask("/api/models", Host="parser.example").status == 200
        assert running.client.ask("/api/models", Host="a.example", Origin="http://b.example").status == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"data": 1}', b'{"data": "a", "form": "pdf"}', b"\xff", b'"a"'])
def test_broken_json_is_refused(served: Any, body: bytes) -> None:
    reply = served.client.send("POST", "/api/parse", body, "application/json")
    assert reply.status == 400
    assert reply.text.startswith(("The payload cannot be used: ", "The parameters are not in UTF-8"))
    assert reply.text.count("\n") == 1


def test_subnetworks_are_shown_beside_the_nearest(serve: Serve, folders: dict[str, Path], tmp_path: Path) -> None:
    parser = Parser.from_pretrained(folders["fo"])
    gates = {code: torch.ones(2, 2) for code in ("no", "ar", "it", "hi")}
    gates["no"][0, 1] = 0
    replace(parser, gates=gates["no"], subnetworks=gates).save_pretrained(tmp_path / "sub")
    with serve() as running:
        running.service.house.add(replace(running.service.house.offers.models[1], name="sub", folder=tmp_path / "sub"))
        found = running.client.ask("/api/subnetworks?model=sub").json
        assert (found["layers"], found["attention_heads"], found["own"]) == (2, 2, [[1.0, 0.0], [1.0, 1.0]])
        assert found["neighbours"][0]["code"] == "no"
        assert [n["similarity"] for n in found["neighbours"]] == sorted(
            (n["similarity"] for n in found["neighbours"]), reverse=True
        )
        assert len(found["neighbours"]) == 3
        bare = running.client.ask("/api/subnetworks?model=en").json
        assert (bare["own"], bare["neighbours"]) == (None, [])
        assert running.client.ask("/api/subnetworks?model=x").status == 400


def test_answers_of_the_page_are_json_without_nan(served: Any, conllu: str) -> None:
    text = served.client.ask("/api/parse", {"data": conllu}).text
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
