"""The demo: its page and record say what was found, and the whole runs without a network."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np
import pytest

from sublingual.adaptation import AdaptConfig
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.embedded import embedded
from sublingual.demo import DemoConfig, Watch, run_demo
from sublingual.demo_page import (
    WARNING,
    DemoResult,
    LanguageResult,
    SystemResult,
    SystemsResult,
    curve,
    page,
    record,
)
from sublingual.demo_systems import SystemsConfig
from sublingual.languages import nearest
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.subnetworks.gates import Subnetwork
from sublingual.training.loop import Progress

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """The text of a page; fails where tags do not close in order, and lists what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.loaded: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing opens."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def chain(sentence: Sentence) -> Sentence:
    """A bad parse: each word hangs on the one before."""
    n_words = len(sentence.words)
    return sentence.with_tree(list(range(n_words)), ["root", *["dep"] * (n_words - 1)])


def language(name: str) -> LanguageResult:
    gold = tuple(embedded(name).sentences("test")[:30])
    return LanguageResult(
        treebank=name,
        language=name,
        nearest=tuple(nearest(embedded(name).code)),
        support=("s-1", "s-2"),
        gold=gold,
        before=tuple(map(chain, gold)),
        after=tuple(chain(sentence) if i % 3 else sentence for i, sentence in enumerate(gold)),
        losses=(3.21, 2.5, 1.23),
        new_labels=(),
        seconds=12.0,
        parsed="parsed/x.conllu",
    )


@pytest.fixture
def made_up() -> DemoResult:
    english = embedded("UD_English-Demo").sentences("dev")
    return DemoResult(
        source="UD_English-Demo",
        source_score=score(english, english),
        n_training=90,
        losses=(7.77, 0.88),
        languages=(language("UD_Swedish-Demo"), language("UD_Turkish-Demo")),
        systems=SystemsResult(
            tuple(Subnetwork(np.eye(3, dtype=bool), language=code, method="pruned") for code in ("hi", "no")),
            (SystemResult("nonep-static", {"hi": 51.5, "no": 52.5}, {"UD_Swedish-Demo": 53.5}),),
        ),
        seed=41,
        settings={"fine_tuning": {"steps": 2}},
        seconds=98.0,
        versions={"sublingual": "9.8.7"},
        machine={"threads": 1},
        model="parser-swedish",
    )


def test_the_page_is_whole_loads_nothing_and_says_what_it_is_made_of(made_up: DemoResult) -> None:
    html = page(made_up)
    read = Reader(html)
    assert read.loaded == []
    assert "url(" not in html
    assert WARNING in " ".join(read.text)
    assert "toy treebanks" in WARNING
    assert html.index(WARNING) < html.index("<table")


def test_the_page_shows_every_number_of_the_table(made_up: DemoResult) -> None:
    read = Reader(page(made_up))
    for each in made_up.languages:
        row = next(row for row in read.rows if row[0] == each.treebank)
        zero, adapted = score(each.gold, each.before), score(each.gold, each.after)
        near = nearest(embedded(each.treebank).code)[0]
        assert row[1] == f"{near.language} ({near.similarity:.3f})"
        assert row[2:4] == [f"{zero.las.f1:.1f}", f"{adapted.las.f1:.1f}"]
        assert row[4].startswith(f"{adapted.las.f1 - zero.las.f1:+.1f} (+")
        assert row[5:] == ["30", str(zero.n_words)]
    text = " ".join(" ".join(read.text).split())
    for said in ("90 English sentences", "98 seconds", "Seed 41", "sublingual 9.8.7", "7.77 to 0.88", "3.21 to 1.23"):
        assert said in text


def test_the_page_maps_the_subnetworks_and_compares_the_systems(made_up: DemoResult) -> None:
    html = page(made_up)
    read = Reader(html)
    assert ["nonep-static", "51.5", "52.5", "53.5"] in read.rows
    assert "hi: 6 of 9 off; no: 6 of 9 off" in " ".join(" ".join(read.text).split())
    assert html.count("attention head 1: on") == 2
    kept = json.loads(json.dumps(record(made_up)))
    assert kept["subnetworks"]["hi"] == {"off": 6, "gates": ["100", "010", "001"]}
    assert kept["systems"][0]["targets"] == {"UD_Swedish-Demo": 53.5}


