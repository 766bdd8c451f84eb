"""`train`, `adapt`, `parse` and `fewshot`: the whole way, what they say, and what they refuse before any work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.cli import base
from sublingual.data import releases
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.downloads import sha256_of
from sublingual.data.embedded import WARNING, embedded
from sublingual.languages import nearest
from sublingual.model.parser import ParserConfig
from sublingual.parsing import Parser
from sublingual.training import stage1
from sublingual.training.finetune import FinetuneConfig

Run = Callable[..., Any]
Write = Callable[..., Path]
FEW = ("--steps", "3", "--set", "finetune.batch=4", "--set", "parser.arc_size=24", "--set", "parser.label_size=12")
LAST = ("--steps", "2", "--precision", "fp32")


@pytest.fixture(scope="module")
def adapted(
    model: Path, run: Run, tmp_path_factory: pytest.TempPathFactory, demo: Callable[..., list[Sentence]]
) -> tuple[Path, str]:
    """A parser adapted to 20 Swedish sentences on the command line, and what was said."""
    folder = tmp_path_factory.mktemp("adapted")
    support = folder / "sv_demo-ud-test.conllu"
    support.write_text("".join(s.to_conllu() for s in demo("Swedish", 20)), encoding="utf-8")
    ran = run("adapt", support, folder / "sv", "--model", model, "--seed", 3, *LAST)
    assert ran.code == 0, ran.err
    return folder / "sv", ran.err


def same_model(one: Path, other: Path) -> bool:
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["train", "adapt", "parse", "fewshot"])
def test_threads_reach_torch(
    run: Run, model: Path, ud_folder: Path, tmp_path: Path, conllu: Write, english: list[Sentence], command: str
) -> None:
    file, out = conllu(english[:3]), tmp_path / "out"
    words = {
        "train": (out, file, "--encoder", tmp_path / "none", *FEW),  # threads are set before it is sought
        "adapt": (file, out, "--model", model, "--steps", 0),
        "parse": (model, file),
        "fewshot": (model, "UD_Turkish-Demo", "--ud", ud_folder, "--seeds", 1, "-n", 45, "--set", "steps=0"),
    }
    before = torch.get_num_threads()
    try:
        run(command, *words[command], "--threads", before + 2)  # type: ignore[misc]
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


# train


def test_train_records_data_seed_and_settings(model: Path, ud_folder: Path) -> None:
    about = Parser.from_pretrained(model).about
    assert about.trained_on == ("en",)
    assert about.seeds == {"training": 5}
    assert about.settings["finetune"]["steps"] == 3
    assert about.settings["parser"]["arc_size"] == 24
    assert [(entry["use"], entry["treebank"]) for entry in about.data] == [
        ("train", "UD_English-Demo"),
        ("dev", "UD_English-Demo"),
    ]
    assert about.data[0]["sha256"] == sha256_of(ud_folder / "UD_English-Demo" / "en_demo-ud-train.conllu")
    assert {"dev UAS", "dev LAS", "dev sentences"} == set(about.scores)


def test_a_finished_run_keeps_its_metrics_and_no_checkpoint(model: Path) -> None:
    work = model.with_name("en.run")
    steps = [json.loads(line)["step"] for line in (work / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert steps == [1, 2, 3]
    assert not (work / "checkpoint.safetensors").exists()


def test_train_interrupted_and_called_again_gives_the_bits_of_a_run_that_never_stopped(
    run: Run, tmp_path: Path, tiny_encoder: Path, ud_folder: Path, model: Path, interrupt_at: Callable[[int], None]
) -> None:
    out = tmp_path / "en"
    words = ("train", out, "UD_English-Demo", "--ud", ud_folder, "--encoder", tiny_encoder, "--seed", 5, *FEW)
    words += ("--set", "finetune.checkpoint_every=1")
    whole = run(*words[:1], tmp_path / "whole", *words[2:])
    assert whole.code == 0
    interrupt_at(2)
    assert run(*words).code == 130
    assert not out.exists()
    assert (tmp_path / "en.run" / "checkpoint.safetensors").exists()
    interrupt_at(0)
    assert run(*words).code == 0
    assert same_model(out, tmp_path / "whole")


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_a_model_that_is_there_is_refused_before_anything_is_read(
    run: Run, model: Path, tmp_path: Path, command: str
) -> None:
    words = ["train", model, "UD_Nowhere-None"] if command == "train" else ["adapt", tmp_path / "none.conllu", model]
    before = sorted(model.iterdir())
    ran = run(*words)
    assert (ran.code, ran.err) == (
        1,
        f"sublingual: {model} is there already; choose another folder, or --overwrite\n",
    )
    assert sorted(model.iterdir()) == before


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_what_is_no_model_is_never_replaced(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    words = ["train", tmp_path, "UD_X-Y"] if command == "train" else ["adapt", tmp_path / "none.conllu", tmp_path]
    ran = run(*words, "--overwrite")
    assert ran.code == 1
    assert ran.err == f"sublingual: {tmp_path} is there and is no model: it is never replaced; choose another folder\n"


def test_overwrite_replaces_a_model(
    run: Run, tmp_path: Path, model: Path, tiny_encoder: Path, conllu: Write, english: list[Sentence]
) -> None:
    out = tmp_path / "en"
    shutil.copytree(model, out)
    words = ("train", out, conllu(english[:8]), "--encoder", tiny_encoder, *FEW)
    assert run(*words).code == 1
    ran = run(*words, "--overwrite", "--precision", "fp32")
    assert ran.code == 0, ran.err
    assert not same_model(model, out)
    assert [entry["file"] for entry in Parser.from_pretrained(out).about.data] == ["file.conllu"]


def test_settings_that_are_set_are_not_undone_by_the_options_defaults(
    run: Run, tmp_path: Path, tiny_encoder: Path, conllu: Write, english: list[Sentence]
) -> None:
    words = ("--set", "finetune.seed=9", "--set", "finetune.precision=fp32", *FEW)
    ran = run("train", tmp_path / "m", conllu(english[:8]), "--encoder", tiny_encoder, *words)
    assert ran.code == 0, ran.err
    about = Parser.from_pretrained(tmp_path / "m").about
    assert (about.settings["finetune"]["seed"], about.seeds) == (9, {"training": 9})
    assert about.settings["finetune"]["precision"] == "fp32"


def test_no_steps_are_refused_not_replaced_by_the_default(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    ran = run("train", tmp_path / "m", conllu(english[:8]), "--steps", 0)
    assert (ran.code, ran.err) == (2, "sublingual: steps 0: it is 1 or more\n")


def test_train_says_which_treebank_lacks_a_train_split(run: Run, tmp_path: Path, ud_folder: Path) -> None:
    ran = run("train", tmp_path / "m", "UD_English-Demo", "UD_Swedish-Demo", "--ud", ud_folder)
    assert ran.code == 1
    assert ran.err == "sublingual: UD_Swedish-Demo has no train split; name another treebank, or a CoNLL-U file\n"


def test_a_dev_treebank_without_dev_split_is_refused(run: Run, tmp_path: Path, ud_folder: Path) -> None:
    words = ("--dev", "UD_Swedish-Demo", "--ud", ud_folder)
    assert "UD_Swedish-Demo has no dev split" in run("train", tmp_path / "m", "UD_English-Demo", *words).err


def test_a_missing_training_file_is_no_unknown_treebank(run: Run, tmp_path: Path) -> None:
    ran = run("train", tmp_path / "m", tmp_path / "my.conllu")
    assert ran.code == 1
    assert "my.conllu: no such file; name a CoNLL-U file, or a treebank such as UD_English-EWT" in ran.last


def test_an_unknown_treebank_proposes_near_ones(run: Run, tmp_path: Path, ud_folder: Path) -> None:
    ran = run("train", tmp_path / "m", "UD_Englsh-Demo", "--ud", ud_folder)
    assert ran.code == 1
    assert "unknown treebank 'UD_Englsh-Demo'" in ran.last
    assert "near ones: UD_English-Demo" in ran.last


def test_a_treebanks_own_folder_is_taken(
    run: Run, tmp_path: Path, tiny_encoder: Path, ud_folder: Path, model: Path
) -> None:
    words = ("--encoder", tiny_encoder, "--seed", 5, *FEW)
    assert run("train", tmp_path / "m", ud_folder / "UD_English-Demo", *words).code == 0
    assert same_model(tmp_path / "m", model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "finetune.step=3"), "unknown key 'finetune.step'; did you mean 'steps'?"),
        (("--device", "tpu"), "unknown device 'tpu'; auto, cpu and cuda:0"),
        (("--precision", "fp8"), "unknown precision 'fp8'; allowed: auto, fp32, bf16"),
        (
            ("--config", "paper-stage9"),
            "paper-stage9: settings are a .toml, .yaml or .json file, or one of the presets",
        ),
        (("--set", "parser.dropout=2"), "dropout 2.0: it is a share, from 0 to below 1"),
    ],
)
def test_settings_of_train_are_refused_before_any_work(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence], words: tuple[str, ...], message: str
) -> None:
    ran = run("train", tmp_path / "m", conllu(english[:2]), "--encoder", tmp_path / "no-encoder", *words)
    assert ran.code == 2
    assert message in ran.last
    assert ran.err.count("\n") == 1


def test_an_encoder_that_cannot_be_had_names_the_bundled_one(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("train", tmp_path / "m", conllu(english[:2]), "--encoder", tmp_path / "empty")
    assert ran.code == 1
    assert "could not be loaded" in ran.last
    assert "--encoder bundled" in ran.last


# adapt


def test_adapt_says_language_neighbours_loss_and_what_comes_next(adapted: tuple[Path, str]) -> None:
    folder, said = adapted
    first = nearest("sv")[0]
    assert f"language: Swedish; nearest training languages: {first.language} {first.similarity:.3f}, " in said
    assert re.search(r"loss per word of the sentences: \d+\.\d\d before, \d+\.\d\d after", said)
    assert f"sublingual parse {folder} IN.conllu OUT.conllu" in said
    assert "all of them are used" not in said


def test_adapt_records_language_seeds_data_and_settings(adapted: tuple[Path, str], model: Path) -> None:
    about, before = Parser.from_pretrained(adapted[0]).about, Parser.from_pretrained(model).about
    assert (about.language, about.trained_on) == ("sv", ("en",))
    assert about.seeds == {"training": 5, "adaptation": 3}
    support = adapted[0].parent / "sv_demo-ud-test.conllu"
    assert about.data[:-1] == before.data
    assert about.data[-1] == {
        "file": support.name,
        "use": "support",
        "sentences": 20,
        "words": sum(len(s.words) for s in read_conllu(support)),
        "licence": "unknown",
        "sha256": sha256_of(support),
    }
    assert about.settings["adaptation"]["steps"] == 2
    assert {k: v for k, v in about.settings.items() if k not in ("adaptation", "estimate")} == before.settings


def test_adapt_on_the_command_line_is_adapt_of_the_library(adapted: tuple[Path, str], model: Path) -> None:
    support = read_conllu(adapted[0].parent / "sv_demo-ud-test.conllu", heads="partial")
    config = AdaptConfig(steps=2, precision="fp32")
    expected = adapt(Parser.from_pretrained(model), support, config=config, seed=3).parser.network.state_dict()
    found = Parser.from_pretrained(adapted[0]).network.state_dict()
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in found)


@pytest.mark.parametrize("n", [1, 7, 23])
def test_fewer_or_more_than_twenty_sentences_work_and_are_said(
    run: Run, model: Path, tmp_path: Path, conllu: Write, demo: Callable[..., list[Sentence]], n: int
) -> None:
    ran = run("adapt", conllu(demo("Turkish", n), "Turkish.conllu"), tmp_path / "tr", "--model", model, *LAST)
    assert ran.code == 0, ran.err
    assert f"{n} sentences (the studies use 20): all of them are used" in ran.err
    assert Parser.from_pretrained(tmp_path / "tr").about.data[-1]["sentences"] == n


def test_a_new_label_is_listed_and_can_be_predicted(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    changed = [s.to_conllu().replace("\tobl\t", "\tobl:zzz\t") for s in english[:20]]
    assert any("obl:zzz" in text for text in changed)
    ran = run("adapt", conllu("".join(changed)), tmp_path / "m", "--model", model, *LAST)
    assert "new labels, each started from its base relation: obl:zzz" in ran.err
    assert "obl:zzz" in Parser.from_pretrained(tmp_path / "m").network.vocabulary.labels
    assert "obl:zzz" not in Parser.from_pretrained(model).network.vocabulary.labels


def test_a_label_that_ud_does_not_document_is_no_reason_not_to_train(
    run: Run, tmp_path: Path, tiny_encoder: Path, conllu: Write, english: list[Sentence]
) -> None:
    text = "".join(s.to_conllu() for s in english[:8]).replace("\tobl\t", "\tobl:zzz\t")
    ran = run("train", tmp_path / "m", conllu(text), "--encoder", tiny_encoder, *FEW)
    assert ran.code == 0, ran.err
    assert "labels that UD does not document, each started from its base relation: obl:zzz" in ran.err


def without_heads(sentence: Sentence, keep: int) -> str:
    """The sentence with HEAD and DEPREL of all words but the first `keep` taken away."""
    rows = []
    for row in sentence.rows:
        is_kept = not row[0].isdecimal() or int(row[0]) <= keep
        rows.append("\t".join(row if is_kept else (*row[:6], "_", "_", *row[8:])))
    return "\n".join([*sentence.comments, *rows, "", ""])


def test_partial_annotation_adapts_and_the_rest_is_counted(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    n_words = sum(len(s.words) for s in english[:20])
    n_left_out = sum(max(0, len(s.words) - 4) for s in english[:20])
    support = conllu("".join(without_heads(s, 4) for s in english[:20]))
    ran = run("adapt", support, tmp_path / "m", "--model", model, *LAST)
    assert ran.code == 0, ran.err
    assert f"{n_left_out} of {n_words} words have no HEAD (_): they do not count" in ran.err


def test_rates_of_adapt_go_to_encoder_and_classifier_each(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    words = ("--model", model, "--steps", 2, "--encoder-rate", "0", "--classifier-rate", "0.002")
    ran = run("adapt", conllu(english[:4]), tmp_path / "m", *words)
    assert ran.code == 0, ran.err
    adapted, base = (Parser.from_pretrained(folder) for folder in (tmp_path / "m", model))
    settings = adapted.about.settings["adaptation"]
    assert (settings["encoder_rate"], settings["classifier_rate"]) == (0.0, 0.002)
    start = base.network.state_dict()
    moved = [name for name, t in adapted.network.state_dict().items() if not torch.equal(t, start[name])]
    assert {"root", "arcs.bilinear", "labels.bias"} & set(moved)
    assert not any(name.startswith("encoder.") for name in moved)


@pytest.mark.parametrize("content", ["", "# only a comment\n\n", "1\tHey\t_\t_\t_\t_\t_\t_\t_\t_\n\n"])
def test_a_support_file_without_heads_is_refused_before_a_base_parser_is_sought(
    run: Run, tmp_path: Path, conllu: Write, content: str
) -> None:
    n = 1 if "Hey" in content else 0
    ran = run("adapt", conllu(content), tmp_path / "m", "--yes")
    assert ran.code == 1
    assert f"file.conllu: no word with a head in its {n} sentences; annotate HEAD and DEPREL of some" in ran.last


def test_a_support_tree_with_a_fault_is_refused_with_its_line(
    run: Run, model: Path, tmp_path: Path, conllu: Write
) -> None:
    text = "# sent_id = a\n1\tHey\t_\t_\t_\t_\t9\troot\t_\t_\n\n"
    ran = run("adapt", conllu(text), tmp_path / "m", "--model", model)
    assert ran.code == 1
    assert "file.conllu:2 (sent_id a)" in ran.err
    assert "file.conllu: errors: 1, listed above; mend them all, nothing was done" in ran.last


def test_support_is_taken_from_standard_input(run: Run, model: Path, tmp_path: Path, english: list[Sentence]) -> None:
    raw = "".join(s.to_conllu() for s in english[:20]).encode("utf-8")
    ran = run("adapt", "-", tmp_path / "m", "--model", model, "--lang", "Faroese", *LAST, stdin=raw)
    assert ran.code == 0, ran.err
    about = Parser.from_pretrained(tmp_path / "m").about
    assert about.language == "fo"
    assert about.data[-1]["file"] == "<stdin>"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fo_oft-ud-dev.conllu", "fo"),
        ("Faroese.conllu", "fo"),
        ("Faroese-20.conllu", "fo"),
        ("my.conllu", None),
        ("new.conllu", None),
        ("my_sentences.conllu", None),
        ("Upper_Sorbian-20.conllu", None),
        ("Upper_Sorbian.conllu", "hsb"),
        ("-", None),
    ],
)
def test_the_language_is_taken_from_names_that_spell_it_and_not_guessed_from_others(name: str, code: str) -> None:
    found = base.language_of(f"/some/folder/{name}" if name != "-" else name)
    assert (found.code if found else None) == code


def test_a_language_without_vector_adapts_and_says_so(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    ran = run("adapt", conllu(english[:20]), tmp_path / "m", "--model", model, "--lang", "qhe", *LAST)
    assert ran.code == 0, ran.err
    assert "has no URIEL vector; take a known language like it (adapt: --like LANG)" in ran.err


def test_like_shows_the_neighbours_of_the_stand_in_and_is_not_recorded_as_the_language(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    words = ("--lang", "zz-unknown", "--like", "fo", *LAST)
    ran = run("adapt", conllu(english[:20]), tmp_path / "m", "--model", model, *words)
    assert ran.code == 0, ran.err
    assert "language: zz-unknown, taken to be like Faroese; nearest training languages: Norwegian" in ran.err
    assert Parser.from_pretrained(tmp_path / "m").about.language == "zz-unknown"


def test_an_unknown_language_is_refused_with_near_ones(
    run: Run, model: Path, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    ran = run("adapt", conllu(english[:20]), tmp_path / "m", "--model", model, "--lang", "Faroish")
    assert ran.code == 1
    assert "unknown language 'Faroish'" in ran.last
    assert "Faroese (fo)" in ran.last


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--optimizer", "lion"), "'optimizer' in the options is 'lion': input should be 'adam' or 'sgd'"),
        (("--steps", "-1"), "the options: steps -1"),
        (("--encoder-rate", "-1"), "the options: rates -1.0"),
        (("--encoder-rate", "nan"), "'encoder_rate' in the options is nan: input should be a number"),
        (("--precision", "fp8"), "unknown precision 'fp8'"),
        (("--device", "tpu"), "unknown device 'tpu'"),
    ],
)
def test_options_of_adapt_are_refused_before_a_model_is_read(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence], words: tuple[str, ...], message: str
) -> None:
    ran = run("adapt", conllu(english[:20]), tmp_path / "m", "--model", tmp_path / "none", *words)
    assert ran.code == 2
    assert message in ran.last


def test_a_model_has_its_own_encoder(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("adapt", tmp_path / "x.conllu", tmp_path / "m", "--model", model, "--encoder", "bundled")
    assert ran.code == 2
    assert ran.err == f"sublingual: --model {model} has its own encoder; leave out --encoder bundled\n"


# the base parser


@dataclass(frozen=True)
class Small(stage1.TrainConfig):
    parser: ParserConfig = field(default_factory=lambda: ParserConfig(arc_size=24, label_size=12))
    finetune: FinetuneConfig = field(default_factory=lambda: FinetuneConfig(steps=2, batch=4, precision="fp32"))


@pytest.fixture
def ewt(tmp_path: Path, ud_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release whose UD_English-EWT is the embedded English treebank, and base parsers of two steps."""
    monkeypatch.setattr(stage1, "TrainConfig", Small)
    folder = tmp_path / "release" / "UD_English-EWT"
    folder.mkdir(parents=True)
    for path in (ud_folder / "UD_English-Demo").glob("*.conllu"):
        shutil.copy(path, folder / path.name.replace("demo", "ewt"))
    return folder.parent


