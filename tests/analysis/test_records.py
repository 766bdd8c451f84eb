"""Files of records: what is read, what is refused with file and line, what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sublingual.adaptation import AdaptConfig
from sublingual.analysis.records import Run, by_system, read_records, selected
from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.treebanks import treebank_at
from sublingual.errors import ConfigError, DataError
from sublingual.fewshot import fewshot, write_record
from sublingual.parsing import Parser

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

Record = dict[str, Any]
Make = Callable[..., Record]
Write = Callable[..., Path]
MakeRun = Callable[..., Run]


def test_a_record_becomes_a_run(record: Make, file_of: Write) -> None:
    path = file_of([record("meta-static", las=41.5, training_seed=3, support_seed=2), "", record(support_seed=2)])
    first, second = read_records([path])
    assert first == Run(
        system="meta-static",
        treebank="UD_Faroese-OFT",
        support_seed=2,
        training_seed=3,
        method="nearest",
        code="no",
        similarity=0.95,
        zero_shot=30.0,
        las=41.5,
        is_adapted=True,
        support=("s1", "s2"),
        n_sentences=100,
        n_words=900,
        cpu_seconds=36.0,
        settings='{"steps": 20}',
        place=f"{path}:1",
        gates_off=24,
    )
    assert second.place == f"{path}:3"


def test_what_few_shot_testing_writes_can_be_read(
    tiny_parser: Callable[..., BiaffineParser], demo: Callable[..., list[Sentence]], tmp_path: Path
) -> None:
    folder, path = tmp_path / "UD_Turkish-Own", tmp_path / "records.jsonl"
    folder.mkdir()
    write_conllu(demo("Turkish", 8), folder / "tr_own-ud-test.conllu")
    config = AdaptConfig(steps=2, precision="fp32")
    records = list(fewshot(Parser(tiny_parser()), treebank_at(folder), seeds=[0, 1], config=config, n=4))
    for each in records:
        write_record(path, each)
    runs = read_records([path])
    assert [run.las for run in runs] == [each["adapted"]["las"]["f1"] for each in records]
    assert [run.zero_shot for run in runs] == [each["zero_shot"]["las"]["f1"] for each in records]
    assert [(run.system, run.code, run.is_adapted) for run in runs] == [
        (each["system"], each["transfer"]["code"], each["is_adapted"]) for each in records
    ]


def test_several_files_are_read_in_turn(record: Make, file_of: Write) -> None:
    paths = [file_of([record(training_seed=seed)], f"{seed}.jsonl") for seed in (1, 0)]
    assert [run.training_seed for run in read_records(paths)] == [1, 0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"system": "none', r"records.jsonl:2: no JSON; a run that was cut short leaves half a line: delete it"),
        ("[1]", r"records.jsonl:2: no JSON object; each line is one record"),
    ],
)
def test_a_line_that_is_no_record_is_refused(line: str, message: str, record: Make, file_of: Write) -> None:
    with pytest.raises(DataError, match=message):
        read_records([file_of([record(), line])])


@pytest.mark.parametrize(
    "path", ["system", "training_seed", "transfer.code", "adapted.las.f1", "zero_shot", "cpu_seconds"]
)
def test_a_missing_key_is_named(path: str, record: Make, file_of: Write) -> None:
    found = record()
    *outer, last = path.split(".")
    inner = found
    for key in outer:
        inner = inner[key]
    del inner[last]
    with pytest.raises(
        DataError, match=rf"records.jsonl:1: no key '{path}'; a record of another kind or version: repeat"
    ):
        read_records([file_of([found])])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"support_seed": "0"}, r":1: 'support_seed' is '0': input should be a valid integer; repeat that run"),
        ({"adapted__las__f1": float("nan")}, r":1: 'adapted.las.f1' is nan: input should be less than or equal to 100"),
        ({"adapted__las__f1": 101}, r":1: 'adapted.las.f1' is 101: input should be less than or equal to 100"),
        ({"is_adapted": "yes"}, r":1: 'is_adapted' is 'yes': input should be a valid boolean"),
        ({"cpu_seconds": -1}, r":1: 'cpu_seconds' is -1: input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_named(changes: Record, message: str, record: Make, file_of: Write) -> None:
    with pytest.raises(DataError, match=message):
        read_records([file_of([record(**changes)])])


def test_a_run_that_is_there_twice_is_refused(record: Make, file_of: Write) -> None:
    first, second = file_of([record(las=40)], "a.jsonl"), file_of([record(support_seed=1), record(las=41)], "b.jsonl")
    message = (
        r"b.jsonl:2: the run of .*a.jsonl:1 again \(system nonep-full, UD_Faroese-OFT, training seed 0, support seed 0, "
        r"transfer nearest\); name one of the two files, or delete one of the lines"
    )
    with pytest.raises(DataError, match=message):
        read_records([first, second])


def test_each_part_of_the_key_makes_another_run(record: Make, file_of: Write) -> None:
    others = [
        record(),
        record("meta-full"),
        record(treebank="UD_Welsh-CCG"),
        record(training_seed=1),
        record(training_seed=None),
        record(support_seed=1),
        record(transfer__method="mixture"),
    ]
    assert len(read_records([file_of(others)])) == 7


@pytest.mark.parametrize("changes", [{"sentences": 90}, {"support": ["s1", "s3"]}, {"adapted__n_words": 800}])
def test_runs_on_other_sentences_cannot_stand_together(changes: Record, record: Make, file_of: Write) -> None:
    message = (
        r"records.jsonl:2: UD_Faroese-OFT, support seed 0: .* in .*records.jsonl:1; compare runs of one release, --cap"
    )
    with pytest.raises(DataError, match=message):
        read_records([file_of([record(), record("meta-full", **changes)])])
    read_records([file_of([record(), record("meta-full", **changes, support_seed=1)])])


def test_a_file_without_records_is_refused(file_of: Write, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"records.jsonl: no records; name a file that `sublingual fewshot --records` wrote"
    ):
        read_records([file_of(["", " "])])
    with pytest.raises(
        DataError, match=r"none.jsonl cannot be read: No such file or directory; name a file of records"
    ):
        read_records([tmp_path / "none.jsonl"])


def test_systems_and_treebanks_can_be_selected(run_of: MakeRun) -> None:
    runs = [run_of(system, treebank, 1.0) for system in ("a", "b") for treebank in ("x", "y")]
    assert selected(runs) == tuple(runs)
    assert [run.key[:2] for run in selected(runs, systems=["b"])] == [("b", "x"), ("b", "y")]
    assert [run.key[:2] for run in selected(runs, systems=["b"], treebanks=["y"])] == [("b", "y")]
    with pytest.raises(ConfigError, match="no record of system 'c'; there are: a, b"):
        selected(runs, systems=["c"])
    many = [run_of("nonep-static", "UD_Welsh-CCG", 1.0)]
    with pytest.raises(ConfigError, match="no record of treebank 'UD_Welch-CCG'; did you mean 'UD_Welsh-CCG'?"):
        selected(many, treebanks=["UD_Welch-CCG"])


def test_other_ways_of_transfer_are_rows_of_their_own(run_of: MakeRun) -> None:
    runs = [run_of("nonep-static", "x", 1.0, method=method) for method in ("mixture", "nearest", "full")]
    runs.append(run_of("stage1", "x", 1.0, method="full"))
    assert list(by_system(runs)) == ["nonep-static (mixture)", "nonep-static", "nonep-static (full)", "stage1"]


def test_records_are_what_json_makes_of_them(record: Make, file_of: Write) -> None:
    assert "é" in read_records([file_of([json.dumps(record(system="é"), ensure_ascii=False)])])[0].system


def test_another_size_of_support_is_in_the_name(run_of: MakeRun) -> None:
    runs = [run_of("a", "x", 1.0, n=20), run_of("a", "x", 1.0, n=5), run_of("a", "x", 1.0, n=20, reserve=100)]
    runs.append(run_of("a", "y", 1.0, method="random", n=5))
    assert list(by_system(runs)) == ["a", "a (n=5)", "a (n=20 of 100)", "a (random, n=5)"]


def test_what_newer_records_say_is_kept(study: list[Path]) -> None:
    run = read_records([study[0]])[0]
    assert run.details.by_sentence is not None
    assert sum(n or 0 for n in run.details.by_sentence.las) == run.las
    assert run.details.breakdown is not None
    assert run.details.breakdown.labels["nsubj"][0] == 40
    assert run.details.parser is not None
    assert run.details.parser.data[0].name == "UD_English-EWT"
    assert (run.n, run.reserve, run.gates_off, run.details.signature) == (20, None, 24, "LAS|made-up")


def test_a_test_without_support_is_no_few_shot_test(study: list[Path]) -> None:
    runs = read_records([study[1]])
    assert not any(run.is_fewshot for run in runs)
    assert {run.code for run in runs} == {"ar", "cs", "no"}
    assert {run.las for run in runs} == {70.0, 80.0}
