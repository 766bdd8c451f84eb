"""The program as a whole: quick without torch, errors in one line, exit codes, names of commands and options."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import Sentence
from sublingual.data.embedded import embedded_folder

Run = Callable[..., Any]
COMMANDS = ["data", "check", "nearest", "train", "adapt", "parse", "fewshot", "evaluate", "compare", "demo"]

ENGLISH = embedded_folder() / "UD_English-Demo" / "en_demo-ud-test.conllu"
QUICK: list[list[object]] = [
    ["--help"],
    ["--version"],
    ["adapt", "--help"],
    ["train", "--help"],
    ["nearest", "fo"],
    ["check", ENGLISH],
    ["evaluate", ENGLISH, ENGLISH],
    ["compare", ENGLISH, ENGLISH, "--gold", ENGLISH, "--resamples", 10],
    ["data", "list", "--ud", embedded_folder()],
]

# Every quick command in one new process: the test run itself has imported torch long ago.
PROBE = f"""
import sys
from sublingual.cli import main
for words in {[list(map(str, words)) for words in QUICK]!r}:
    sys.argv = ["sublingual", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
    slow = {{"torch", "transformers", "tokenizers", "huggingface_hub"}} & set(sys.modules)
    assert not slow, (words, slow)
"""


def test_help_version_and_the_commands_without_an_encoder_import_no_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"sublingual {version('sublingual')}\n" in ran.stdout


def test_the_installed_program_answers() -> None:
    program = Path(sys.executable).with_name("sublingual")
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"sublingual {version('sublingual')}\n", "")


def test_help_lists_every_command(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert all(any(line.strip(" │").startswith(name) for line in shown.out.splitlines()) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run: Run, name: str) -> None:
    shown = run(name, "--help")
    assert shown.code == 0
    assert "Usage: " in shown.out


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("train", ["--device", "--seed", "--precision", "--set", "--config", "--overwrite", "--encoder"]),
        ("adapt", ["--device", "--seed", "--precision", "--model", "--yes", "--ud", "--steps", "--lang", "--like"]),
        ("parse", ["--device", "--precision", "--drop-deps"]),
        ("fewshot", ["--device", "--records", "--seeds", "--keep-repeated", "--json"]),
    ],
)
def test_the_options_that_users_expect_are_there(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, options: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert [option for option in options if option not in run(name, "--help").out] == []


@pytest.mark.parametrize("words", [["no-such-command"], ["parse"], ["nearest", "fo", "--no-such-option"]])
def test_wrong_usage_exits_with_2(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage: " in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nearest", "Faroish"], 1),
        (["evaluate", "no.conllu", "no.conllu"], 1),
        (["parse", "no-model", ENGLISH], 1),
        (["compare", "a", "b"], 2),
        (["data", "import", "nowhere"], 1),
        (["data", "list"], 1),
    ],
)
def test_a_fault_is_one_line_on_stderr_and_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[object], code: int
) -> None:
    monkeypatch.setattr("sublingual.parsing.snapshot_download", _offline)
    ran = run(*words)
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("sublingual: ")
    assert "Traceback" not in ran.err


def _offline(name: str, *, local_files_only: bool) -> str:
    raise OSError(f"no connection for {name}")


def test_ctrl_c_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sublingual.data.faults.check", interrupted)
    ran = run("check", ENGLISH)
    assert (ran.code, ran.err) == (130, "")


def test_a_fault_of_the_system_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sublingual.data.faults.check", full)
    ran = run("check", ENGLISH)
    assert (ran.code, ran.err) == (1, "sublingual: [Errno 28] No space left on device\n")


def test_what_a_terminal_cannot_show_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "x.conllu"
    file.write_text("# sent_id = føroyskt\n1\tø\t_\t_\t_\t_\t3\troot\t_\t_\n\n", "utf-8")
    words = [sys.executable, "-c", "from sublingual.cli import main; main()", "check", file]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert r"x.conllu:2 (sent_id f\xf8royskt): error: head 3" in ran.stdout


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    code = "from sublingual.cli import main; main()"
    words = [sys.executable, "-c", code, "nearest", "fo", "--among", ",".join(["sv", "da", "is"] * 2000)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        said = program.stderr.read()
    assert program.returncode == 1
    assert said == ""


def test_demo_passes_its_options_on_and_shows_the_table(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, english: list[Sentence]
) -> None:
    from sublingual import demo
    from sublingual.demo_page import DemoResult, LanguageResult, SystemResult, SystemsResult
    from sublingual.scoring import score
    from sublingual.training.loop import Progress

    gold = tuple(english[:5])
    language = LanguageResult(
        "UD_Swedish-Demo", "Swedish", (), (), gold, gold, gold, (2.0,), (), 1.0, "parsed/sv.conllu"
    )
    asked: dict[str, Any] = {}

    def made_up(folder: Path, *, config: demo.DemoConfig, watch: demo.Watch) -> DemoResult:
        asked.update(folder=folder, seed=config.seed)
        watch.stage("Fine-tuning")
        watch.training(Progress(1, 2, 3.5, 100.0, 1.0, 40.0))
        watch.adapting("UD_Swedish-Demo", 1, 20, 1.5)
        whole = score(list(gold), list(gold))
        systems = SystemsResult((), (SystemResult("nonep-full", {"hi": 50.0}, {"UD_Swedish-Demo": 61.25}),))
        return DemoResult("UD_English-Demo", whole, 90, (1.0,), (language,), systems, 7, {}, 1.0, {}, {}, demo.MODEL)

    monkeypatch.setattr(demo, "run_demo", made_up)
    ran = run("demo", tmp_path / "out", "--seed", 7)
    assert ran.code == 0, ran.err
    assert asked == {"folder": tmp_path / "out", "seed": 7}
    lines = ran.out.splitlines()
    assert lines[1] == "UD_Swedish-Demo\t100.00\t100.00\t5"
    assert lines[2:] == ["system\thi LAS\tUD_Swedish-Demo LAS, adapted", "nonep-full\t50.00\t61.25"]
    assert "toy treebanks" in ran.err
    assert str(tmp_path / "out" / "index.html") in ran.err.replace("\n", "")
