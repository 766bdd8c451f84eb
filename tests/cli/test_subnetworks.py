"""`sublingual subnetwork`, `joint`, `meta`: from a parser to subnetworks to systems to records, on a tiny encoder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from sublingual.data.embedded import WARNING
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.parsing import Parser
from sublingual.subnetworks.gates import Subnetwork, read_subnetwork, write_subnetwork
from sublingual.subnetworks.masks import read_weight_subnetwork

Run = Callable[..., Any]

BANKS = ("UD_Hindi-Demo", "UD_Italian-Demo")
QUICK = ("--set", "finetune.steps=3", "--set", "finetune.batch=4", "--set", "prune.share=0.25")
FEW = ("--steps", "2", "--set", "batch=3")


def write(path: Path, rows: list[str], language: str) -> Path:
    gates = np.array([[c == "1" for c in row] for row in rows])
    write_subnetwork(
        path, Subnetwork(gates, language=language, method="pruned", seeds=(0,), dev_before=50.0, dev_after=48.0)
    )
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "a.json", ["11", "01"], "hi"), write(tmp_path / "b.json", ["10", "01"], "it")]


@pytest.fixture(scope="module")
def found(run: Run, model: Path, ud_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("found")
    ran = run("subnetwork", "find", folder, *BANKS, "--model", model, "--ud", ud_folder, "--seeds", 2, *QUICK)
    assert ran.code == 0, ran.err
    return folder


def test_show_draws_the_gates(run: Run, two: list[Path], tmp_path: Path) -> None:
    ran = run("subnetwork", "show", *two, "--svg", tmp_path / "map.svg")
    assert "hi, pruned, seeds 0: 1 of 4 attention heads off, dev LAS 50.00 before and 48.00 after" in ran.out
    assert "1 ##   2\n2 .#   1" in ran.out
    assert (tmp_path / "map.svg").read_text("utf-8").startswith("<svg")
    assert [s["gates"] for s in json.loads(run("subnetwork", "show", *two, "--json").out)] == [
        ["11", "01"],
        ["10", "01"],
    ]


def test_compare_counts_what_is_shared(run: Run, two: list[Path]) -> None:
    (pair,) = json.loads(run("subnetwork", "compare", *two, "--json").out)
    assert (pair["jaccard_on"], pair["jaccard_off"]) == (2 / 3, 1 / 2)
    assert (pair["both"], pair["either"]) == ([1, 1], [2, 1])
    assert run("subnetwork", "compare", *two).out.splitlines()[1] == "a\tb\t0.667\t0.500\t1 1\t2 1"


def test_a_matrix_has_a_line_a_subnetwork(run: Run, two: list[Path]) -> None:
    lines = run("subnetwork", "compare", *two, "--matrix").out.splitlines()
    assert lines == ["Jaccard off\ta\tb", "a\t1.000\t0.500", "b\t0.500\t1.000"]
    assert "--matrix and --json: give one of them" in run("subnetwork", "compare", *two, "--matrix", "--json").last


def test_subnetworks_of_toy_treebanks_are_said_to_be(run: Run, two: list[Path], found: Path, tmp_path: Path) -> None:
    assert run("subnetwork", "union", tmp_path / "u.json", found / "hi-0.json", found / "hi-0.json").code == 0
    assert len(read_subnetwork(tmp_path / "u.json").details["data"]) == 2  # train and dev, each once
    toys = [tmp_path / "u.json", found / "it-0.json"]
    for words in (("show",), ("compare",), ("compare", "--matrix")):
        assert WARNING in run("subnetwork", words[0], *toys, *words[1:]).err
        assert WARNING not in run("subnetwork", words[0], *two, *words[1:]).err


def test_union_and_intersection_are_written(run: Run, two: list[Path], tmp_path: Path) -> None:
    assert run("subnetwork", "union", tmp_path / "u.json", *two).code == 0
    assert run("subnetwork", "union", tmp_path / "i.json", *two, "--intersection").code == 0
    assert read_subnetwork(tmp_path / "u.json").rows() == ["11", "01"]
    assert read_subnetwork(tmp_path / "i.json").rows() == ["10", "01"]


def test_a_damaged_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    ran = run("subnetwork", "show", tmp_path / "x.json")
    assert (ran.code, ran.out) == (1, "")
    assert "x.json is no subnetwork of format 1; find it anew" in ran.last


def test_showing_and_comparing_import_no_torch(two: list[Path]) -> None:
    code = (
        "import sys; from sublingual.cli import app; "
        f"app(['subnetwork', 'compare', {str(two[0])!r}, {str(two[1])!r}], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False).returncode == 0


def test_find_writes_a_file_a_seed_and_their_union(found: Path, run: Run, model: Path, ud_folder: Path) -> None:
    assert sorted(p.name for p in found.glob("*.json")) == [
        *("hi-0.json", "hi-1.json", "hi.json"),
        *("it-0.json", "it-1.json", "it.json"),
    ]
    seeds = [read_subnetwork(found / f"hi-{seed}.json") for seed in (0, 1)]
    assert np.array_equal(read_subnetwork(found / "hi.json").gates, seeds[0].gates | seeds[1].gates)
    for seed, s in enumerate(seeds):
        assert (s.language, s.method, s.seeds) == ("hi", "pruned", (seed,))
        assert s.fingerprint == Parser.from_pretrained(model).network.encoder.identity
        assert s.dev_before is not None
        assert s.dev_after is not None
        assert s.dev_after >= 0.95 * s.dev_before
        assert s.details["start"] == "stage 1"
        assert np.array(s.details["importance"]).shape == s.shape
    before = {p: p.read_bytes() for p in found.glob("*.json")}
    again = run("subnetwork", "find", found, *BANKS, "--model", model, "--ud", ud_folder, "--seeds", 2, *QUICK)
    assert again.code == 0
    assert {p: p.read_bytes() for p in found.glob("*.json")} == before


def test_what_is_there_of_another_search_is_refused(
    run: Run, found: Path, model: Path, tiny_encoder: Path, ud_folder: Path
) -> None:
    before = {p: p.read_bytes() for p in found.glob("*.json")}
    options = (*BANKS, "--ud", ud_folder, "--seeds", 2, *QUICK)
    for start, changed, other in (
        (("--model", model), ("--set", "prune.keep=0.5"), "settings"),
        (("--model", model), ("hi=UD_Norwegian-Demo",), "data"),
        (("--encoder", tiny_encoder), (), "start"),
    ):
        ran = run("subnetwork", "find", found, *options, *start, *changed)
        assert ran.code == 1
        assert f"hi-0.json was found with other {other}; choose another folder, or delete it" in ran.last
    assert {p: p.read_bytes() for p in found.glob("*.json")} == before


def test_find_starts_from_a_parser_or_from_an_encoder(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    for options in ([], ["--model", model, "--encoder", "x"]):
        ran = run("subnetwork", "find", tmp_path / "f", *BANKS, "--ud", ud_folder, *options)
        assert ran.code == 2
        assert "give --model M (a parser of stage 1) or --encoder E" in ran.last


def test_importance_is_per_sentence_or_per_piece(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    options = (tmp_path / "f", BANKS[0], "--model", model, "--ud", ud_folder, "--seeds", 1, *QUICK, "--set")
    ran = run("subnetwork", "find", *options, "prune.per=token")
    assert ran.code == 2
    assert "'prune.per' is 'token': input should be 'sentence' or 'piece'" in ran.last
    assert run("subnetwork", "find", *options, "prune.per=piece").code == 0
    assert read_subnetwork(tmp_path / "f" / "hi-0.json").details["settings"]["prune"]["per"] == "piece"


def test_find_from_a_pretrained_encoder(run: Run, tiny_encoder: Path, tmp_path: Path, ud_folder: Path) -> None:
    ran = run(
        *(
            "subnetwork",
            "find",
            tmp_path / "f",
            BANKS[0],
            "--encoder",
            tiny_encoder,
            "--ud",
            ud_folder,
            "--seeds",
            1,
            *QUICK,
        )
    )
    assert ran.code == 0, ran.err
    assert read_subnetwork(tmp_path / "f" / "hi.json").shape == (2, 2)
    assert read_subnetwork(tmp_path / "f" / "hi-0.json").details["start"] == "pretrained encoder"


@pytest.mark.parametrize(
    ("command", "gates"),
    [("joint", "full"), ("joint", "static"), ("joint", "dynamic"), ("joint", "adapters"), ("meta", "dynamic")],
)
def test_a_system_is_trained_and_tested(
    run: Run, model: Path, found: Path, tmp_path: Path, ud_folder: Path, command: str, gates: str
) -> None:
    if gates == "adapters":
        pytest.importorskip("peft")
    inner = ("--set", "inner.steps=2") if command == "meta" else ()
    ran = run(
        *(command, model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", gates, "--subnetworks", found),
        *(*FEW, *inner, "--seed", 4, "--json"),
    )
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    parser = Parser.from_pretrained(tmp_path / "m")
    name = f"{'nonep' if command == 'joint' else 'meta'}-{gates}"
    assert (sum(said["switched_per_100_steps"].values()) > 0) <= (gates == "dynamic")
    assert ("gates" in parser.about.settings) == (gates == "dynamic")
    assert said["system"] == parser.about.settings["system"] == name
    assert parser.about.trained_on == ("en", "hi", "it")
    assert parser.about.seeds == {"training": 5, "stage2": 4}
    assert [*parser.subnetworks] == ([] if gates == "full" else ["hi", "it"])
    if gates == "static":
        for code, own in parser.subnetworks.items():
            assert np.array_equal(own.bool().numpy(), read_subnetwork(found / f"{code}.json").gates)
    lines = (tmp_path / "m.run" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert "loss_hi" in json.loads(lines[0])
    assert ("support_after_hi" in json.loads(lines[0])) == (command == "meta")
    ran = run(
        *(
            "fewshot",
            tmp_path / "m",
            "UD_Turkish-Demo",
            "--ud",
            ud_folder,
            "--seeds",
            1,
            "--cap",
            40,
            "--set",
            "steps=1",
        ),
        *("--records", tmp_path / "r.jsonl"),
    )
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "r.jsonl").read_text("utf-8"))
    assert (record["system"], record["training_seed"], record["cap"]) == (name, 4, 40)
    assert record["transfer"]["method"] == ("full" if gates == "full" else "nearest")
    few = ("--ud", ud_folder, "--seeds", 1, "--cap", 4, "--set", "steps=1", "--records", tmp_path / "named.jsonl")
    assert run("fewshot", tmp_path / "m", "UD_Turkish-Demo", *few, "--system", "mine").code == 0
    assert json.loads((tmp_path / "named.jsonl").read_text("utf-8"))["system"] == "mine"


def test_a_trained_parser_is_tested_in_other_gates(
    run: Run, model: Path, found: Path, tmp_path: Path, ud_folder: Path
) -> None:
    out, records = tmp_path / "m", tmp_path / "r.jsonl"
    ran = run("joint", model, out, *BANKS, "--ud", ud_folder, "--gates", "static", "--subnetworks", found, *FEW)
    assert ran.code == 0, ran.err
    few = ("UD_Turkish-Demo", "--ud", ud_folder, "--seeds", 1, "--cap", 4, "--set", "steps=1")
    gates = ("--gates", "intersection", "--subnetworks", found)
    assert run("fewshot", out, *few, *gates, "--records", records).code == 0
    assert run("test", out, BANKS[0], "--ud", ud_folder, *gates, "--records", records).code == 0
    fewshot, own = (json.loads(line) for line in records.read_text("utf-8").splitlines())
    for record in (fewshot, own):
        seeds = [read_subnetwork(found / f"{record['transfer']['code']}-{seed}.json").gates for seed in (0, 1)]
        assert record["system"] == "nonep-static (intersection)"
        assert record["transfer"]["gates_off"] == np.count_nonzero(~(seeds[0] & seeds[1]))
    assert own["transfer"]["code"] == "hi"
    ran = run("fewshot", out, *few, "--subnetworks", found)
    assert ran.code == 2
    assert "say which gates to make of them, such as --gates intersection" in ran.last
    ran = run("test", model, BANKS[0], "--ud", ud_folder, *gates)
    assert ran.code == 2
    assert "the parser runs in full: it has no subnetworks to replace" in ran.last


def test_a_language_with_labels_that_ud_does_not_document_is_trained_on(
    run: Run, model: Path, tmp_path: Path, ud_folder: Path
) -> None:
    text = next(iter((ud_folder / BANKS[0]).glob("*-train.conllu"))).read_text("utf-8")
    assert "\tobl\t" in text
    file = tmp_path / "hi_demo-ud-train.conllu"
    file.write_text(text.replace("\tobl\t", "\tobl:zzz\t"), "utf-8")
    ran = run("joint", model, tmp_path / "m", file, BANKS[1], "--ud", ud_folder, *FEW)
    assert ran.code == 0, ran.err
    assert Parser.from_pretrained(tmp_path / "m").network.vocabulary.labels[-1] == "obl:zzz"


def test_a_system_that_needs_subnetworks_says_so(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    ran = run("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "static", *FEW)
    assert ran.code == 2
    assert (
        "'nonep-static' is made from subnetworks: name their folder with --subnetworks, or find some first" in ran.last
    )
    (tmp_path / "empty").mkdir()
    ran = run(
        *("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "static", *FEW),
        *("--subnetworks", tmp_path / "empty"),
    )
    assert "'nonep-static' needs a subnetwork of hi; find one: sublingual subnetwork find" in ran.last
    ran = run("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--subnetworks", tmp_path / "none", *FEW)
    assert "none: no such folder; find subnetworks first" in ran.last


def test_gates_of_another_encoder_are_refused(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    write(tmp_path / "hi.json", ["111", "111"], "hi")
    ran = run(
        "joint",
        model,
        tmp_path / "m",
        BANKS[0],
        "--ud",
        ud_folder,
        "--gates",
        "static",
        "--subnetworks",
        tmp_path,
        *FEW,
    )
    assert ran.code == 1
    assert "of hi has 2 layers of 3 attention heads, where 2 of 2 are needed" in ran.last


def test_an_unknown_system_names_the_known_ones(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    ran = run("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "statik")
    assert ran.code == 2
    assert "unknown system 'nonep-statik'; there are: nonep-full" in ran.last


def test_a_system_of_ones_own_is_a_few_lines(run: Run, model: Path, tmp_path: Path, ud_folder: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[nonep-half]\nloop = "joint"\ngates = "static"\nstart = "random"\noff = 0.5\n', "utf-8")
    options = (*BANKS, "--ud", ud_folder, "--systems", own, *FEW)
    ran = run("joint", model, tmp_path / "m", *options, "--gates", "half-only-hi", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["off"] == {"hi": 2, "it": 0}
    tested = ("test", tmp_path / "m", *BANKS, "--ud", ud_folder, "--systems", own, "--records", tmp_path / "r.jsonl")
    assert run(*tested, "--gates", "half").code == 0
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [(record["system"], record["transfer"]["gates_off"]) for record in records] == [
        ("nonep-half-only-hi (half)", 2),
        ("nonep-half-only-hi (half)", 2),
    ]
    assert "say which of them, with --gates" in run(*tested).last
    own.write_text('[nonep-full]\nloop = "joint"\n', "utf-8")
    ran = run("joint", model, tmp_path / "x", *options)
    assert "own.toml: the name 'nonep-full' is taken by one of the package's systems" in ran.last
    own.write_text('[half]\nloop = "joint"\n', "utf-8")
    ran = run("joint", model, tmp_path / "x", *options)
    assert "own.toml: 'half' is of the joint loop, so that its name begins with 'nonep-'" in ran.last


def test_a_file_whose_language_is_hidden_is_asked_for(
    run: Run, model: Path, tmp_path: Path, conllu: Callable[..., Path], demo: Callable[..., list[object]]
) -> None:
    path = conllu(demo("Hindi", 6), "zzz.conllu")
    ran = run("joint", model, tmp_path / "m", path, *FEW)
    assert ran.code == 1
    assert "which language is it?" in ran.last
    assert f"write CODE={path}" in ran.last
    ran = run("joint", model, tmp_path / "m", f"hi={path}", *FEW)
    assert ran.code == 0, ran.err


def test_the_nearest_subnetwork_is_used_for_adapting(
    run: Run,
    model: Path,
    found: Path,
    tmp_path: Path,
    ud_folder: Path,
    conllu: Callable[..., Path],
    demo: Callable[..., list[object]],
) -> None:
    run("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "r20-percent", *FEW)
    support = conllu(demo("Turkish", 5), "my.conllu")
    ran = run("adapt", support, tmp_path / "tr", "--model", tmp_path / "m", "--lang", "tr", "--steps", 1)
    assert ran.code == 0, ran.err
    assert "attention heads off" in ran.err
    gates = Parser.from_pretrained(tmp_path / "tr").gates
    assert gates is not None
    unknown = run("adapt", support, tmp_path / "x", "--model", tmp_path / "m", "--steps", 1, "--no-estimate")
    assert "adapting the full encoder, in none of the parser's subnetworks" in unknown.err
    assert Parser.from_pretrained(tmp_path / "x").gates is None


def test_training_languages_are_scored_in_their_own_subnetworks(
    run: Run, model: Path, found: Path, tmp_path: Path, ud_folder: Path
) -> None:
    ran = run(
        *("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "static-only-hi"),
        *("--subnetworks", found, *FEW),
    )
    assert ran.code == 0, ran.err
    ran = run("test", tmp_path / "m", *BANKS, "--ud", ud_folder, "--records", tmp_path / "r.jsonl", "--json")
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == WARNING
    off = {row["language"]: row["heads off"] for row in json.loads(ran.out)}
    assert off == {"hi": read_subnetwork(found / "hi.json").n_off, "it": 0}
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [(r["system"], r["treebank"], r["transfer"]["method"]) for r in records] == [
        ("nonep-static-only-hi", "UD_Hindi-Demo", "own"),
        ("nonep-static-only-hi", "UD_Italian-Demo", "own"),
    ]
    listed = run("table", tmp_path / "r.jsonl", "--by", "treebank", "--format", "tsv")
    assert listed.code == 0, listed.err
    assert "UD_Hindi-Demo" in listed.out
    foreign = run("test", tmp_path / "m", "UD_Turkish-Demo", "--ud", ud_folder)
    assert foreign.code == 2
    assert "no subnetwork of tr; it has those of hi, it" in foreign.last
    assert run("test", tmp_path / "m", "UD_Turkish-Demo", "--ud", ud_folder, "--transfer", "it").code == 0


def contents(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Header and packed bits of a file; the format's library writes the header's keys in no fixed order."""
    with safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("command", ["joint", "meta"])