@pytest.fixture
def support(conllu: Write, demo: Callable[..., list[Sentence]]) -> Path:
    return conllu(demo("Swedish", 20), "sv_demo-ud-test.conllu")


@pytest.mark.parametrize("answer", [b"n\n", b""])
def test_without_a_yes_no_base_parser_is_made(
    run: Run, tmp_path: Path, support: Path, ewt: Path, tiny_encoder: Path, answer: bytes
) -> None:
    words = ("adapt", support, tmp_path / "m", "--ud", ewt, "--encoder", tiny_encoder)
    ran = run(*words, stdin=answer)
    assert ran.code == 2
    assert f"There is no base parser for the encoder {tiny_encoder} yet" in ran.err
    assert "fine-tuned once on en_ewt-ud-train.conllu (2 steps" in ran.err
    assert ran.last.endswith("sublingual: no base parser; give one by --model, or answer yes (--yes)")
    assert ran.out == ""
    assert not (tmp_path / "home").exists()
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("yes", [True, False])
def test_the_base_parser_is_made_after_a_yes_and_used_again(
    run: Run, tmp_path: Path, support: Path, ewt: Path, tiny_encoder: Path, yes: bool
) -> None:
    words = ("--encoder", tiny_encoder, *LAST)
    asked = ("--yes",) if yes else ()
    first = run("adapt", support, tmp_path / "one", "--ud", ewt, *words, *asked, stdin=b"" if yes else b"y\n")
    assert first.code == 0, first.err
    (cached,) = (tmp_path / "home" / "base").glob("*/manifest.json")
    assert Parser.from_pretrained(cached.parent).about.data[0]["file"] == "en_ewt-ud-train.conllu"
    second = run("adapt", support, tmp_path / "two", *words)  # neither UD nor a yes is needed
    assert second.code == 0, second.err
    assert f"base parser: {cached.parent}" in second.err
    assert same_model(tmp_path / "one", tmp_path / "two")


