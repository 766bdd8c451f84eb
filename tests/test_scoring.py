"""The oracle of scoring is udtools' udeval, count by count; a plain loop covers what it does not count."""

from __future__ import annotations

import builtins
import gzip
import io
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from udtools import udeval

from sublingual.data.conllu import Sentence, parse_conllu, read_conllu
from sublingual.errors import ConfigError, DataError
from sublingual.scoring import METRICS, Metric, Score, official_score, score, sentence_counts, signature

LABELS = [
    "nsubj",
    "nsubj:pass",
    "obj",
    "punct",
    "case",
    "cc",
    "det:poss",
    "flat",
    "root",
    "dep:infl",
    "invented",
    "cop",
]
OFFICIAL = ("uas", "las", "clas")


def random_tree(generator: np.random.Generator, n_words: int) -> list[int]:
    """Return the heads of a single-root tree, in which any word may be the root."""
    order = (generator.permutation(n_words) + 1).tolist()
    heads = [0] * n_words
    for place in range(1, n_words):
        heads[order[place] - 1] = order[generator.integers(place)]
    return heads


def reattached(generator: np.random.Generator, heads: Sequence[int | None], *, share: float) -> list[int]:
    """Return the tree with a share of its leaves under other words."""
    changed = [int(head or 0) for head in heads]
    for word in range(1, len(changed) + 1):
        if word not in changed and changed[word - 1] and generator.random() < share:
            other = int(generator.integers(1, len(changed)))
            changed[word - 1] = other + (other >= word)
    return changed


def perturbed(generator: np.random.Generator, gold: Iterable[Sentence]) -> list[Sentence]:
    """Return sentences with other trees and labels: leaves moved, now and then all heads, a quarter of the labels."""
    gold = list(gold)
    known = sorted({label for sentence in gold for label in sentence.labels if label})
    system = []
    for sentence in gold:
        heads = reattached(generator, sentence.heads, share=0.3)
        if generator.random() < 0.1:
            heads = random_tree(generator, len(heads))
        labels = [
            known[generator.integers(len(known))] if generator.random() < 0.25 else str(label)
            for label in sentence.labels
        ]
        system.append(sentence.with_tree(heads, labels))
    return system


def made_up_treebank(generator: np.random.Generator, n_sentences: int) -> list[Sentence]:
    """Return sentences with multiword ranges, an empty node now and then, and a space in some forms."""
    lines = []
    for number in range(n_sentences):
        n_words = int(generator.integers(1, 15))
        heads = random_tree(generator, n_words)
        lines.append(f"# sent_id = s{number}")
        for word in range(1, n_words + 1):
            if word + 1 <= n_words and word % 5 == 1 and generator.random() < 0.4:
                lines.append("\t".join([f"{word}-{word + 1}", f"ab{word}", *"________"]))
            form = f"w {word}" if word % 5 == 4 else f"w{word % 3}"
            label = LABELS[generator.integers(len(LABELS))]
            lines.append("\t".join([str(word), form, *"____", str(heads[word - 1]), label, "_", "_"]))
        if generator.random() < 0.2:
            lines.append("\t".join([f"{n_words}.1", "void", *"________"]))
        lines.append("")
    return parse_conllu("\n".join([*lines, ""]))


def udeval_counts(gold: Iterable[Sentence], system: Iterable[Sentence]) -> dict[str, Metric]:
    sides = []
    for sentences in (gold, system):
        text = io.StringIO("".join(sentence.to_conllu() for sentence in sentences))
        sides.append(udeval.load_conllu(text, "memory", {}))
    found = udeval.evaluate(*sides)
    return {name: as_metric(found[name.upper()]) for name in OFFICIAL}


def as_metric(found: Any) -> Metric:
    return Metric(found.correct, found.gold_total, found.system_total, found.aligned_total)


def our_counts(scored: Score) -> dict[str, Metric]:
    return {name: getattr(scored, name) for name in OFFICIAL}


def sentence(heads: Sequence[int | None], labels: Sequence[str | None], *, words: Sequence[str] = ()) -> Sentence:
    return Sentence.from_words(words or [f"w{i}" for i in range(len(heads))], heads=heads, labels=labels, sent_id="x-1")


