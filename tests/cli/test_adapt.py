"""What `adapt` says to expect, how it chooses, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sublingual.adapt_page import PAGE
from sublingual.data.conllu import Sentence
from sublingual.data.embedded import WARNING
from sublingual.parsing import Parser

Run = Callable[..., Any]
Write = Callable[..., Path]
LAST = ("--steps", "2", "--precision", "fp32")
GATES = {"no": torch.eye(2), "ar": torch.ones(2, 2), "hi": 1 - torch.eye(2)}
EXPECTED = re.compile(r"expected LAS (\d+) \+- (\d+) \(95 %, (.*) on your (\d+) sentences, (\d) seeds?\); without your")


@pytest.fixture
def swedish(conllu: Write, demo: Callable[..., list[Sentence]]) -> Path:
    return conllu(demo("Swedish", 12), "Swedish.conllu")


@pytest.fixture(scope="session")
def gated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same parser with subnetworks of three languages."""
    out = tmp_path_factory.mktemp("gated") / "gated"
    replace(Parser.from_pretrained(model), subnetworks=GATES).save_pretrained(out)
    return out


def test_what_to_expect_is_said_and_stands_on_card_manifest_and_page(
    run: Run, model: Path, swedish: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sv"
    ran = run("adapt", swedish, out, "--model", model, *LAST)
    assert ran.code == 0, ran.err
    said = EXPECTED.search(ran.err)
    assert said
    assert said.groups()[2:] == ("5-fold", "12", "3")
    about = Parser.from_pretrained(out).about
    found = about.settings["estimate"]
    assert (round(found["las"]), found["done"], found["planned"]) == (int(said[1]), 15, 15)
    assert "LAS to expect on sentences like its own" in (out / "README.md").read_text(encoding="utf-8")
    page = (out / PAGE).read_text(encoding="utf-8")
    assert said[0] in page
    assert WARNING in page  # the parser it started from learned from toy treebanks
    assert not (tmp_path / "sv.adapt").exists()


def test_no_estimate_leaves_it_out_and_changes_no_parameter(
    run: Run, model: Path, swedish: Path, tmp_path: Path
) -> None:
    for name, words in (("with", ()), ("without", ("--no-estimate",))):
        ran = run("adapt", swedish, tmp_path / name, "--model", model, *LAST, *words)
        assert ran.code == 0, ran.err
    assert "expected LAS" not in ran.err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]
    assert Parser.from_pretrained(tmp_path / "without").about.scores == {}
    assert "as annotated" in (tmp_path / "without" / PAGE).read_text(encoding="utf-8")