def test_subnetworks_of_single_weights_go_the_same_way(
    run: Run,
    model: Path,
    tmp_path: Path,
    ud_folder: Path,
    command: str,
    conllu: Callable[..., Path],
    demo: Callable[..., list[object]],
) -> None:
    folder, out = tmp_path / "found", tmp_path / "m"
    options = ("--model", model, "--ud", ud_folder, "--seeds", 2, "--kind", "weights", *QUICK)
    ran = run("subnetwork", "find", folder, *BANKS, *options)
    assert ran.code == 0, ran.err
    assert sorted(p.name for p in folder.glob("*.safetensors"))[:3] == [
        "hi-0.safetensors",
        "hi-1.safetensors",
        "hi.safetensors",
    ]
    shown = run("subnetwork", "show", folder / "hi-0.safetensors", "--json")
    (said,) = json.loads(shown.out)
    assert (said["language"], said["weights"]) == ("hi", 8192)  # 2 layers of 4 projections of 32 x 32
    (pair,) = json.loads(run("subnetwork", "compare", *sorted(folder.glob("hi-?.safetensors")), "--json").out)
    assert 0 < pair["jaccard_on"] <= 1
    assert run("subnetwork", "union", tmp_path / "u.safetensors", *sorted(folder.glob("hi-?.safetensors"))).code == 0
    assert contents(tmp_path / "u.safetensors") == contents(folder / "hi.safetensors")

    inner = ("--set", "inner.steps=2") if command == "meta" else ()
    ran = run(
        *(command, model, out, *BANKS, "--ud", ud_folder, "--gates", "unstructured", "--subnetworks", folder),
        *(*FEW, *inner, "--json"),
    )
    assert ran.code == 0, ran.err
    parser = Parser.from_pretrained(out)
    for code, own in parser.subnetworks.items():
        assert isinstance(own, WeightMask)
        expected = read_weight_subnetwork(folder / f"{code}.safetensors")
        assert all(np.array_equal(own.kept[name].numpy(), on) for name, on in expected.kept.items())
    assert json.loads(ran.out)["off"] == {code: own.n_off for code, own in parser.subnetworks.items()}  # type: ignore[union-attr]
    ran = run("test", out, *BANKS, "--ud", ud_folder, "--records", tmp_path / "r.jsonl")
    assert ran.code == 0, ran.err
    ran = run(
        *("fewshot", out, "UD_Turkish-Demo", "--ud", ud_folder, "--seeds", 1, "--set", "steps=2"),
        *("--records", tmp_path / "f.jsonl"),
    )
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "f.jsonl").read_text("utf-8"))
    assert record["transfer"]["weights_off"] == parser.subnetworks[record["transfer"]["code"]].n_off  # type: ignore[union-attr]
    ran = run("fewshot", out, "UD_Turkish-Demo", "--ud", ud_folder, "--seeds", 1, "--transfer", "mixture")
    assert ran.code == 2
    assert "the parser's subnetworks are of other kinds" in ran.last

    support = conllu(demo("Turkish", 5), "my.conllu")
    ran = run("adapt", support, tmp_path / "tr", "--model", out, "--lang", "tr", "--steps", 2)
    assert ran.code == 0, ran.err
    assert "weights off" in ran.err
    adapted = Parser.from_pretrained(tmp_path / "tr")
    assert isinstance(adapted.gates, WeightMask)
    for name, p in attention_weights(adapted.network.encoder).items():
        assert (p[~adapted.gates.kept[name]] == 0).all()
    assert run("compact", tmp_path / "tr", tmp_path / "c").last.endswith("only whole attention heads can be removed")


def test_unstructured_masks_that_are_missing_are_asked_for(
    run: Run, model: Path, found: Path, tmp_path: Path, ud_folder: Path
) -> None:
    ran = run(
        *("joint", model, tmp_path / "m", *BANKS, "--ud", ud_folder, "--gates", "unstructured", *FEW),
        *("--subnetworks", found),
    )
    assert ran.code == 2
    assert "needs a subnetwork of hi; find one: sublingual subnetwork find --kind weights" in ran.last