GOLD = sentence([2, 0, 2, 3], ["nsubj", "root", "obl:tmod", "punct"])


def test_counts_equal_those_of_udeval_on_made_up_treebanks() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        gold = made_up_treebank(generator, 30)
        system = perturbed(generator, gold)
        assert our_counts(score(gold, system)) == udeval_counts(gold, system)


def compare_with_udeval(path: Path, *, n_sentences: int | None) -> None:
    gold = read_conllu(path)[:n_sentences]
    system = perturbed(np.random.default_rng(len(gold)), gold)
    ours = our_counts(score(gold, system))
    assert ours == udeval_counts(gold, system), path.name
    assert 0 < ours["las"].correct < ours["uas"].correct < ours["uas"].gold
    assert ours["clas"].gold != ours["clas"].system


@pytest.mark.data
def test_counts_equal_those_of_udeval_on_each_treebank(ud: Path) -> None:
    paths = sorted(ud.glob("*/*-ud-test.conllu"))
    assert len(paths) >= 86
    for path in paths:
        compare_with_udeval(path, n_sentences=200)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_counts_equal_those_of_udeval_on_each_whole_treebank(ud: Path) -> None:
    for path in sorted(ud.glob("*/*-ud-test.conllu")):
        compare_with_udeval(path, n_sentences=None)


def test_rates_equal_those_of_udeval() -> None:
    generator = np.random.default_rng(1)
    gold = made_up_treebank(generator, 40)
    system = perturbed(generator, gold)
    sides = [udeval.load_conllu(io.StringIO("".join(map(Sentence.to_conllu, side))), "", {}) for side in (gold, system)]
    expected = udeval.evaluate(*sides)["CLAS"]
    ours = score(gold, system).clas
    assert ours.precision == pytest.approx(100 * expected.precision)
    assert ours.recall == pytest.approx(100 * expected.recall)
    assert ours.f1 == pytest.approx(100 * expected.f1)
    assert ours.precision != ours.recall


def test_sentence_counts_equal_a_plain_loop() -> None:
    generator = np.random.default_rng(2)
    gold = made_up_treebank(generator, 100)
    system = perturbed(generator, gold)
    counts = sentence_counts(gold, system)
    for one, other, row in zip(gold, system, counts, strict=True):
        expected = dict.fromkeys(("uas", "las", "las_full", "label", "label_full"), 0)
        for word in range(len(one.words)):
            head = one.heads[word] == other.heads[word]
            full = one.labels[word] == other.labels[word]
            label = str(one.labels[word]).split(":")[0] == str(other.labels[word]).split(":")[0]
            expected["uas"] += head
            expected["las"] += head and label
            expected["las_full"] += head and full
            expected["label"] += label
            expected["label_full"] += full
        assert {name: row[name] for name in expected} == expected
        assert row["words"] == len(one.words)


def test_the_scores_of_a_file_are_the_sums_over_its_sentences() -> None:
    generator = np.random.default_rng(3)
    gold = made_up_treebank(generator, 25)
    system = perturbed(generator, gold)
    alone = [udeval_counts([one], [other])["clas"] for one, other in zip(gold, system, strict=True)]
    counts = sentence_counts(gold, system)
    assert counts["clas"].tolist() == [metric.correct for metric in alone]
    assert counts["content_gold"].tolist() == [metric.gold for metric in alone]
    assert counts["content_system"].tolist() == [metric.system for metric in alone]


def test_a_file_scores_itself_full() -> None:
    gold = made_up_treebank(np.random.default_rng(4), 30)
    scored = score(gold, gold)
    assert {getattr(scored, name).f1 for name in METRICS} == {100.0}
    assert (scored.n_sentences, scored.n_words) == (30, sum(len(one.words) for one in gold))


def test_subtypes_are_ignored_by_las_and_seen_by_full_las() -> None:
    scored = score([GOLD], [GOLD.with_tree([2, 0, 2, 3], ["nsubj:pass", "root", "obl", "punct"])])
    assert (scored.las.f1, scored.las_full.f1, scored.label.f1, scored.label_full.f1) == (100, 50, 100, 50)


