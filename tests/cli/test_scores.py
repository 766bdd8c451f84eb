"""`evaluate` and `compare`: numbers counted another way, JSON, the official scorer, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import Sentence
from sublingual.data.embedded import WARNING, embedded

Run = Callable[..., Any]
Write = Callable[..., Path]


def hang_on_root(sentence: Sentence) -> Sentence:
    """The sentence with every word but the root hung on it as `dep`."""
    root = sentence.heads.index(0) + 1
    heads = [0 if head == 0 else root for head in sentence.heads]
    return sentence.with_tree(heads, ["root" if head == 0 else "dep" for head in heads])


@pytest.fixture
def pair(english: list[Sentence], conllu: Write) -> tuple[Path, Path]:
    return conllu(english[:30], "gold.conllu"), conllu([hang_on_root(s) for s in english[:30]], "system.conllu")


def counts(gold: list[Sentence]) -> tuple[int, int, int]:
    words = sum(len(s.words) for s in gold)
    heads = sum(head in (0, s.heads.index(0) + 1) for s in gold for head in s.heads)
    labelled = sum(
        head == 0 or (label == "dep" and head == s.heads.index(0) + 1)
        for s in gold
        for head, label in zip(s.heads, s.labels, strict=True)
    )
    return words, heads, labelled


def test_evaluate_prints_the_counts_and_a_signature(run: Run, pair: tuple[Path, Path], english: list[Sentence]) -> None:
    words, heads, labelled = counts(english[:30])
    ran = run("evaluate", *pair)
    assert ran.code == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in ran.out.splitlines()}
    assert rows["UAS"] == [f"{100 * heads / words:.2f}", str(heads), str(words), str(words)]
    assert rows["LAS"] == [f"{100 * labelled / words:.2f}", str(labelled), str(words), str(words)]
    assert ran.out.splitlines()[-1].startswith("LAS|conll18|gold-tokens|subtypes:off|punct:on|single-root|v:")


def test_what_is_counted_on_toy_treebanks_says_so(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    toys = embedded("Swedish-Demo").files("test")[0]
    for words in (["evaluate", toys, toys], ["evaluate", toys, toys, "--json"], ["evaluate", toys, toys, "--official"]):
        assert run(*words).err.splitlines() == [WARNING]
    assert run("compare", toys, toys, "--gold", toys, "--resamples", 9).err.splitlines() == [WARNING]
    assert run("evaluate", *pair).err == ""


def test_evaluate_json_has_counts_and_signature(run: Run, pair: tuple[Path, Path], english: list[Sentence]) -> None:
    words, heads, _ = counts(english[:30])
    found = json.loads(run("evaluate", *pair, "--json").out)
    assert found["uas"]["correct"] == heads
    assert found["uas"]["gold"] == words
    assert found["uas"]["f1"] == pytest.approx(100 * heads / words)
    assert found["signature"].startswith("LAS|")


def test_the_official_scorer_counts_the_same(run: Run, pair: tuple[Path, Path]) -> None:
    ours = json.loads(run("evaluate", *pair, "--json").out)
    official = json.loads(run("evaluate", *pair, "--official", "--json").out)
    for name in ("UAS", "LAS", "CLAS"):
        for count in ("correct", "gold", "system"):
            assert official[name][count] == ours[name.lower()][count]
        assert official[name]["f1"] == pytest.approx(ours[name.lower()]["f1"])
    shown = run("evaluate", *pair, "--official").out.splitlines()
    (row,) = [line.split("\t") for line in shown if line.startswith("LAS\t")]
    assert row[1:] == [f"{official['LAS']['f1']:.2f}", str(official["LAS"]["correct"]), str(official["LAS"]["gold"])]


def test_evaluate_refuses_unannotated_gold_and_other_words(
    run: Run, pair: tuple[Path, Path], conllu: Write, english: list[Sentence]
) -> None:
    gold = pair[0]
    partial = conllu("1\tHey\t_\t_\t_\t_\t_\t_\t_\t_\n\n", "partial.conllu")
    for words in ((partial, partial), (gold, partial)):
        ran = run("evaluate", *words)
        assert ran.code == 1
        assert "partial.conllu:1" in ran.err
    ran = run("evaluate", gold, conllu(english[1:31], "other.conllu"))
    assert ran.code == 1
    assert "not the words of gold sentence" in ran.err
    assert (
        "cannot be read"
        in run("evaluate", gold, gold.with_name("none.conllu"), "--official").err
        + run("evaluate", gold, gold.with_name("none.conllu")).err
    )


def test_compare_of_equal_outputs_finds_no_difference(run: Run, pair: tuple[Path, Path]) -> None:
    gold, system = pair
    found = json.loads(run("compare", system, system, "--gold", gold, "--resamples", 99, "--json").out)
    assert (found["n_sentences"], found["n_resamples"]) == (30, 99)
    for name in ("uas", "las", "clas"):
        assert found[name]["difference"] == found[name]["low"] == found[name]["high"] == 0
        assert found[name]["p_value"] == 1


def test_compare_shows_b_minus_a_with_interval_and_p_value(
    run: Run, pair: tuple[Path, Path], english: list[Sentence]
) -> None:
    gold, system = pair
    words, heads, _ = counts(english[:30])
    ran = run("compare", system, gold, "--gold", gold, "--resamples", 199, "--seed", 4)
    assert ran.code == 0
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert rows[0] == ["metric", "A", "B", "B - A", "95 %", "p"]
    uas = rows[1]
    assert uas[:4] == ["UAS", f"{100 * heads / words:.2f}", "100.00", f"{100 - 100 * heads / words:+.2f}"]
    assert uas[5] == "0.0050"  # (0 + 1) / (199 + 1)
    assert run("compare", system, gold, "--gold", gold, "--resamples", 199, "--seed", 4).out == ran.out


def test_compare_needs_gold(run: Run, pair: tuple[Path, Path]) -> None:
    ran = run("compare", *pair)
    assert ran.code == 2
    assert ran.err == "sublingual: --gold FILE is needed: A and B are compared by their scores against it\n"


def test_compare_without_resamples_is_wrong_usage(run: Run, pair: tuple[Path, Path]) -> None:
    assert run("compare", *pair, "--gold", pair[0], "--resamples", 0).code == 2
