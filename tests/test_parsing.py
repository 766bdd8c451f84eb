"""Parsing: order, bytes and trees; what the parser's neighbours in a batch must not change."""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from sublingual import parsing
from sublingual.data.batches import pack
from sublingual.data.conllu import Sentence, parse_conllu, write_conllu
from sublingual.errors import ConfigError, ModelError
from sublingual.model import hub
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser, parse

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]

RICH = """\
# newdoc id = d1
# sent_id = s-1
# text = Dal bosco\u00a0 esce
# note without value
1-2	Dal	_	_	_	_	_	_	_	SpaceAfter=No|Gloss=from the
1	Da	da	ADP	E	_	9	nonsense	4:case	_
2	il	il	DET	RD	Gender=Masc|Number=Sing	-7	_	_	A=1|B= 2
3	bosco	bosco	NOUN	S	Gender=Masc	x	case	4:obl	_
3.1	vuoto	_	VERB	_	_	_	_	0:root	CopyOf=4
4	esce	uscire	VERB	V	_	4	root	_	_
5	\U0001f600	_	SYM	_	_	_	_	_	_

"""


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser(dropout=True).eval()


@pytest.fixture
def mixed(demo: Demo) -> list[Sentence]:
    """Sentences of four languages and many lengths, in no order."""
    found = [s for name in ("English", "Norwegian", "Italian", "Arabic") for s in demo(name, 12)]
    random.Random(0).shuffle(found)
    return found


def test_sentences_keep_their_order_and_all_but_head_and_label(network: BiaffineParser, mixed: list[Sentence]) -> None:
    def without_tree(sentence: Sentence) -> list[Any]:
        return [sentence.comments, *((*row[:6], *row[8:]) for row in sentence.rows)]

    parsed = parse(network, mixed, budget=100)
    assert [without_tree(s) for s in parsed] == [without_tree(s) for s in mixed]
    assert [s.heads for s in parsed] != [s.heads for s in mixed]


def test_comments_ranges_empty_nodes_deps_and_misc_stay_byte_for_byte(network: BiaffineParser) -> None:
    (given,) = parse_conllu(RICH, heads="ignored")
    (parsed,) = parse(network, [given])
    before, after = RICH.splitlines(keepends=True), parsed.to_conllu().splitlines(keepends=True)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        a, b = old.split("\t"), new.split("\t")
        word = a[0].isdecimal() and len(a) == 10
        assert (a[:6] + a[8:] == b[:6] + b[8:]) if word else old == new
        assert not word or (b[6].isdecimal() and b[7] != "_")


def test_stale_deps_are_cleared_if_asked_for(network: BiaffineParser) -> None:
    given = parse_conllu(RICH, heads="ignored")
    kept, cleared = parse(network, given)[0], parse(network, given, drop_deps=True)[0]
    assert kept.heads == cleared.heads
    assert [row[8] for row in kept.rows] == [row[8] for row in given[0].rows]
    assert {row[8] for row in cleared.rows} == {"_"}


def test_heads_in_the_input_are_not_looked_at(network: BiaffineParser, mixed: list[Sentence]) -> None:
    def garbled(sentence: Sentence, seed: int) -> Sentence:
        rng = random.Random(seed)
        rows = [
            (*row[:6], rng.choice(["_", "0", "99", "-1", "x", "1.5"]), rng.choice(["_", "root", "rubbish"]), *row[8:])
            if row[0].isdecimal()
            else row
            for row in sentence.rows
        ]
        (read,) = parse_conllu(Sentence(sentence.comments, tuple(rows)).to_conllu(), heads="ignored")
        return read

    expected = parse(network, mixed)
    assert parse(network, [garbled(s, i) for i, s in enumerate(mixed)]) == expected
    assert parse(network, expected) == expected


@pytest.mark.parametrize("budget", [1, 50, 500, 5000])
def test_trees_do_not_depend_on_the_budget(network: BiaffineParser, mixed: list[Sentence], budget: int) -> None:
    assert parse(network, mixed, budget=budget) == parse(network, mixed)


def test_trees_do_not_depend_on_the_order(network: BiaffineParser, mixed: list[Sentence]) -> None:
    expected = parse(network, mixed)
    order = list(range(len(mixed)))
    for seed in range(3):
        random.Random(seed).shuffle(order)
        assert parse(network, [mixed[i] for i in order]) == [expected[i] for i in order]


def test_trees_do_not_depend_on_the_neighbours(network: BiaffineParser, mixed: list[Sentence]) -> None:
    assert [parse(network, [s])[0] for s in mixed] == parse(network, mixed)


def test_one_sentence_twice_is_parsed_twice(network: BiaffineParser, mixed: list[Sentence]) -> None:
    a, b = mixed[:2]
    x, y = parse(network, [a, b])
    assert parse(network, [a, b, a, a]) == [x, y, x, x]