def test_punctuation_counts_in_las_and_not_in_clas() -> None:
    scored = score([GOLD], [GOLD.with_tree([2, 0, 2, 2], ["nsubj", "root", "obl", "punct"])])
    assert scored.las.f1 == 75
    assert scored.clas == Metric(correct=3, gold=3, system=3, aligned=3)


def test_content_words_are_those_of_each_sides_own_labels() -> None:
    scored = score([GOLD], [GOLD.with_tree([2, 0, 2, 3], ["case", "root", "obl", "dep"])])
    assert scored.clas == Metric(correct=2, gold=3, system=3, aligned=3)
    scored = score([GOLD], [GOLD.with_tree([2, 0, 2, 3], ["case", "root", "obl", "punct"])])
    assert scored.clas == Metric(correct=2, gold=3, system=2, aligned=3)
    assert (scored.clas.precision, scored.clas.f1) == (100, 80)


def test_a_file_without_content_words_or_sentences_scores_nothing_and_does_not_divide_by_zero() -> None:
    odd = sentence([0], ["punct"])
    assert score([odd], [odd]).clas.f1 == 0
    assert score([], []).las == Metric(0, 0, 0, 0)
    assert (score([], []).las.precision, score([], []).las.recall) == (0, 0)


def test_five_thousand_words_in_a_chain_are_scored() -> None:
    """The official scorer's recursion gives up on them."""
    chain = sentence([*range(5000)], ["root", *["dep"] * 4999])
    assert score([chain], [chain]).las.correct == 5000


def test_the_plain_form_holds_counts_and_rates() -> None:
    plain = score([GOLD], [GOLD.with_tree([2, 0, 2, 2], ["nsubj", "root", "obl", "punct"])]).as_dict()
    assert plain["n_words"] == 4
    assert plain["las"] == {
        "correct": 3,
        "gold": 4,
        "system": 4,
        "aligned": 4,
        "precision": 75.0,
        "recall": 75.0,
        "f1": 75.0,
    }


def test_spaces_inside_forms_do_not_count() -> None:
    spaced, joined = sentence([0], ["root"], words=["10 000"]), sentence([0], ["root"], words=["10\u00a0000"])
    assert score([spaced], [joined]).las.f1 == 100


def test_another_word_is_refused_by_name() -> None:
    other = sentence([2, 0], ["det", "root"], words=["The", "cat"])
    gold = sentence([2, 0], ["det", "root"], words=["The", "dog"])
    with pytest.raises(DataError, match=r"sent_id x-1.*word 2 is 'cat', in gold 'dog'; score parses of the gold words"):
        score([gold], [other])


def test_another_number_of_words_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"sent_id x-1.*3 words, in gold 4; score parses of the gold words"):
        score([GOLD], [sentence([0, 1, 1], ["root", "dep", "dep"])])


@pytest.mark.parametrize(("n_gold", "n_system"), [(3, 2), (2, 3)])
def test_another_number_of_sentences_is_refused_by_name(n_gold: int, n_system: int) -> None:
    message = rf"sent_id x-1.*without a counterpart, gold has {n_gold} sentences and system {n_system}; score a parse"
    with pytest.raises(DataError, match=message):
        score([GOLD] * n_gold, [GOLD] * n_system)


@pytest.mark.parametrize("side", ["gold", "system"])
def test_words_that_are_not_annotated_are_refused_by_name(side: str) -> None:
    headless = sentence([2, 0, None, 3], ["nsubj", "root", "obl", "punct"])
    unlabelled = sentence([2, 0, 2, 3], ["nsubj", None, "obl", "punct"])
    for partial, fault in ((headless, "word 3 has no HEAD"), (unlabelled, "word 2 has no DEPREL")):
        pair = ([partial], [GOLD]) if side == "gold" else ([GOLD], [partial])
        with pytest.raises(DataError, match=rf"sent_id x-1.*{fault} in {side}; scoring needs every word annotated"):
            score(*pair)


