"""Few-shot testing as a library: one record a seed, equal sentences for both systems, the rows of the summary."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.analysis.records import read_records
from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.downloads import sha256_of
from sublingual.data.embedded import embedded
from sublingual.data.support import draw_support
from sublingual.data.treebanks import Treebank, treebank_at
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.fewshot import _sample, fewshot, summary, unadapted, write_record
from sublingual.model.card import About
from sublingual.parsing import Parser
from sublingual.scoring import score

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

FEW = AdaptConfig(steps=2, precision="fp32")


@pytest.fixture
def parser(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser())


@pytest.fixture
def treebank(tmp_path: Path, demo: Callable[..., list[Sentence]]) -> Treebank:
    """Twelve Turkish test sentences, two of which have the same words as others, and no dev."""
    folder = tmp_path / "UD_Turkish-Own"
    folder.mkdir()
    found = demo("Turkish", 10)
    write_conllu([*found, found[0], found[1]], folder / "tr_own-ud-test.conllu")
    return treebank_at(folder)


def test_a_record_a_seed_with_scores_of_the_same_sentences(parser: Parser, treebank: Treebank) -> None:
    records = list(fewshot(parser, treebank, seeds=[4, 2], config=FEW, n=5))
    assert [record["support_seed"] for record in records] == [4, 2]
    test = treebank.sentences("test")
    for record in records:
        assert len(record["support"]) == 5
        assert record["sentences"] + record["repeated_left_out"] == 7
        words = {s.words for s in test if s.sent_id in record["support"]}
        left = [s for s in test if s.words not in words]
        assert record["zero_shot"] == score(left, parser.parse(left)).as_dict()
        assert record["adapted"]["n_words"] == record["zero_shot"]["n_words"] == sum(len(s.words) for s in left)
        assert record["training_seed"] is None


def test_the_breakdown_and_the_sentences_add_up_to_the_score(parser: Parser, treebank: Treebank) -> None:
    for record in fewshot(parser, treebank, seeds=[0, 1], config=FEW, n=5):
        adapted = record["adapted"]
        for name, metric in [("labels", "las_full"), ("relations", "las"), ("lengths", "las")]:
            rows = record["breakdown"][name].values()
            assert sum(row[0] for row in rows) == adapted["n_words"]
            assert sum(row[3] for row in rows) == adapted[metric]["correct"]
        places = record["by_sentence"]
        assert len(places["words"]) == len(places["las"]) == 12
        scored = [(n, right) for n, right in zip(places["words"], places["las"], strict=True) if right is not None]
        assert len(scored) == record["sentences"]
        assert sum(n for n, _ in scored) == adapted["n_words"]
        assert sum(right for _, right in scored) == adapted["las"]["correct"]
        test = treebank.sentences("test")
        assert places["words"] == [len(s.words) for s in test]
        support = {s.words for s in test if s.sent_id in record["support"]}
        assert [right is None for right in places["las"]] == [s.words in support for s in test]


def test_of_a_capped_test_the_places_are_those_of_the_sample(parser: Parser, treebank: Treebank) -> None:
    a, b = fewshot(parser, treebank, seeds=[0, 1], config=FEW, n=2, cap=6)
    assert a["by_sentence"]["words"] == b["by_sentence"]["words"]
    assert len(a["by_sentence"]["las"]) == 6
    assert sum(right is not None for right in a["by_sentence"]["las"]) == a["sentences"]


def test_with_a_reserve_supports_are_nested_and_score_the_same_sentences(parser: Parser, treebank: Treebank) -> None:
    (few,) = fewshot(parser, treebank, seeds=[3], config=FEW, n=2, reserve=6, cap=100)
    (more,) = fewshot(parser, treebank, seeds=[3], config=FEW, n=5, reserve=6, cap=100)
    assert more["support"][:2] == few["support"]
    assert more["scored"] == few["scored"]
    assert not {*few["scored"]} & {*more["support"]}
    assert (few["n"], few["reserve"], more["n"]) == (2, 6, 5)


def test_keeping_repeated_sentences_scores_them(parser: Parser, treebank: Treebank) -> None:
    (record,) = fewshot(parser, treebank, seeds=[0], config=FEW, n=5, keep_repeated=True)
    assert (record["sentences"], record["repeated_left_out"]) == (7, 0)


def test_seeds_do_not_depend_on_each_other(parser: Parser, treebank: Treebank) -> None:
    both = list(fewshot(parser, treebank, seeds=[0, 1], config=FEW, n=5))
    (alone,) = fewshot(parser, treebank, seeds=[1], config=FEW, n=5)
    clocks = {"seconds", "cpu_seconds"}
    assert {k: v for k, v in both[1].items() if k not in clocks} == {k: v for k, v in alone.items() if k not in clocks}


def test_steps_that_diverge_name_the_treebank_and_the_seed(parser: Parser, treebank: Treebank) -> None:
    wild = AdaptConfig(steps=5, optimizer="sgd", encoder_rate=1e30, classifier_rate=1e30, precision="fp32")
    with pytest.raises(TrainingError, match=r"UD_Turkish-Own, support seed 3: the loss of adaptation step \d is"):
        list(fewshot(parser, treebank, seeds=[3], config=wild, n=5))


@pytest.mark.parametrize("method", ["nearest", "importance"])
def test_a_support_set_with_a_label_that_is_none_of_ud_names_the_treebank_and_the_seed(
    parser: Parser, treebank: Treebank, method: str
) -> None:
    (file,) = treebank.files("test")
    file.write_text(file.read_text("utf-8").replace("\tpunct\t", "\tzzz\t"), encoding="utf-8")
    one = replace(parser, subnetworks={"ar": torch.ones(2, 2), "et": torch.eye(2)})
    with pytest.raises(DataError, match=r"UD_Turkish-Own, support seed 3: .*the label 'zzz' has no universal relation"):
        next(fewshot(one, treebank, seeds=[3], config=FEW, n=5, method=method))


def test_a_support_set_smaller_than_asked_for_is_said_once(
    parser: Parser, treebank: Treebank, demo: Callable[..., list[Sentence]], caplog: pytest.LogCaptureFixture
) -> None:
    write_conllu(demo("Turkish", 14)[10:], treebank.folder / "tr_own-ud-dev.conllu")
    records = list(fewshot(parser, treebank_at(treebank.folder), seeds=[0, 1], config=FEW, n=5))
    assert [len(record["support"]) for record in records] == [4, 4]
    assert [r.getMessage() for r in caplog.records] == [
        "UD_Turkish-Own: its dev split has 4 sentences, all of which are the support set of 5 that was asked for"
    ]


def test_a_dev_file_without_sentences_is_no_support_set(parser: Parser, treebank: Treebank) -> None:
    (treebank.folder / "tr_own-ud-dev.conllu").touch()
    with pytest.raises(DataError, match="UD_Turkish-Own, support seed 0: the support set has no word with a head"):
        next(fewshot(parser, treebank_at(treebank.folder), seeds=[0], config=FEW, n=5))


def test_without_steps_adapted_is_zero_shot(parser: Parser, treebank: Treebank) -> None:
    (record,) = fewshot(parser, treebank, seeds=[0], config=AdaptConfig(steps=0), n=5)
    assert record["adapted"] == record["zero_shot"]
    assert record["loss"]["before"] == record["loss"]["after"]
    assert not record["is_adapted"]


def test_a_treebank_of_no_known_language_has_no_transfer(parser: Parser, treebank: Treebank) -> None:
    folder = treebank.folder.rename(treebank.folder.with_name("UD_Elvish-Own"))
    (record,) = fewshot(parser, treebank_at(folder), seeds=[0], config=FEW, n=5)
    assert record["transfer"] == {"method": "full", "code": None, "similarity": None, "gates_off": 0}
    assert summary([record])[0]["similarity"] is None


def test_a_parser_with_subnetworks_runs_in_the_nearest_ones(parser: Parser, treebank: Treebank) -> None:
    off = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    one = replace(parser, subnetworks={"ar": torch.ones(2, 2), "et": off})
    (record,) = fewshot(one, treebank, seeds=[0], config=FEW, n=5)
    assert record["transfer"]["code"] == "et"
    assert (record["transfer"]["method"], record["transfer"]["gates_off"]) == ("nearest", 2)
    gated = replace(parser, gates=off)
    rest = [s for s in treebank.sentences("test") if s.sent_id not in record["support"]]
    left = [
        s
        for s in rest
        if s.words not in {t.words for t in treebank.sentences("test") if t.sent_id in record["support"]}
    ]
    assert record["zero_shot"] == score(left, gated.parse(left)).as_dict() != score(left, parser.parse(left)).as_dict()
    support = draw_support(treebank, treebank.sentences("test"), seed=0, n=5).support
    parsed = adapt(gated, support, config=FEW, seed=0).parser.parse(left)
    assert record["adapted"] == score(left, parsed).as_dict()


def test_a_cap_scores_the_same_sample_for_every_seed(parser: Parser, treebank: Treebank) -> None:
    a, b = fewshot(parser, treebank, seeds=[0, 1], config=FEW, n=2, cap=6)
    assert a["test_sentences"] == b["test_sentences"] == 12
    assert len(a["scored"]) == a["sentences"] <= 6
    assert len({*a["scored"], *b["scored"]}) <= 6
    (whole,) = fewshot(parser, treebank, seeds=[0], config=FEW, n=2, cap=100)
    assert whole["sentences"] >= 8
    assert whole["support"] == a["support"]


def test_the_capped_sample_is_not_a_support_draw() -> None:
    drawn = set(np.random.default_rng(0).permutation(400)[:20].tolist())
    assert len(drawn & set(_sample(400, 100))) < 15


def test_new_labels_are_in_the_record(parser: Parser, treebank: Treebank) -> None:
    (file,) = treebank.files("test")
    file.write_text(file.read_text("utf-8").replace("\troot\t", "\troot:zzz\t"), encoding="utf-8")
    (record,) = fewshot(parser, treebank, seeds=[0], config=FEW, n=5)
    assert record["new_labels"] == ["root:zzz"]


def test_a_test_treebanks_own_train_file_is_not_read(parser: Parser, treebank: Treebank) -> None:
    clocks = {"seconds", "cpu_seconds"}
    (without,) = fewshot(parser, treebank, seeds=[0], config=FEW, n=5)
    (treebank.folder / "tr_own-ud-train.conllu").write_bytes(b"no line of CoNLL-U\xff")
    (beside,) = fewshot(parser, treebank_at(treebank.folder), seeds=[0], config=FEW, n=5)
    assert {k: v for k, v in beside.items() if k not in clocks} == {k: v for k, v in without.items() if k not in clocks}


def test_a_treebank_without_test_is_refused(parser: Parser, tmp_path: Path) -> None:
    folder = tmp_path / "UD_English-Own"
    folder.mkdir()
    write_conllu(embedded("English-Demo").sentences("dev"), folder / "en_own-ud-dev.conllu")
    with pytest.raises(DataError, match="no test split; there is dev"):
        next(fewshot(parser, treebank_at(folder), seeds=[0]))


def made_up(treebank: str, zero: float, adapted: float, *, is_adapted: bool = True) -> dict[str, Any]:
    return {
        "system": "stage1",
        "treebank": treebank,
        "is_adapted": is_adapted,
        "transfer": {"code": "no", "similarity": 0.9},
        "zero_shot": {"las": {"f1": zero}},
        "adapted": {"las": {"f1": adapted}},
        "sentences": 30,
    }


def test_the_summary_is_mean_and_sample_deviation_by_treebank_in_order() -> None:
    records = [made_up("B", 10, 20), made_up("A", 1, 2), made_up("B", 12, 29), made_up("B", 11, 26)]
    rows = summary(records)
    assert [row["treebank"] for row in rows] == ["B", "A"]
    assert rows[0] == {
        "system": "stage1",
        "treebank": "B",
        "transfer": "no",
        "similarity": 0.9,
        "zero_shot_las": 11,
        "adapted_las": round(mean([20, 29, 26]), 2),
        "sd": round(stdev([20, 29, 26]), 2),
        "seeds": 3,
        "sentences": 30,
    }
    assert rows[1]["sd"] is None
    assert summary([]) == []


def test_what_did_not_lower_its_support_loss_is_not_reported_as_adapted() -> None:
    (row,) = summary([made_up("A", 1, 9), made_up("A", 1, 9, is_adapted=False)])
    assert (row["zero_shot_las"], row["adapted_las"], row["sd"]) == (1, None, None)


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"support": ["sætning-1"]}, {"support": ["b"]}]
    for record in records:
        write_record(tmp_path / "r.jsonl", record)
    text = (tmp_path / "r.jsonl").read_text("utf-8")
    assert [json.loads(line) for line in text.splitlines()] == records
    assert "sætning-1" in text


def test_a_full_disk_is_named_and_leaves_the_records_before_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_record(path, {"a": 1})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        with pytest.raises(
            DataError, match=r"r.jsonl: a record could not be written \(.*too large\); those before are whole"
        ):
            write_record(path, {"b": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before


def test_a_language_is_scored_in_its_own_subnetwork_without_adaptation(parser: Parser, treebank: Treebank) -> None:
    off = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    one = replace(parser, subnetworks={"ar": torch.ones(2, 2), "tr": off})
    gold = treebank.sentences("test")
    found = unadapted(one, "tr", treebank.files("test"))
    assert found["zero_shot"] == score(gold, replace(parser, gates=off).parse(gold)).as_dict()
    assert found["zero_shot"] != score(gold, parser.parse(gold)).as_dict()
    assert (found["treebank"], found["language"], found["sentences"]) == ("UD_Turkish-Own", "tr", 12)
    assert found["transfer"] == {"method": "own", "code": "tr", "similarity": None, "gates_off": 2}
    assert (found["adapted"], found["support_seed"]) == (None, None)
    whole = unadapted(parser, "tr", treebank.files("test"), cap=5)
    assert (whole["transfer"]["method"], whole["sentences"], whole["test_sentences"]) == ("full", 5, 12)
    with pytest.raises(ConfigError, match=r"no subnetwork of tr; it has those of ar: choose another way of transfer"):
        unadapted(replace(parser, subnetworks={"ar": off}), "tr", treebank.files("test"))


def test_what_a_parser_was_trained_with_is_not_scored(parser: Parser, treebank: Treebank) -> None:
    (path,) = treebank.files("test")
    seen = replace(parser, about=About(data=({"file": path.name, "use": "train", "sha256": sha256_of(path)},)))
    with pytest.raises(DataError, match=r"tr_own-ud-test.conllu: the parser was trained with this file \(train\)"):
        unadapted(seen, "tr", [path])


def test_records_with_and_without_adaptation_make_one_kind_of_run(
    parser: Parser, treebank: Treebank, tmp_path: Path
) -> None:
    write_record(tmp_path / "r.jsonl", first := unadapted(parser, "tr", treebank.files("test"), system="a"))
    write_record(tmp_path / "r.jsonl", unadapted(parser, "tr", treebank.files("test"), system="b"))
    a, b = read_records([tmp_path / "r.jsonl"])
    assert (a.system, b.system, a.las, a.is_adapted) == ("a", "b", first["zero_shot"]["las"]["f1"], True)