def test_two_encoders_of_one_directory_name_have_two_base_parsers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for place in ("a", "b"):
        (tmp_path / place / "enc").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place)
        names |= {base._cache_name("enc"), base._cache_name(str(tmp_path / place / "enc"))}
    assert len(names) == 2
    assert base._cache_name("org/name") == "org--name"


def test_without_ud_the_base_parser_says_how_to_get_it(
    run: Run, tmp_path: Path, support: Path, tiny_encoder: Path
) -> None:
    ran = run("adapt", support, tmp_path / "m", "--encoder", tiny_encoder, stdin=b"n\n")
    assert ran.code == 2
    assert "It is fine-tuned once on UD_English-EWT (1600 steps; with the encoder `bundled` 20 to 30 minutes" in ran.err
    assert "Universal Dependencies 2.9 is not here either: some hundred megabytes are downloaded first" in ran.err
    assert "If you have it: --ud PATH, or `sublingual data import PATH`" in ran.err
    assert ran.last.startswith("Download and train now? [y/N] sublingual: no base parser")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("yes", [True, False])
def test_without_ud_it_is_fetched_after_a_yes(
    run: Run,
    tmp_path: Path,
    support: Path,
    ewt: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    yes: bool,
) -> None:
    archive = tmp_path / "ud-treebanks-v2.9.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(ewt, "ud-treebanks-v2.9")
    asked: list[str] = []
    monkeypatch.setattr(releases, "download_release", lambda release, **options: asked.append(release) or archive)
    words = ("adapt", support, tmp_path / "m", "--encoder", tiny_encoder, *LAST)
    ran = run(*words, "--yes") if yes else run(*words, stdin=b"y\n")
    assert ran.code == 0, ran.err
    assert asked == ["2.9"]
    assert "UD 2.9 taken in: 1 treebanks" in ran.err
    assert Parser.from_pretrained(tmp_path / "m").about.data[0]["file"] == "en_ewt-ud-train.conllu"