@pytest.mark.parametrize(
    ("heads", "fault"),
    [
        ([0, 0, 1, 1], "2 words have head 0"),
        ([2, 1, 0, 3], "words 1, 2 form a cycle"),
        ([2, 3, 1, 1], "words 1, 2, 3 form a cycle"),
        ([0, 1, 9, 1], "head 9 but the sentence has 4 words"),
    ],
)
def test_what_is_no_single_root_tree_is_refused_by_name(heads: list[int], fault: str) -> None:
    columns = [[str(i + 1), f"w{i}", *"____", str(head), "dep", "_", "_"] for i, head in enumerate(heads)]
    bad = Sentence(("# sent_id = x-1",), tuple(map(tuple, columns)), "bad.conllu", 8)
    with pytest.raises(DataError, match=rf"bad.conllu:8 \(sent_id x-1\): no single-root tree in system, {fault}; the"):
        score([GOLD, GOLD], [GOLD, bad])


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("las", "LAS|conll18|gold-tokens|subtypes:off|punct:on|single-root"),
        ("las_full", "LAS|conll18|gold-tokens|subtypes:on|punct:on|single-root"),
        ("uas", "UAS|conll18|gold-tokens|punct:on|single-root"),
        ("clas", "CLAS|conll18|gold-tokens|subtypes:off|punct:off|single-root"),
    ],
)
def test_the_signature_says_how_a_number_was_counted(metric: str, line: str) -> None:
    assert signature(metric) == f"{line}|v:{version('sublingual')}"


def test_an_unknown_metric_has_no_signature() -> None:
    with pytest.raises(ConfigError, match="metric 'mlas': one of uas, las, clas"):
        signature("mlas")


def written(path: Path, sentences: Iterable[Sentence]) -> Path:
    path.write_text("".join(one.to_conllu() for one in sentences), encoding="utf-8")
    return path


def test_the_official_score_is_that_of_udtools(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    gold = made_up_treebank(generator, 20)
    system = perturbed(generator, gold)
    official = official_score(written(tmp_path / "gold.conllu", gold), written(tmp_path / "system.conllu", system))
    assert {name: official[name.upper()] for name in OFFICIAL} == our_counts(score(gold, system))
    assert {"Words", "MLAS", "BLEX"} < set(official)


def test_the_official_score_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_udtools(name: str, *arguments: Any) -> Any:
        if name == "udtools":
            raise ModuleNotFoundError("No module named 'udtools'")
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_udtools)
    with pytest.raises(ConfigError, match=r"udtools.*is missing: pip install 'sublingual\[official\]'"):
        official_score("gold.conllu", "system.conllu")


@pytest.mark.parametrize(
    "text", ["1\tword\n\n", "1\tw\t_\t_\t_\t_\t_\t_\t_\t_\n\n", "1\tw\t_\t_\t_\t_\t0\troot\t_\t_\n"]
)
def test_what_the_official_scorer_refuses_is_our_error(tmp_path: Path, text: str) -> None:
    good, bad = written(tmp_path / "good.conllu", [GOLD]), tmp_path / "bad.conllu"
    bad.write_text(text)
    with pytest.raises(DataError, match=r"bad\.conllu: refused by the official scorer: .*sublingual check"):
        official_score(good, bad)


def test_what_cannot_be_read_is_named_before_the_official_scorer_sees_it(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good.conllu", [GOLD]), tmp_path / "bad.conllu"
    with pytest.raises(DataError, match=r"bad\.conllu: cannot be read: No such file"):
        official_score(good, bad)
    bad.write_bytes(good.read_bytes().replace(b"w0", b"\xe9"))
    with pytest.raises(DataError, match=r"bad\.conllu:2: byte 0xe9 is no UTF-8; looks like Latin-1"):
        official_score(good, bad)
    bad.write_bytes(gzip.compress(good.read_bytes()))
    assert official_score(good, bad)["LAS"].f1 == 100


def test_the_official_scorers_recursion_is_our_error(tmp_path: Path) -> None:
    chain = written(tmp_path / "chain.conllu", [sentence([*range(2, 5001), 0], [*["dep"] * 4999, "root"])])
    with pytest.raises(DataError, match="refused by the official scorer: .*recursion"):
        official_score(chain, chain)


def test_files_of_other_text_are_refused_by_both_names(tmp_path: Path) -> None:
    one = written(tmp_path / "one.conllu", [sentence([0], ["root"], words=["a"])])
    two = written(tmp_path / "two.conllu", [sentence([0], ["root"], words=["b"])])
    with pytest.raises(DataError, match=r"two\.conllu: the official scorer cannot align it with .*one\.conllu"):
        official_score(one, two)
