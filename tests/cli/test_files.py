"""`check`: all faults at once, of several files or standard input, and what makes it exit with 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import read_conllu
from sublingual.errors import DataError

Run = Callable[..., Any]
Write = Callable[..., Path]

GOOD = "# sent_id = a\n1\tHey\t_\t_\t_\t_\t0\troot\t_\t_\n\n"
WARNED = "1\tHey\t_\t_\t_\t_\t0\tROOT_\t_\t_\n\n"
BAD = "1\tHey\t_\t_\t_\t_\t0\troot\t_\t_\n2\tyou\t_\t_\t_\t_\t7\tobj\t_\t_\n\n1\tHo\t_\t_\n\n"
UNANNOTATED = "1\tHey\t_\t_\t_\t_\t_\t_\t_\t_\n\n"


def test_a_good_file_exits_with_0(run: Run, conllu: Write) -> None:
    ran = run("check", conllu(GOOD))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("file.conllu: 0 errors, 0 warnings, 0 notes\n")


def test_warnings_alone_exit_with_0(run: Run, conllu: Write) -> None:
    ran = run("check", conllu(WARNED))
    assert ran.code == 0
    assert "ROOT_" in ran.out
    assert "0 errors" in ran.out


def test_all_faults_are_listed_at_once_with_their_lines(run: Run, conllu: Write) -> None:
    path = conllu(BAD)
    ran = run("check", path)
    assert ran.code == 1
    assert f"{path}:2" in ran.out
    assert f"{path}:4" in ran.out
    assert ran.out.splitlines()[-1].startswith("2 errors")
    with pytest.raises(DataError, match=r"file\.conllu:2"):
        read_conllu(path)


def test_a_missing_head_is_a_note_and_with_gold_an_error(run: Run, conllu: Write) -> None:
    path = conllu(UNANNOTATED)
    assert run("check", path).code == 0
    assert "1 of 1 words have no HEAD" in run("check", path).out
    assert run("check", path, "--gold").code == 1


def test_several_files_are_checked_though_one_is_bad_and_one_missing(run: Run, conllu: Write, tmp_path: Path) -> None:
    bad, none, good = conllu(BAD, "bad.conllu"), tmp_path / "none.conllu", conllu(GOOD, "good.conllu")
    ran = run("check", none, bad, good)
    assert ran.code == 1
    assert ran.err == f"sublingual: {none}: cannot be read: No such file or directory\n"
    assert f"{bad}:2" in ran.out
    assert f"{good}: 0 errors" in ran.out
    assert run("check", good, none).code == 1
    assert run("check", good, good).code == 0


def test_standard_input_is_checked(run: Run) -> None:
    ran = run("check", "-", stdin=BAD.encode())
    assert ran.code == 1
    assert "<stdin>:2" in ran.out
    assert run("check", "-", stdin=GOOD.encode()).code == 0


def test_an_empty_file_is_no_error_and_is_said(run: Run, conllu: Write) -> None:
    ran = run("check", conllu(""))
    assert ran.code == 0
    assert "the file holds no sentences" in ran.out


def test_a_folder_is_refused(run: Run, tmp_path: Path) -> None:
    ran = run("check", tmp_path)
    assert (ran.code, ran.err) == (1, f"sublingual: {tmp_path}: cannot be read: Is a directory\n")