def test_the_root_label_is_exactly_where_the_head_is_0(network: BiaffineParser, mixed: list[Sentence]) -> None:
    for sentence in parse(network, mixed):
        assert sum(head == 0 for head in sentence.heads) == 1
        assert [label == "root" for label in sentence.labels] == [head == 0 for head in sentence.heads]


def test_labels_are_the_best_of_their_arcs(network: BiaffineParser, mixed: list[Sentence]) -> None:
    """Every label of every chosen arc is scored on its own here."""
    names = network.vocabulary.labels
    for sentence in parse(network, mixed[:6]):
        batch = pack(network.encode([sentence], gold=False))
        with torch.no_grad():
            scores = network(batch)
            for i, (head, label) in enumerate(zip(sentence.heads, sentence.labels, strict=True)):
                assert head is not None
                pair = {"dependents": torch.tensor([[0, i + 1]]), "heads": torch.tensor([head])}
                found = network.label_scores(scores, **pair)[0].tolist()
                allowed = {n: s for n, s in zip(names, found, strict=True) if (n == "root") == (head == 0)}
                assert allowed[str(label)] == pytest.approx(max(allowed.values()), abs=1e-5)


def test_the_tree_is_the_best_single_rooted_one(network: BiaffineParser) -> None:
    """Against all trees over five words."""
    sentence = Sentence.from_words(["Nobody", "fed", "the", "stray", "cats"])
    (parsed,) = parse(network, [sentence])
    with torch.no_grad():
        arcs = network(pack(network.encode([sentence], gold=False))).arcs[0].tolist()

    def is_tree(heads: list[int]) -> bool:
        def climbs(i: int) -> bool:
            for _ in range(6):
                if i == 0:
                    return True
                i = heads[i - 1]
            return False

        return heads.count(0) == 1 and all(climbs(i) for i in range(1, 6))

    every = ([k // 6**i % 6 for i in range(5)] for k in range(6**5))
    best = max((h for h in every if is_tree(h)), key=lambda heads: sum(arcs[i + 1][h] for i, h in enumerate(heads)))
    assert list(parsed.heads) == best


def test_no_sentences_give_none(network: BiaffineParser) -> None:
    told: list[int] = []
    assert parse(network, [], progress=told.append) == []
    assert told == []


def test_a_sentence_of_one_word_hangs_on_the_root(network: BiaffineParser) -> None:
    (parsed,) = parse(network, [Sentence.from_words(["Ja"])])
    assert (parsed.heads, parsed.labels) == ((0,), ("root",))


def test_progress_counts_all_sentences(network: BiaffineParser, mixed: list[Sentence]) -> None:
    told: list[int] = []
    parse(network, mixed, budget=100, progress=told.append)
    assert len(told) > 3
    assert sum(told) == len(mixed)


def test_a_sentence_longer_than_the_encoder_is_parsed(network: BiaffineParser, demo: Demo) -> None:
    words = [word for s in demo("English", 30) for word in s.words][:230]
    long = Sentence.from_words(words)
    short = demo("English", 3)
    (parsed, *others) = parse(network, [long, *short])
    assert len(parsed.heads) == 230
    assert others == parse(network, short)


def test_the_network_is_left_in_its_mode_and_without_gradients(network: BiaffineParser, mixed: list[Sentence]) -> None:
    for training in (True, False):
        network.train(training)
        parse(network, mixed[:3])
        assert network.training is training
    assert all(p.grad is None for p in network.parameters())


def test_training_mode_changes_no_tree(network: BiaffineParser, mixed: list[Sentence]) -> None:
    expected = parse(network.eval(), mixed)
    assert parse(network.train(), mixed) == expected


@pytest.mark.parametrize("where", ["encoder.model.encoder.layer.0.output.dense.bias", "mix.scale", "arcs.weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused_before_decoding(
    network: BiaffineParser, mixed: list[Sentence], where: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sublingual import decoding

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(decoding, "_spanning_tree", never)
    with torch.no_grad():
        network.get_parameter(where).fill_(value)
    with pytest.raises(ModelError, match=r"is (nan|inf); numbers and -inf are allowed; the weights are damaged"):
        parse(network, mixed)
    assert not network.training


def test_label_scores_that_are_not_finite_are_refused(network: BiaffineParser, mixed: list[Sentence]) -> None:
    with torch.no_grad():
        network.labels.bias[3] = math.nan
    with pytest.raises(ModelError, match=r"the label score of word \d+ for label 3 is nan"):
        parse(network, mixed)


def test_gates_are_used(network: BiaffineParser, mixed: list[Sentence]) -> None:
    full = Parser(network)
    assert replace(full, gates=torch.ones(2, 2)).parse(mixed) == full.parse(mixed)
    closed = replace(full, gates=torch.zeros(2, 2)).parse(mixed)
    assert closed != full.parse(mixed)
    for layer in network.encoder.model.encoder.layer:
        torch.nn.init.zeros_(layer.attention.output.dense.weight)
    assert full.parse(mixed) == closed


def test_gates_of_another_encoder_are_refused(network: BiaffineParser) -> None:
    with pytest.raises(ModelError, match=r"gates of shape \(2, 3\); the encoder .* has \(2, 2\)"):
        Parser(network, gates=torch.ones(2, 3))


def test_an_unknown_precision_is_refused(network: BiaffineParser, mixed: list[Sentence]) -> None:
    with pytest.raises(ConfigError, match="unknown precision 'fp64'; allowed: auto, fp32, bf16"):
        parse(network, mixed, precision="fp64")


def test_bf16_gives_valid_trees_too(network: BiaffineParser, mixed: list[Sentence]) -> None:
    for sentence in parse(network, mixed, precision="bf16"):
        assert sum(head == 0 for head in sentence.heads) == 1


def test_output_passes_udvalidate_level_2(network: BiaffineParser, demo: Demo, tmp_path: Path) -> None:
    sentences = [s for name in ("English", "Norwegian", "Italian", "Arabic", "Hindi") for s in demo(name, 20)]
    write_conllu(parse(network, sentences, drop_deps=True), tmp_path / "parsed.conllu")
    command = [str(Path(sys.executable).with_name("udvalidate")), "--level", "2", "--lang", "ud"]
    done = subprocess.run([*command, str(tmp_path / "parsed.conllu")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = (tmp_path / "parsed.conllu").read_text(encoding="utf-8")
    two_roots = re.sub(r"\t[1-9]\d*\t[a-z:]+\t_\t", "\t0\troot\t_\t", whole, count=1)
    (tmp_path / "parsed.conllu").write_text(two_roots, encoding="utf-8")
    done = subprocess.run([*command, str(tmp_path / "parsed.conllu")], capture_output=True, text=True, check=False)
    assert done.returncode != 0  # the check can fail


def test_a_parser_is_short_to_use(network: BiaffineParser, mixed: list[Sentence], tmp_path: Path) -> None:
    Parser(network).save_pretrained(str(tmp_path / "model"))
    parser = Parser.from_pretrained(str(tmp_path / "model"))
    assert parser.parse(mixed) == parse(network, mixed)


def test_a_model_that_is_nowhere_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    reason = "it cannot be reached, and its cache has none of that name"
    with pytest.raises(ModelError, match=f"no folder 'nobody/no-such-parser' here, and the Hub gave .*{reason}"):
        Parser.from_pretrained("nobody/no-such-parser")


def test_a_name_that_the_hub_cannot_have_is_a_clear_error() -> None:
    with pytest.raises(ModelError, match=r"no folder 'models/my parser/v 1' here, .*give the folder of a model"):
        Parser.from_pretrained("models/my parser/v 1")


def test_a_model_on_the_hub_is_fetched(
    network: BiaffineParser, mixed: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Parser(network).save_pretrained(tmp_path / "cache")
    asked: list[str] = []

    def fetched(name: str, *, local_files_only: bool) -> str:
        assert not local_files_only
        asked.append(name)
        return str(tmp_path / "cache")

    monkeypatch.setattr(parsing, "snapshot_download", fetched)
    monkeypatch.setattr(hub, "is_reachable", lambda: True)
    assert Parser.from_pretrained("someone/parser").parse(mixed[:3]) == parse(network, mixed[:3])
    assert asked == ["someone/parser"]


class FakeHub:
    """Stands in for the Hub: keeps what is uploaded."""

    uploaded: dict[str, bytes] = {}
    created: list[tuple[str, bool]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        self.created.append((repo_id, private))
        return f"https://hub.invalid/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> None:
        root = Path(folder_path)
        self.uploaded.update({p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()})


def test_what_is_pushed_to_the_hub_is_the_saved_model(
    network: BiaffineParser, mixed: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "HfApi", FakeHub)
    assert Parser(network).push_to_hub("someone/parser", private=True) == "https://hub.invalid/someone/parser"
    assert FakeHub.created == [("someone/parser", True)]
    for name, raw in FakeHub.uploaded.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    assert Parser.from_pretrained(tmp_path).parse(mixed[:3]) == parse(network, mixed[:3])


def test_a_hub_that_refuses_is_a_clear_error(network: BiaffineParser, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(FakeHub):
        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
            raise RuntimeError("401 Unauthorized\nand more")

    monkeypatch.setattr(parsing, "HfApi", Refusing)
    with pytest.raises(
        ModelError, match=r"the Hub did not take 'a/b' \(401 Unauthorized\); log in with `hf auth login`"
    ):
        Parser(network).push_to_hub("a/b")


@pytest.mark.gpu
def test_a_gpu_parses_as_a_cpu_does(network: BiaffineParser, mixed: list[Sentence]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    expected = Parser(network, gates=torch.ones(2, 2)).parse(mixed)
    assert Parser(network.to("cuda"), gates=torch.ones(2, 2)).parse(mixed) == expected