def test_the_drawn_sentence_is_a_short_one_that_gained_most(made_up: DemoResult) -> None:
    for each in made_up.languages:
        gains = [
            score([g], [a]).las.correct - score([g], [b]).las.correct
            for g, b, a in zip(each.gold, each.before, each.after, strict=True)
        ]
        short = [i for i, sentence in enumerate(each.gold) if len(sentence.words) <= 12]
        assert each.shown in short
        assert gains[each.shown] == max(gains[i] for i in short)
    html = page(made_up)
    assert html.count('<div class="tree"') == 6
    assert html.count('class="arc wrong"') == sum(
        score([each.gold[each.shown]], [each.before[each.shown]]).las_full.gold
        - score([each.gold[each.shown]], [each.before[each.shown]]).las_full.correct
        for each in made_up.languages
    )


def test_what_a_result_says_cannot_become_markup(made_up: DemoResult) -> None:
    hostile = replace(made_up.languages[0], language="<script>alert(1)</script>")
    assert "<script" not in page(replace(made_up, languages=(hostile,)))


def test_the_record_keeps_every_number_seed_and_version(made_up: DemoResult) -> None:
    kept = json.loads(json.dumps(record(made_up)))
    assert (kept["seed"], kept["versions"], kept["warning"]) == (41, {"sublingual": "9.8.7"}, WARNING)
    for each, plain in zip(made_up.languages, kept["languages"], strict=True):
        assert plain["zero_shot"]["las"]["f1"] == score(each.gold, each.before).las.f1
        assert plain["adapted"]["las"]["correct"] == score(each.gold, each.after).las.correct
        assert plain["nearest"][0]["similarity"] == each.nearest[0].similarity
        assert plain["losses"] == list(each.losses)
        assert plain["test"] == [sentence.sent_id for sentence in each.gold]


def test_a_curve_runs_from_its_first_value_to_its_last() -> None:
    drawn = ElementTree.fromstring(curve([4.0, 1.0, 2.0]))
    line = next(each for each in drawn if each.tag.endswith("polyline")).attrib["points"].split()
    heights = [float(point.split(",")[1]) for point in line]
    assert heights[0] == 0 < heights[2] < heights[1]
    assert ElementTree.fromstring(curve([1.0])) is not None


@pytest.mark.slow
def test_the_demo_runs_to_its_end_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the demo went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    stages: list[str] = []
    trained: list[Progress] = []
    steps: list[tuple[str, int]] = []
    watch = Watch(
        stage=stages.append, training=trained.append, adapting=lambda name, step, _, loss: steps.append((name, step))
    )
    few = SystemsConfig()
    few = replace(
        few,
        finding=replace(few.finding, finetune=replace(few.finding.finetune, steps=2)),
        stage2=replace(few.stage2, steps=2),
        adaptation=AdaptConfig(steps=1),
    )
    config = DemoConfig(steps=3, adaptation=AdaptConfig(steps=2), systems=few)
    result = run_demo(tmp_path / "demo", config=config, watch=watch)

    assert [progress.step for progress in trained] == [1, 2, 3]
    assert steps == [(name, step) for name in ("UD_Swedish-Demo", "UD_Turkish-Demo") for step in (1, 2)]
    assert any("Swedish" in stage for stage in stages)
    kept = json.loads((tmp_path / "demo/results.json").read_text(encoding="utf-8"))
    Reader((tmp_path / "demo/index.html").read_text(encoding="utf-8"))
    for each, plain in zip(result.languages, kept["languages"], strict=True):
        test = {sentence.sent_id: sentence for sentence in embedded(each.treebank).sentences("test")}
        parsed = read_conllu(tmp_path / "demo" / plain["parsed"])
        assert set(plain["support"]).isdisjoint(plain["test"])
        assert (len(plain["support"]), len(plain["test"])) == (20, 30)
        assert score([test[name] for name in plain["test"]], parsed).las.f1 == plain["adapted"]["las"]["f1"]
    assert [row.system for row in result.systems.rows] == ["nonep-full", "nonep-static", "nonep-dynamic"]
    assert all(0 <= las <= 100 for row in result.systems.rows for las in [*row.own.values(), *row.targets.values()])
    parser = Parser.from_pretrained(tmp_path / "demo" / result.model)
    swedish = result.languages[0]
    assert parser.parse(swedish.gold) == list(swedish.after)
    assert parser.about.language == "sv"
    assert "toy treebanks" in parser.about.note
