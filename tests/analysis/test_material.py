"""Files of results: what each line is, told by what it holds; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.analysis.material import read_material
from sublingual.errors import DataError, SubnetworkError

Record = dict[str, Any]
Make = Callable[..., Record]
Write = Callable[..., Path]


def test_a_whole_study_is_sorted(study: list[Path]) -> None:
    found = read_material(study)
    assert len(found.runs) == 8 * 10 * 6 + 3 * 3 * 3
    assert len(found.own) == 4 * 3 * 2
    assert {run.method for run in found.own} == {"own"}
    assert [(run.system, run.training_seed) for run in found.conflicts][:3] == [
        ("nonep-full", 0),
        ("nonep-full", 1),
        ("nonep-static", 0),
    ]
    assert len(found.facts) == 14
    assert [(s.language, s.seeds) for s in found.subnetworks] == [
        (code, (seed,)) for code in ("ar", "cs", "no") for seed in (0, 1)
    ]


def test_kinds_may_share_a_file(record: Make, file_of: Write, study: list[Path]) -> None:
    facts = study[2].read_text(encoding="utf-8").splitlines()[0]
    found = read_material([file_of([record(), "", facts])])
    assert (len(found.runs), list(found.facts)) == (1, ["UD_English-EWT"])
    assert found.runs[0].place.endswith("records.jsonl:1")


def test_a_json_file_over_several_lines_is_one_object(study: list[Path], tmp_path: Path) -> None:
    (source,) = [path for path in study if path.name == "nonep-full-0.conflicts.json"]
    pretty = tmp_path / "conflicts.json"
    pretty.write_text(json.dumps(json.loads(source.read_text(encoding="utf-8")), indent=1), encoding="utf-8")
    found = read_material([pretty]).conflicts
    assert (len(found), found[0].place, len(found[0].steps)) == (1, str(pretty), 50)


def test_facts_of_two_releases_are_refused(study: list[Path], file_of: Write) -> None:
    lines = [json.loads(line) for line in study[2].read_text(encoding="utf-8").splitlines()]
    assert len(read_material([file_of([*lines, lines[0]])]).facts) == 14  # the same twice is no harm
    lines[0]["licence"] = "other"
    with pytest.raises(DataError, match=r"more.jsonl:1: other facts of UD_English-EWT than before"):
        read_material([study[2], file_of([lines[0]], "more.jsonl")])


def test_what_is_nothing_of_these_is_refused(file_of: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"records.jsonl:1: no JSON; a run that was cut short leaves half a line"):
        read_material([file_of(['{"system": "no'])])
    with pytest.raises(DataError, match=r"records.jsonl:1: no key 'system'"):
        read_material([file_of([{"a": 1}])])
    with pytest.raises(DataError, match=r"records.jsonl: no records"):
        read_material([file_of([])])
    with pytest.raises(DataError, match=r"missing.jsonl cannot be read: No such file"):
        read_material([tmp_path / "missing.jsonl"])
    with pytest.raises(SubnetworkError, match="is no subnetwork of format 1"):
        read_material([file_of([{"format": 7, "gates": []}], "x.json")])


def test_runs_of_different_support_sizes_are_apart_and_compared_only_with_a_reserve(
    record: Make, file_of: Write
) -> None:
    sizes = [record(n=n, reserve=100, support=["s"] * n, support_seed=0) for n in (5, 20, 100)]
    assert [run.n for run in read_material([file_of(sizes)]).runs] == [5, 20, 100]
    sizes[1]["adapted"]["n_words"] = 901
    with pytest.raises(DataError, match=r"records.jsonl:2: .* compare runs of one release"):
        read_material([file_of(sizes)])
    # Without a reserve a larger support leaves fewer sentences: nothing to compare, nothing to refuse.
    without = [record(n=5, support=["s"] * 5), record(n=20, support=["s"] * 20, sentences=85)]
    assert len(read_material([file_of(without)]).runs) == 2
