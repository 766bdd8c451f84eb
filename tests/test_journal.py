"""Finished work is kept: across processes, for one purpose, and whole at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from sublingual.errors import DataError
from sublingual.journal import Journal

PURPOSE = {"seed": 1, "rates": [0.1, 0.2]}


def test_what_was_put_is_there_for_the_next_one(tmp_path: Path) -> None:
    Journal(tmp_path / "j", purpose=PURPOSE).put("ä/1", {"heads": [0, 1]})
    found = Journal(tmp_path / "j", purpose=dict(reversed(PURPOSE.items())))
    assert (len(found), found.get("ä/1"), found.get("b")) == (1, {"heads": [0, 1]}, None)


def test_work_of_another_purpose_counts_for_nothing(tmp_path: Path) -> None:
    Journal(tmp_path / "j", purpose=PURPOSE).put("a", 1)
    other = Journal(tmp_path / "j", purpose={**PURPOSE, "seed": 2})
    assert other.get("a") is None
    other.put("b", 2)
    assert Journal(tmp_path / "j", purpose=PURPOSE).get("a") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"purpose": 1}', b"\xff\xfe"])
def test_a_damaged_file_counts_for_nothing(tmp_path: Path, damage: bytes) -> None:
    Journal(tmp_path / "j", purpose=PURPOSE).put("a", 1)
    (tmp_path / "j").write_bytes(damage)
    assert len(Journal(tmp_path / "j", purpose=PURPOSE)) == 0


def test_the_file_is_whole_at_every_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j", purpose=PURPOSE)
    journal.put("a", 1)

    def refuse(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        journal.put("b", 2)
    monkeypatch.undo()
    assert Journal(tmp_path / "j", purpose=PURPOSE).get("a") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["j"]
