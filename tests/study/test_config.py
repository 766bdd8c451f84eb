from __future__ import annotations

from pathlib import Path

import pytest

from sublingual.config import load
from sublingual.data.catalogue import catalogue
from sublingual.errors import ConfigError
from sublingual.study.config import SCALES, Choice, study
from sublingual.subnetworks.systems import system
from sublingual.training.stage2 import Stage2Config

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("scale", SCALES)
def test_scales_name_systems_that_there_are(scale: str) -> None:
    chosen = study(scale)
    assert chosen.scale == scale
    for group in chosen.groups.values():
        for name in group.systems:
            assert system(name).name == name


def test_the_paper_scale_is_the_papers() -> None:
    paper = study("paper")
    assert (paper.seeds, paper.finding.seeds, paper.finding.epochs, paper.conflicts) == (5, 4, 60, 50)
    assert len(paper.test_treebanks()) == 86
    assert len(paper.training_treebanks()) == 7
    assert paper.validation_treebanks() == tuple(e.name for e in catalogue() if e.role == "validation")
    assert (paper.tests.n, paper.tests.cap) == (20, None)


def test_small_has_the_schedules_and_rates_that_were_measured() -> None:
    """Those of results/twelve, whose finding results/keep99 has too but for what pruning keeps."""
    small, twelve, keep99 = (
        study(name) for name in ("small", *(str(RESULTS / f"{n}/study.toml") for n in ("twelve", "keep99")))
    )
    for part in ("encoder", "seeds", "stage1", "pooled", "finding", "joint"):
        assert getattr(small, part) == getattr(twelve, part), part
    assert (small.tests.supports, small.tests.cap, small.meta.adapt) == (
        twelve.tests.supports,
        twelve.tests.cap,
        twelve.meta.adapt,
    )
    rates = [load(Stage2Config, each.meta.config, words=each.meta.set) for each in (small, twelve)]
    assert rates[0] == rates[1]
    assert keep99.finding.heads.set == (*small.finding.heads.set, "prune.keep=0.99")


def test_table_7_has_nine_points() -> None:
    assert len(Choice("nonep-full").points()) == 9


def test_words_change_a_group_and_a_choice() -> None:
    chosen = study("smoke", words=("groups.main.seeds=3", "choices.nonep.encoder=[1e-5]", "tests.cap=7"))
    assert chosen.groups["main"].seeds == 3
    assert chosen.groups["main"].systems == study("smoke").groups["main"].systems
    assert chosen.choices["nonep"].encoder == (1e-5,)
    assert chosen.tests.cap == 7


def test_unknown_keys_of_groups_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[groups.main]\nsystems = ["nonep-full"]\nseed = 3\n')
    with pytest.raises(ConfigError, match=r"unknown key 'groups.main.seed' in .*mine.toml; did you mean 'seeds'"):
        study(str(path))
    with pytest.raises(ConfigError, match=r"unknown key 'groups.main.seed'"):
        study("smoke", words=("groups.main.seed=3",))


@pytest.mark.parametrize(
    ("scale", "words", "message"),
    [
        ("large", (), "unknown scale 'large'; there are smoke, small, paper"),
        ("smoke", ("seeds=0",), "seeds, threads, cores, finding.seeds, tests.supports and tests.n are 1 or more"),
        ("smoke", ("tests.n=0",), "tests.supports and tests.n are 1 or more"),
        ("smoke", ("tests.cap=0",), "tests.cap 0: it is 1 or more; leave it out to score all"),
        ("smoke", ("groups.main.seeds=0",), "groups.main.seeds 0: it is 1 or more; leave it out"),
        (
            "smoke",
            ("groups.intersection.transfer=radnom",),
            "groups.intersection.transfer 'radnom': allowed are nearest, r",
        ),
        (
            "smoke",
            ("groups.main.transfer=random",),
            "main: nonep-full has no subnetworks, so that transfer = 'random' mea",
        ),
        (
            "smoke",
            ("groups.main.gates=shuffle",),
            "main: nonep-full has no subnetworks, so that gates = 'shuffle' means",
        ),
        ("smoke", ("groups.main.gates=shufle",), "unknown system 'nonep-shufle'"),
        (
            "smoke",
            ("systems=own.toml",),
            "systems 'own.toml': write the file's whole path, since steps run in the study",
        ),
        ("smoke", ("systems=/none/own.toml",), "/none/own.toml cannot be read as a table of systems"),
        (
            "smoke",
            ("encoder=./mine",),
            "encoder './mine': write the folder's whole path, since steps run in the study's",
        ),
        ("smoke", ("groups.main.systems=[]",), "groups.main.systems: a group has at least one"),
        ("smoke", ("groups.main.sizes=[0, 5]",), r"groups.main.sizes \[0, 5\]: a support set has 1 sentence or more"),
        ("smoke", ("choices.nonep.trains=stage1",), "choices.nonep.trains 'stage1': it has no rates of stage 2"),
        ("smoke", ("choices.nonep.after=nonep",), "choices.nonep.after: the choices nonep wait for each other"),
        ("smoke", ("choices.nonep.after=meta",), "choices.nonep.after 'meta': there is no such choice"),
    ],
)
def test_what_no_study_can_be_is_refused(scale: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(scale, words=words)