def test_stopped_it_goes_on_from_the_folds_that_were_done(
    run: Run, model: Path, swedish: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sublingual import crossvalidation

    out, adapt = tmp_path / "sv", crossvalidation.adapt
    made: list[int] = []

    def spied(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        if len(made) == 4:
            raise KeyboardInterrupt
        return adapt(*arguments, **options)

    monkeypatch.setattr(crossvalidation, "adapt", spied)
    ran = run("adapt", swedish, out, "--model", model, *LAST)
    assert ran.code == 130
    assert f"stopped; the same command goes on from 3 runs in {out}.adapt" in ran.err
    assert len(json.loads((tmp_path / "sv.adapt" / "folds.json").read_text())["values"]) == 3
    made[:] = [0] * 10  # never four again
    ran = run("adapt", swedish, out, "--model", model, *LAST)
    assert ran.code == 0, ran.err
    assert "going on from 3 runs of cross-validation that ended before" in ran.err
    assert len(made) == 10 + 12


@pytest.mark.slow
def test_a_real_ctrl_c_stops_it_and_the_same_command_goes_on(model: Path, swedish: Path, tmp_path: Path) -> None:
    work = tmp_path / "sv.adapt"
    options = ["--model", str(model), "--threads", "1", "--steps", "30", "--minutes", "60"]
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sublingual.cli import main; main()"
    words = [sys.executable, "-c", code, "adapt", str(swedish), str(tmp_path / "sv"), *options]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as program:
        while program.poll() is None and not (work / "folds.json").exists():
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    stopped = re.search(rf"stopped; the same command goes on from (\d+) runs? in {work}$", said, re.MULTILINE)
    assert program.returncode == 130
    assert stopped
    assert "Traceback" not in said
    assert not (tmp_path / "sv").exists()
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"going on from {stopped[1]} run" in ran.stderr
    assert EXPECTED.search(ran.stderr)
    assert not work.exists()


def test_other_sentences_do_not_go_on_from_these(
    run: Run, model: Path, swedish: Path, tmp_path: Path, demo: Callable[..., list[Sentence]], conllu: Write
) -> None:
    from sublingual.journal import Journal

    (tmp_path / "sv.adapt").mkdir()
    Journal(tmp_path / "sv.adapt" / "folds.json", purpose={"text": "another"}).put("a", 1)
    ran = run("adapt", conllu(demo("Swedish", 4)), tmp_path / "sv", "--model", model, *LAST)
    assert ran.code == 0, ran.err
    assert "going on" not in ran.err


def test_a_limit_that_is_too_short_is_said_and_the_parser_is_made_all_the_same(
    run: Run, model: Path, swedish: Path, tmp_path: Path
) -> None:
    ran = run("adapt", swedish, tmp_path / "sv", "--model", model, "--minutes", 0, *LAST)
    assert ran.code == 0, ran.err
    assert "no estimate: fewer than two folds were done in 0 minutes (--minutes allows more)" in ran.err
    assert (tmp_path / "sv" / PAGE).is_file()


def test_what_a_slow_machine_had_no_time_for_is_said(
    run: Run, model: Path, swedish: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 100_000, 10))  # a step takes ten seconds or more
    monkeypatch.setattr("sublingual.crossvalidation.monotonic", lambda: float(next(now)))
    ran = run("adapt", swedish, tmp_path / "sv", "--model", model, *LAST)
    assert ran.code == 0, ran.err
    found = re.search(r"the machine is slow: (\d+) of 15 folds were done in 3 minutes, over these it is", ran.err)
    assert found
    assert 2 <= int(found[1]) < 15


def test_one_sentence_gives_a_parser_and_no_estimate(
    run: Run, model: Path, tmp_path: Path, conllu: Write, demo: Callable[..., list[Sentence]]
) -> None:
    ran = run("adapt", conllu(demo("Swedish", 1)), tmp_path / "m", "--model", model, *LAST)
    assert ran.code == 0, ran.err
    assert "no estimate: 1 annotated sentences that differ: an estimate needs two or more" in ran.err


def test_auto_says_what_was_chosen_and_the_estimate_is_nested(
    run: Run, model: Path, swedish: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sublingual import candidates

    monkeypatch.setattr(candidates, "STEPS", (2, 1))
    ran = run("adapt", swedish, tmp_path / "sv", "--model", model, "--precision", "fp32", "--auto")
    assert ran.code == 0, ran.err
    said = EXPECTED.search(ran.err)
    assert said
    assert said.groups()[2:] == ("nested 4-fold", "12", "1")
    assert re.search(r"chosen out of 4: |of 4 ways to adapt none was better than the default", ran.err)
    found = Parser.from_pretrained(tmp_path / "sv").about.settings
    assert len(found["estimate"]["tried"]) == 4
    assert found["adaptation"]["steps"] in (1, 2)


def test_without_a_known_language_the_subnetwork_is_chosen_by_the_sentences(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, demo: Callable[..., list[Sentence]]
) -> None:
    ran = run("adapt", conllu(demo("Swedish", 6), "my.conllu"), tmp_path / "m", "--model", gated, *LAST)
    assert ran.code == 0, ran.err
    assert "language: not known from the file's name" in ran.err
    assert "the sentences themselves choose among those of ar, hi, no and the full encoder" in ran.err
    assert "--lang or --like says whose is near" not in ran.err
    assert re.search(r"chosen out of 4: |of 4 ways to adapt none was better than the default", ran.err)
    assert "nested 4-fold" in ran.err


def test_a_language_that_uriel_lacks_is_told_and_chosen_for(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, demo: Callable[..., list[Sentence]]
) -> None:
    file = conllu(demo("Swedish", 6), "my.conllu")
    ran = run("adapt", file, tmp_path / "m", "--model", gated, "--lang", "qhe", *LAST)
    assert ran.code == 0, ran.err
    assert "Hindi English (qhe) has no URIEL vector; take a known language like it (adapt: --like LANG)" in ran.err
    assert "the sentences themselves choose among those of ar, hi, no and the full encoder" in ran.err
    assert Parser.from_pretrained(tmp_path / "m").about.language == "qhe"
    ran = run("adapt", file, tmp_path / "n", "--model", gated, "--lang", "qhe", "--no-estimate", *LAST)
    assert ran.code == 0, ran.err
    assert "adapting the full encoder, in none of the parser's subnetworks (--lang or --like says" in ran.err


def test_a_language_that_nobody_knows_needs_one_like_it(
    run: Run, gated: Path, tmp_path: Path, conllu: Write, demo: Callable[..., list[Sentence]]
) -> None:
    words = ("adapt", conllu(demo("Swedish", 6)), tmp_path / "m", "--model", gated, "--no-estimate", *LAST)
    ran = run(*words, "--lang", "Elfdalish")
    assert ran.code == 1
    assert "unknown language 'Elfdalish'" in ran.last
    assert "(for adapt: --like LANG); or leave out --lang: the sentences themselves choose" in ran.last
    ran = run(*words, "--lang", "Elfdalish", "--like", "Swedish")
    assert ran.code == 0, ran.err
    assert "language: Elfdalish, taken to be like Swedish; nearest training languages: Norwegian 0.9" in ran.err
    assert "(whose subnetworks the parser has)" in ran.err
    assert "subnetwork of no: " in ran.err
    ran = run(*words, "--like", "Swedish", "--overwrite")
    assert ran.code == 0, ran.err
    assert "language: not named, taken to be like Swedish; nearest training languages: Norwegian 0.9" in ran.err
    assert Parser.from_pretrained(tmp_path / "m").about.language is None


def test_the_nearest_languages_subnetwork_is_taken_where_it_is_known(
    run: Run, gated: Path, swedish: Path, tmp_path: Path
) -> None:
    ran = run("adapt", swedish, tmp_path / "m", "--model", gated, "--no-estimate", *LAST)
    assert ran.code == 0, ran.err
    assert "subnetwork of no: 2 attention heads off" in ran.err
    gates = Parser.from_pretrained(tmp_path / "m").gates
    assert gates is not None
    assert torch.equal(gates, GATES["no"])


def test_all_faults_are_listed_before_anything_else(run: Run, tmp_path: Path, conllu: Write) -> None:
    bad = "1\tHey\t_\t_\t_\t_\t9\troot\t_\t_\n\n1\tyou\t_\t_\t_\t_\t1\troot\t_\t_\n\n"
    ran = run("adapt", conllu(bad), tmp_path / "m", "--model", tmp_path / "none")
    assert ran.code == 1
    assert "file.conllu:1" in ran.err
    assert "file.conllu:3" in ran.err
    assert "errors: 2, listed above; mend them all, nothing was done" in ran.last


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--no-estimate", "--auto"), "--no-estimate leaves nothing to choose by: leave out --auto"),
        (("--no-estimate", "--minutes", "2"), "--no-estimate leaves nothing to limit: leave out --minutes"),
        (("--model", "b"), "2 models: --auto chooses one of them; or give one --model"),
    ],
)
def test_options_at_odds_are_refused(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    ran = run("adapt", tmp_path / "x.conllu", tmp_path / "m", "--model", "a", *words)
    assert ran.code == 2
    assert message in ran.last


def test_auto_chooses_among_models(run: Run, model: Path, gated: Path, swedish: Path, tmp_path: Path) -> None:
    words = ("--model", model, "--model", gated, "--auto", "--encoder-rate", "0.001", "--classifier-rate", "0.01")
    ran = run("adapt", swedish, tmp_path / "m", *words, *LAST)
    assert ran.code == 0, ran.err
    assert f"starting from {model} trained on: en" in ran.err
    assert re.search(r"chosen out of 5: |of 5 ways to adapt none", ran.err)