def test_a_download_that_fails_says_the_way_by_hand(
    run: Run, tmp_path: Path, support: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "release_url", lambda release: "http://127.0.0.1:9/ud.tgz")
    ran = run("adapt", support, tmp_path / "m", "--encoder", tiny_encoder, "--yes")
    assert ran.code == 1
    assert "sublingual data import FILE" in ran.last


def test_a_release_without_english_ewt_is_no_reason_to_train_on_another(
    run: Run, tmp_path: Path, support: Path, tiny_encoder: Path, ud_folder: Path
) -> None:
    ran = run("adapt", support, tmp_path / "m", "--encoder", tiny_encoder, "--ud", ud_folder, "--yes")
    assert ran.code == 1
    assert "UD_English-EWT is not among the 10 treebanks" in ran.last
    assert not (tmp_path / "home").exists()


def test_without_a_hub_the_default_encoder_stops_before_the_question_and_names_the_bundled_one(
    tmp_path: Path, support: Path, ud_folder: Path
) -> None:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "SUBLINGUAL_HOME": str(tmp_path / "home")}
    code = "from sublingual.cli import main; main()"
    words = [sys.executable, "-c", code, "adapt", support, tmp_path / "m", "--ud", ud_folder]
    ran = subprocess.run(list(map(str, words)), env=env, input="y\n", capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "the encoder 'bert-base-multilingual-cased' could not be loaded" in ran.stderr
    assert "--encoder bundled" in ran.stderr
    assert "Train it now?" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "m").exists()


