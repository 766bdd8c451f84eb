"""`parse --confidence` and `compact` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sublingual.confidence import confident
from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.data.tags import TAGS
from sublingual.marking import Marks, mark
from sublingual.model.compact import is_compact
from sublingual.parsing import Parser

Run = Callable[..., Any]
Write = Callable[..., Path]
GATES = torch.tensor([[1.0, 0.0], [0.0, 0.0]])


@pytest.fixture(scope="module")
def gated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parser with gates, and with a subnetwork of Norwegian."""
    parser = Parser.from_pretrained(model)
    out = tmp_path_factory.mktemp("gated") / "model"
    Parser(parser.network, GATES, parser.about, {"no": 1 - GATES}, parser.tagger).save_pretrained(out)
    return out


@pytest.mark.parametrize(
    ("options", "marks"),
    [
        (["--confidence"], Marks()),
        (["--doubt", 0.9], Marks(doubt=0.9)),
        (["--confidence", "--for", "conllueditor"], Marks(target="conllueditor")),
    ],
)
def test_confidence_is_written(
    run: Run, model: Path, conllu: Write, english: list[Sentence], options: list[Any], marks: Marks
) -> None:
    ran = run("parse", model, conllu(english[:5]), *options)
    assert ran.code == 0, ran.err
    expected = mark(confident(Parser.from_pretrained(model), english[:5]), marks)
    assert ran.out == "".join(sentence.to_conllu() for sentence in expected)


def test_the_trees_are_those_without_confidence_to_the_byte(
    run: Run, model: Path, conllu: Write, english: list[Sentence]
) -> None:
    file = conllu(english[:8])
    plain, marked = run("parse", model, file).out, run("parse", model, file, "--confidence").out
    assert marked != plain
    cut = [line.rpartition("\t")[0] if "\t" in line else line for line in marked.split("\n")]
    assert cut == [line.rpartition("\t")[0] if "\t" in line else line for line in plain.split("\n")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--for", "brat"], "unknown tool 'brat'; allowed: ud, arborator, conllueditor, inception"),
        (["--doubt", "2"], "doubt 2.0: it is a probability, from 0 to 1"),
    ],
)
def test_impossible_options_are_refused_before_the_model_is_read(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence], options: list[str], message: str
) -> None:
    ran = run("parse", tmp_path / "none", conllu(english[:1]), *options)
    assert (ran.code, ran.last) == (2, f"sublingual: {message}")


def test_a_compact_model_parses_as_the_gated_one(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    ran = run("compact", gated, tmp_path / "small")
    assert ran.code == 0, ran.err
    assert ran.last.startswith("3 of 4 attention heads removed, ")
    file = conllu([Sentence.from_words(s.words) for s in english])  # without UPOS: the tagger stays as well
    found = run("parse", tmp_path / "small", file)
    assert found.raw == run("parse", gated, file).raw
    assert {tag for s in parse_conllu(found.out) for tag in s.upos} <= set(TAGS)
    small = Parser.from_pretrained(tmp_path / "small")
    assert is_compact(small.network.encoder.model)
    assert (small.gates, dict(small.subnetworks)) == (None, {})
    assert small.about.note.endswith("Compact: 3 of 4 attention heads removed.")


def test_a_compact_model_adapts_on_the_command_line(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    assert run("compact", gated, tmp_path / "small").code == 0
    file = conllu(english[:20])
    ran = run("adapt", file, tmp_path / "sv", "--model", tmp_path / "small", "--lang", "sv", "--steps", 2, "--seed", 1)
    assert ran.code == 0, ran.err
    parsed = run("parse", tmp_path / "sv", file, "--confidence")
    assert parsed.code == 0, parsed.err
    assert len(parse_conllu(parsed.out)) == 20


def test_a_language_of_the_model_may_be_kept(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    ran = run("compact", gated, tmp_path / "no", "--subnetwork", "no")
    assert ran.last.startswith("1 of 4 attention heads removed, ")
    full = Parser.from_pretrained(gated)
    trees = Parser(full.network, full.subnetworks["no"]).parse(english)
    assert run("parse", tmp_path / "no", conllu(english)).out == "".join(tree.to_conllu() for tree in trees)


def test_a_model_in_full_has_nothing_to_remove(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("compact", model, tmp_path / "small")
    assert ran.code == 1
    assert "runs in full: no attention head is switched off" in ran.last
    assert not (tmp_path / "small").exists()


def test_an_unknown_subnetwork_is_refused(run: Run, gated: Path, tmp_path: Path) -> None:
    ran = run("compact", gated, tmp_path / "small", "--subnetwork", "xx")
    assert (ran.code, ran.last) == (1, f"sublingual: {gated} has no subnetwork 'xx'; it has: no")


def test_a_folder_that_is_there_is_replaced_only_with_overwrite(run: Run, gated: Path, tmp_path: Path) -> None:
    assert run("compact", gated, tmp_path / "small").code == 0
    again = run("compact", gated, tmp_path / "small")
    assert again.code == 1
    assert "is there already" in again.last
    assert run("compact", gated, tmp_path / "small", "--overwrite").code == 0
