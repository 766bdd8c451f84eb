"""`next` on the command line: what is written, said, and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.faults import check
from sublingual.parsing import Parser

Run = Callable[..., Any]
Write = Callable[..., Path]
Demo = Callable[..., list[Sentence]]


def test_chosen_sentences_are_written_parsed_each_with_its_reason(
    run: Run, model: Path, tmp_path: Path, conllu: Write, demo: Demo
) -> None:
    pool = demo("Swedish", 20)
    out = tmp_path / "next.conllu"
    ran = run("next", conllu(pool), out, "--model", model, "-n", 6)
    assert ran.code == 0, ran.err
    found = read_conllu(out)
    parsed = {s.words: s.heads for s in Parser.from_pretrained(model).parse(pool)}
    assert len({s.words for s in found}) == 6
    assert all(parsed[s.words] == s.heads for s in found)
    assert [f"# next = {i}" in s.comments for i, s in enumerate(found, 1)] == [True] * 6
    for sentence in found:
        (reason,) = (c.removeprefix("# reason = ") for c in sentence.comments if c.startswith("# reason"))
        assert reason in ran.err
        assert sentence.sent_id in ran.err
        assert "HeadConf=" in sentence.rows[0][9]
    assert not [fault for fault in check(out) if fault.severity == "error"]
    assert "6 of 20 sentences, " in ran.err


def test_heads_of_the_pool_are_not_looked_at_and_trees_may_be_left_out(
    run: Run, model: Path, conllu: Write, demo: Demo
) -> None:
    bare = [Sentence.from_words(s.words, sent_id=s.sent_id) for s in demo("Swedish", 9)]
    annotated, plain = (run("next", conllu(s), "--model", model, "-n", 4) for s in (demo("Swedish", 9), bare))
    ids = [[line for line in ran.out.splitlines() if line.startswith("# sent_id")] for ran in (annotated, plain)]
    assert ids[0] == ids[1]
    ran = run("next", conllu(bare), "--model", model, "-n", 4, "--no-trees")
    rows = [line.split("\t") for line in ran.out.splitlines() if line and not line.startswith("#")]
    assert {(row[6], row[7]) for row in rows} == {("_", "_")}
    assert [line for line in ran.out.splitlines() if line.startswith("# sent_id")] == ids[0]


def test_annotated_sentences_are_not_chosen_again(run: Run, model: Path, conllu: Write, demo: Demo) -> None:
    pool = demo("Swedish", 8)
    ran = run("next", conllu(pool), "--model", model, "-n", 8, "--annotated", conllu(pool[:5], "my.conllu"))
    assert ran.code == 0, ran.err
    assert "not considered: 5 annotated already" in ran.err
    assert "3 of 8 sentences" in ran.err


def test_plain_text_may_be_the_pool(run: Run, model: Path, conllu: Write) -> None:
    ran = run(
        "next",
        conllu("The dog sleeps.\nA cat sees the dog.\n", "pool.txt"),
        "--model",
        model,
        "--input",
        "presegmented",
    )
    assert ran.code == 0, ran.err
    assert ran.out.count("# next = ") == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [(("-n", 0), 2, "choose one or more"), (("--min-words", 9, "--max-words", 3), 2, "there are none"), ((), 1, "")],
)
def test_impossible_wishes_are_refused_before_the_model_is_read(
    run: Run, tmp_path: Path, conllu: Write, demo: Demo, words: tuple[object, ...], code: int, message: str
) -> None:
    ran = run("next", conllu(demo("Swedish", 2) if words else ""), "--model", tmp_path / "none", *words)
    assert ran.code == code
    assert (message or "there are no sentences to choose from") in ran.last