# parse


def test_parsed_again_files_are_equal_and_standard_streams_give_the_same(
    run: Run, adapted: tuple[Path, str], tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    source = conllu(english)
    once, twice = tmp_path / "once.conllu", tmp_path / "twice.conllu"
    assert run("parse", adapted[0], source, once).code == 0
    assert run("parse", adapted[0], once, twice).code == 0
    assert once.read_bytes() == twice.read_bytes()
    piped = run("parse", adapted[0], "-", "-", stdin=source.read_bytes())
    assert piped.raw == once.read_bytes()
    assert run("parse", adapted[0], source).raw == once.read_bytes()
    for before, after in zip(english, read_conllu(once), strict=True):
        assert after.comments == before.comments
        assert [(*row[:6], *row[8:]) for row in after.rows] == [(*row[:6], *row[8:]) for row in before.rows]
    assert [s.heads for s in read_conllu(once)] != [s.heads for s in english]


def test_garbage_in_head_and_deprel_of_the_input_is_not_looked_at(
    run: Run, model: Path, conllu: Write, english: list[Sentence]
) -> None:
    lines = []
    for n, line in enumerate("".join(s.to_conllu() for s in english[:10]).split("\n")):
        cells = line.split("\t")
        if cells[0].isdecimal():
            cells[6], cells[7] = ("99", "x", "-1", "_", cells[0])[n % 5], ("a b", "_", "root", "?", "obj")[n % 5]
        lines.append("\t".join(cells))
    garbage = run("parse", model, conllu("\n".join(lines)))
    assert garbage.code == 0, garbage.err
    assert garbage.raw == run("parse", model, conllu(english[:10])).raw


DEPS = "1\tHey\they\tINTJ\t_\t_\t0\troot\t0:root\tSpaceAfter=No\n1.1\tyou\t_\t_\t_\t_\t_\t_\t1:x\t_\n\n"


def test_enhanced_dependencies_are_kept_with_a_note_or_dropped(run: Run, model: Path, conllu: Write) -> None:
    kept = run("parse", model, conllu(DEPS))
    assert kept.out == DEPS
    assert "1 sentences have enhanced dependencies (DEPS), which are kept as they were: --drop-deps" in kept.err
    dropped = run("parse", model, conllu(DEPS), "--drop-deps")
    assert "DEPS" not in dropped.err
    assert "empty nodes: 1, kept as they are and not parsed\n" in dropped.err
    assert [line.split("\t")[8] for line in dropped.out.split("\n") if line] == ["_"] * dropped.out.strip().count(
        "\n"
    ) + ["_"]


def test_windows_line_ends_are_read_and_written_as_lf(
    run: Run, model: Path, conllu: Write, english: list[Sentence]
) -> None:
    text = "".join(s.to_conllu() for s in english[:5])
    unix = run("parse", model, conllu(text))
    windows = run("parse", model, conllu(text.replace("\n", "\r\n")))
    assert windows.raw == unix.raw
    assert (
        "file.conllu:1: warning: lines end with CR LF (Windows); read as LF, and written so [non-unix-newline]\n"
        in windows.err
    )


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n\n"])
def test_empty_input_parses_to_empty_output(run: Run, model: Path, tmp_path: Path, conllu: Write, content: str) -> None:
    ran = run("parse", model, conllu(content), tmp_path / "out.conllu")
    assert ran.code == 0
    assert (tmp_path / "out.conllu").read_bytes() == b""
    assert "file.conllu holds no sentences" in ran.err


@pytest.mark.parametrize(
    ("source", "message"), [("none.conllu", "cannot be read: No such file"), (".", "cannot be read: Is a directory")]
)
def test_input_that_is_no_file_is_refused_in_one_line(
    run: Run, model: Path, tmp_path: Path, source: str, message: str
) -> None:
    for words in (("parse", model, tmp_path / source), ("adapt", tmp_path / source, tmp_path / "m", "--model", model)):
        ran = run(*words)
        assert ran.code == 1
        assert message in ran.err
        assert ran.err.startswith("sublingual: ")
        assert ran.err.count("\n") == 1


def test_output_that_cannot_be_written_is_refused_before_the_model_is_read(
    run: Run, tmp_path: Path, conllu: Write, english: list[Sentence]
) -> None:
    source, none = conllu(english[:2]), tmp_path / "no-model"
    assert "is a folder; name a file to write" in run("parse", none, source, tmp_path).last
    assert "there is no folder" in run("parse", none, source, tmp_path / "no" / "out.conllu").last
    assert "CoNLL-U is written unpacked" in run("parse", none, source, tmp_path / "out.conllu.gz").last


def test_a_folder_that_is_no_model_is_refused(
    run: Run, tmp_path: Path, model: Path, tiny_encoder: Path, conllu: Write, english: list[Sentence]
) -> None:
    source = conllu(english[:2])
    assert "it is no model" in run("parse", tmp_path, source).last
    assert "use it by --encoder" in run("parse", tiny_encoder, source).last
    assert "is a file: a model is a folder" in run("parse", source, source).last
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    (damaged / "model.safetensors").write_bytes(weights)
    ran = run("parse", damaged, source)
    assert ran.code == 1
    assert "model.safetensors is damaged" in ran.last


@pytest.mark.parametrize("words", [("--device", "tpu"), ("--precision", "fp8")])
def test_parse_refuses_unknown_devices_and_precisions_even_for_an_empty_file(
    run: Run, model: Path, conllu: Write, words: tuple[str, str]
) -> None:
    ran = run("parse", model, conllu(""), *words)
    assert ran.code == 2
    assert f"unknown {words[0][2:]} {words[1]!r}" in ran.last


# fewshot


@pytest.fixture(scope="module")
def tested(
    run: Run, model: Path, ud_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records and the printed summary of two treebanks, two seeds each: one with a dev split, one without."""
    file = tmp_path_factory.mktemp("records") / "records.jsonl"
    banks = ("UD_Norwegian-Demo", "UD_Turkish-Demo")
    ran = run(
        "fewshot", model, *banks, "--ud", ud_folder, "--seeds", 2, "--records", file, "--json", "--set", "steps=2"
    )
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()], json.loads(ran.out)


def test_records_hold_what_judges_them(
    tested: tuple[list[dict[str, Any]], list[dict[str, Any]]], model: Path, ud_folder: Path
) -> None:
    records, _ = tested
    assert [(r["treebank"], r["support_seed"]) for r in records] == [
        (bank, seed) for bank in ("UD_Norwegian-Demo", "UD_Turkish-Demo") for seed in (0, 1)
    ]
    about = Parser.from_pretrained(model).about
    for record in records:
        bank = embedded(record["treebank"])
        best = nearest(record["treebank"])[0]
        near = {"code": best.code, "similarity": round(best.similarity, 4)}
        assert record["transfer"] == near | {"method": "full", "gates_off": 0}  # this parser has no subnetworks
        assert record["training_seed"] == 5
        assert record["parser"]["data"] == list(about.data)
        assert record["parser"]["trained_on"] == ["en"]
        assert record["parser"]["settings"] == about.settings
        assert record["files"] == {p.name: sha256_of(p) for split in ("dev", "test") for p in bank.files(split)}
        assert record["config"]["steps"] == 2
        assert record["config"]["precision"] in ("fp32", "bf16")
        assert set(record["loss"]) == {"before", "after"}
        assert record["is_adapted"] == (record["loss"]["after"] < record["loss"]["before"])
        assert {"sublingual", "torch", "transformers", "python"} <= set(record["versions"])
        assert {"cpu", "threads", "platform"} <= set(record["machine"])
        assert record["signature"].startswith("LAS|conll18")
        assert record["new_labels"] == []
        assert record["seconds"] > 0
        assert record["sentences"] + record["repeated_left_out"] == len(bank.sentences("test")) - (
            0 if bank.files("dev") else 20
        )


def test_records_name_the_support_which_is_never_scored(
    tested: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    for record in tested[0]:
        bank = embedded(record["treebank"])
        source = record["support_source"]
        assert source == ("dev" if bank.files("dev") else "test")
        pool = bank.sentences(source)
        by_id = {s.sent_id: s for s in pool}
        drawn = np.random.default_rng(record["support_seed"]).permutation(len(pool))[:20]
        assert record["support"] == [pool[i].sent_id for i in drawn]
        assert record["support_words"] == sum(len(by_id[name].words) for name in record["support"])
    supports = [tuple(record["support"]) for record in tested[0]]
    assert len(set(supports)) == len(supports)


def las(gold: list[Sentence], system: list[Sentence]) -> float:
    """Per cent of words with the right head and the right universal part of the label, counted one by one."""
    right = words = 0
    for one, other in zip(gold, system, strict=True):
        for head, label, head2, label2 in zip(one.heads, one.labels, other.heads, other.labels, strict=True):
            words += 1
            right += head == head2 and (label or "").split(":")[0] == (label2 or "").split(":")[0]
    return 100 * right / words


def test_zero_shot_and_adapted_are_scored_on_the_same_remaining_sentences(
    tested: tuple[list[dict[str, Any]], list[dict[str, Any]]], model: Path
) -> None:
    parser = Parser.from_pretrained(model)
    for record in tested[0][1:3]:
        bank = embedded(record["treebank"])
        pool = bank.sentences(record["support_source"])
        support = [s for name in record["support"] for s in pool if s.sent_id == name]
        left = [s for s in bank.sentences("test") if s.words not in {one.words for one in support}]
        assert record["sentences"] == len(left)
        assert record["zero_shot"]["las"]["f1"] == pytest.approx(las(left, parser.parse(left)))
        config = AdaptConfig(**record["config"])
        again = adapt(parser, support, config=config, seed=record["support_seed"])
        assert record["adapted"]["las"]["f1"] == pytest.approx(las(left, again.parser.parse(left)))
        assert (record["loss"]["before"], record["loss"]["after"]) == (again.before, again.after)


def test_the_summary_has_means_and_deviation_over_seeds(
    tested: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    records, rows = tested
    for row in rows:
        own = [r["adapted"]["las"]["f1"] for r in records if r["treebank"] == row["treebank"]]
        assert row["seeds"] == 2
        assert row["adapted_las"] == round(sum(own) / 2, 2)
        assert row["sd"] == pytest.approx(abs(own[0] - own[1]) / 2**0.5, abs=0.006)


def test_records_are_appended_and_the_table_is_tab_separated_in_a_pipe(
    run: Run, model: Path, ud_folder: Path, tmp_path: Path
) -> None:
    words = ("--ud", ud_folder, "--seeds", 1, "-n", 5, "--records", tmp_path / "r.jsonl", "--set", "steps=0")
    first = run("fewshot", model, "UD_Turkish-Demo", *words)
    assert first.code == 0, first.err
    assert first.err.splitlines()[-1] == WARNING
    table = run("table", tmp_path / "r.jsonl", "--format", "md")
    assert table.out.splitlines()[-1] == f"- {WARNING}", table.err
    run("fewshot", model, "UD_Turkish-Demo", *words)
    assert len((tmp_path / "r.jsonl").read_text("utf-8").splitlines()) == 2
    header, row = first.out.splitlines()
    assert header.split("\t")[:4] == ["system", "treebank", "transfer", "similarity"]
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (cells["system"], cells["treebank"]) == ("stage1", "UD_Turkish-Demo")
    assert (cells["sd"], cells["seeds"], cells["sentences"]) == ("-", "1", "45")
    assert float(cells["zero-shot LAS"]) >= 0
    assert cells["adapted LAS"] == "-"  # no steps were taken: the support loss is no lower, so nothing was adapted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("UD_Turkish-Demo", "UD_Turkis-Demo"), "unknown treebank 'UD_Turkis-Demo'"),
        (("UD_Turkish-Demo", "--records", "no/such/r.jsonl"), "there is no folder no/such"),
    ],
)
def test_fewshot_finds_all_treebanks_and_its_file_before_the_first_run(
    run: Run, tmp_path: Path, ud_folder: Path, words: tuple[str, ...], message: str
) -> None:
    ran = run("fewshot", tmp_path / "no-model", *words, "--ud", ud_folder)
    assert ran.code == 1
    assert message in ran.last


def test_fewshot_refuses_a_treebank_without_test(run: Run, tmp_path: Path, ud_folder: Path) -> None:
    folder = tmp_path / "UD_Faroese-Own"
    folder.mkdir()
    shutil.copy(ud_folder / "UD_English-Demo" / "en_demo-ud-dev.conllu", folder / "fo_own-ud-dev.conllu")
    ran = run("fewshot", tmp_path / "no-model", "UD_Faroese-Own", "--ud", tmp_path)
    assert ran.last == "sublingual: UD_Faroese-Own has no test split; name another treebank"
