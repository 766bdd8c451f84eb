"""`nearest`: for a person, as JSON, among any set, and for names that are unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sublingual.languages import syntax_vector

Run = Callable[..., Any]


@pytest.mark.parametrize("name", ["fo", "fao", "Faroese", "UD_Faroese-OFT", "fo_oft"])
def test_json_ranks_the_seven_training_languages_best_first(run: Run, name: str) -> None:
    ran = run("nearest", name, "--json")
    assert ran.code == 0
    record = json.loads(ran.out)
    assert set(record) == {"code", "language", "iso639_3", "vector", "note", "nearest"}
    assert (record["code"], record["language"]) == ("fo", "Faroese")
    found = record["nearest"]
    assert {one["code"] for one in found} == {"ar", "cs", "et", "hi", "it", "no", "ru"}
    assert [set(one) for one in found] == [{"code", "language", "similarity"}] * 7
    similarities = [one["similarity"] for one in found]
    assert similarities == sorted(similarities, reverse=True)
    assert (found[0]["code"], found[0]["language"]) == ("no", "Norwegian")
    a, b = (syntax_vector(code).astype(float) for code in ("fo", "no"))
    assert found[0]["similarity"] == pytest.approx(float(a @ b / ((a @ a) * (b @ b)) ** 0.5))


def test_the_table_has_one_line_a_language(run: Run) -> None:
    ran = run("nearest", "Faroese")
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert lines[0] == ["code", "language", "similarity"]
    assert len(lines) == 8
    assert lines[1][:2] == ["no", "Norwegian"]
    assert [len(line[2].partition(".")[2]) for line in lines[1:]] == [4] * 7


@pytest.mark.parametrize(
    ("name", "best"),
    [("swe", "no 0.9747"), ("deu", "no 0.9163"), ("spa", "it 0.9630"), ("kat", "hi 0.7952"), ("mal", "hi 0.7232")],
)
def test_languages_outside_the_paper_have_their_known_similarities(run: Run, name: str, best: str) -> None:
    code, _, similarity = run("nearest", name).out.splitlines()[1].split("\t")
    assert f"{code} {similarity}" == best


def test_among_ranks_any_set_and_keeps_to_it(run: Run) -> None:
    found = json.loads(run("nearest", "fo", "--among", "sv, da,is,", "--json").out)["nearest"]
    assert {one["code"] for one in found} == {"sv", "da", "is"}


def test_among_nothing_is_refused(run: Run) -> None:
    ran = run("nearest", "fo", "--among", ",")
    assert ran.code == 1
    assert "no languages to choose among" in ran.err


def test_a_borrowed_vector_is_said(run: Run) -> None:
    ran = run("nearest", "hyw")
    note = json.loads(run("nearest", "hyw", "--json").out)["note"]
    assert note
    assert ran.err == note + "\n"
    assert "hye" in note


@pytest.mark.parametrize(("name", "near"), [("Faroish", "Faroese (fo)"), ("UD_Welch-CCG", "Welsh (cy)")])
def test_an_unknown_language_is_refused_with_near_ones(run: Run, name: str, near: str) -> None:
    ran = run("nearest", name)
    assert ran.code == 1
    assert ran.out == ""
    assert f"unknown language {name!r}" in ran.err
    assert near in ran.err


def test_an_unknown_candidate_is_refused(run: Run) -> None:
    ran = run("nearest", "fo", "--among", "sv,qqqq", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "unknown language 'qqqq'" in ran.err
