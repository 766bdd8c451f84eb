"""The UD tools' own 96 test cases: what a parser's reader must refuse, take with a warning, and take.

The classes say what a parser's reader must do with each case; fault ids and lines were read off the files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sublingual.data.conllu import read_conllu
from sublingual.data.faults import check
from sublingual.errors import DataError

pytestmark = pytest.mark.data

REFUSED = {
    "invalid-level1/columns-format-minimal": ("invalid-whitespace", 4),
    "invalid-level1/columns-format": ("number-of-columns", 4),
    "invalid-level1/duplicate-id": ("word-id-sequence", 5),
    "invalid-level1/empty-field": ("empty-column", 4),
    "invalid-level1/empty-head": ("empty-column", 4),
    "invalid-level1/id-starting-from-2": ("word-id-sequence", 9),
    "invalid-level1/id-with-extra-0": ("invalid-word-id", 4),
    "invalid-level1/invalid-line": ("invalid-line", 5),
    "invalid-level1/invalid-range": ("reversed-word-interval", 5),
    "invalid-level1/invalid-word-id": ("invalid-word-id", 4),
    "invalid-level1/invalid-word-interval": ("invalid-word-interval", 5),
    "invalid-level1/misordered-multiword": ("misplaced-word-interval", 7),
    "invalid-level1/misplaced-comment": ("misplaced-comment", 4),
    "invalid-level1/misplaced-comment-mid": ("misplaced-comment", 6),
    "invalid-level1/misplaced-range": ("misplaced-word-interval", 7),
    "invalid-level1/misplaced-word-interval": ("misplaced-word-interval", 7),
    "invalid-level1/nan-id": ("invalid-line", 9),
    "invalid-level1/nonsequential-id": ("word-id-sequence", 5),
    "invalid-level1/out-of-bounds-range": ("word-interval-out", 7),
    "invalid-level1/overlapping-multiword": ("overlapping-word-intervals", 7),
    "invalid-level1/overlapping-range": ("overlapping-word-intervals", 7),
    "invalid-level1/overlapping-word-interval": ("overlapping-word-intervals", 7),
    "invalid-level1/pseudo-empty-line": ("pseudo-empty-line", 5),
    "invalid-level1/reversed-word-interval": ("reversed-word-interval", 5),
    "invalid-level1/seemingly-empty-line": ("pseudo-empty-line", 5),
    "invalid-level1/tanl-broken": ("word-id-sequence", 16),
    "invalid-level1/trailing-tab": ("number-of-columns", 4),
    "invalid-level1/word-id-sequence": ("word-id-sequence", 5),
    "invalid-level1/word-id-sequence-2": ("word-id-sequence", 4),
    "invalid-level2/cyclic-deps": ("non-tree", 5),
    "invalid-level2/extra-field": ("number-of-columns", 4),
    "invalid-level2/invalid-head": ("unknown-head", 5),
    "invalid-level2/invalid-range-format": ("invalid-word-interval", 5),
    "invalid-level2/multiple-roots": ("multiple-roots", 4),
    "invalid-level2/self-cycle-head": ("head-self-loop", 5),
}

WARNED = {
    "invalid-level1/empty-sentence": "empty-sentence",
    "invalid-level1/extra-empty-line": "extra-empty-line",
    "invalid-level2/extra-empty-line": "extra-empty-line",
    "invalid-level1/misplaced-comment-end": "misplaced-comment",
    "invalid-level1/missing-final-line": "missing-empty-line",
    "invalid-level1/non-unix-newline": "non-unix-newline",
    "invalid-level1/unicode-normalization": "unicode-normalization",
    "invalid-level2/uppercase-deprel": "invalid-deprel",
    "invalid-level2/space-in-field": "invalid-whitespace",
    "invalid-level1/misindexed-empty-node": "misplaced-empty-node",
    "invalid-level1/misplaced-empty-node": "misplaced-empty-node",
    "invalid-level1/misplaced-empty-node-2": "misplaced-empty-node",
    "invalid-level1/nonsequential-empty-node-id": "misplaced-empty-node",
}

LEVELS = ("invalid-level1", "invalid-level2", "invalid-level3", "invalid-level4-5", "valid")


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_without_a_sure_tree_is_refused_where_it_is_wrong(ud_tools_cases: Path, case: str) -> None:
    path = ud_tools_cases / f"{case}.conllu"
    id, line = REFUSED[case]
    with pytest.raises(DataError, match=rf"{case}\.conllu:{line}( \(sent_id .*\))?: .*\[{id}\]"):
        read_conllu(path)
    first = next(fault for fault in check(path) if fault.severity == "error")
    assert first.id == id


@pytest.mark.parametrize("case", WARNED)
def test_a_case_with_a_sure_tree_but_bad_form_is_taken_with_a_warning(ud_tools_cases: Path, case: str) -> None:
    path = ud_tools_cases / f"{case}.conllu"
    assert read_conllu(path)
    faults = check(path, heads="gold")
    assert WARNED[case] in {fault.id for fault in faults if fault.severity == "warning"}
    assert not [fault for fault in faults if fault.severity == "error"]


def test_the_other_cases_are_taken_and_kept_byte_for_byte(ud_tools_cases: Path) -> None:
    cases = {f"{level}/{path.stem}": path for level in LEVELS for path in (ud_tools_cases / level).glob("*.conllu")}
    others = cases.keys() - REFUSED.keys() - WARNED.keys()
    assert (len(cases), len(REFUSED), len(WARNED), len(others)) == (96, 35, 9 + 4, 48)
    for case in sorted(others):
        written = "".join(sentence.to_conllu() for sentence in read_conllu(cases[case]))
        assert written.encode() == cases[case].read_bytes(), case
        assert not [fault for fault in check(cases[case], heads="gold") if fault.severity == "error"], case
