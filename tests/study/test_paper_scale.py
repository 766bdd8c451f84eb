"""The scale `paper` for real, but small: a step of each kind with its own presets, on a few sentences and a tiny encoder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sublingual.cli import main
from sublingual.data.embedded import embedded_folder
from sublingual.study.config import study
from sublingual.study.keys import Step
from sublingual.study.steps import steps

# What makes it small: how many steps, sentences and points of the grids. The rest is the paper's.
FEW = (
    *(
        "gpus=0",
        "ud=embedded",
        "languages=[UD_Hindi-Demo, UD_Norwegian-Demo]",
        "validation=[UD_Czech-Demo]",
        "conflicts=1",
    ),
    "stage1.treebanks=[UD_English-Demo]",
    "pooled.treebanks=[UD_English-Demo, UD_Hindi-Demo]",
    *(
        f"{training}.set=[finetune.steps=2, finetune.batch=4, parser.arc_size=24, parser.label_size=12]"
        for training in ("stage1", "pooled")
    ),
    *("finding.seeds=1", "finding.epochs=0"),
    *(
        f"finding.{kind}.set=[finetune.steps=2, finetune.batch=4, prune.dev_sentences=5, prune.sentences=5]"
        for kind in ("heads", "weights")
    ),
    *("joint.set=[steps=2, batch=2]", "meta.set=[steps=1, batch=2]"),
    *(
        f"choices.{name}.{part}=[{rate}]"
        for name in ("nonep", "nonep-unstructured", "meta", "meta-full", "meta-static", "meta-dynamic")
        for part, rate in (("encoder", "5e-5"), ("classifier", "5e-4"))
    ),
    *("tests.treebanks=[UD_Swedish-Demo, UD_Turkish-Demo]", "tests.cap=5"),
    *("groups.support-size.treebanks=[UD_Swedish-Demo]", "groups.support-size.sizes=[2, 3]"),
)
WANTED = (
    *("test-nonep-static-0-others", "test-nonep-static-0-others-random", "own-nonep-static-0"),
    *("test-meta-dynamic-0-others", "test-nonep-unstructured-0-others", "test-udify-0-others", "facts"),
    "test-nonep-full-0-others-3",
)


def needed(graph: list[Step], wanted: tuple[str, ...]) -> list[Step]:
    """These steps and all that they need, in order."""
    paths, found = set(), []
    for step in reversed(graph):
        if step.name in wanted or paths & set(step.outputs):
            paths |= set(step.inputs)
            found.append(step)
    return found[::-1]


@pytest.mark.slow
def test_a_step_of_each_kind_of_the_paper_s_does_its_work(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBLINGUAL_UD", str(embedded_folder()))
    graph = steps(study("paper", words=(f"encoder={tiny_encoder}", *FEW)), ud=embedded_folder())
    todo = needed(graph, WANTED)
    assert {step.kind for step in todo} == {step.kind for step in graph} - {"table", "figure", "report"}
    for step in todo:
        for path in step.outputs:  # which the engine does
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(sys, "argv", ["sublingual", *step.command])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, step
        assert all(Path(path).exists() for path in step.outputs), step
    (record, _) = map(json.loads, Path("records/meta-dynamic-0/others.jsonl").read_text().splitlines())
    assert record["parser"]["settings"]["stage2"]["inner"]["steps"] == 20
    assert (record["config"]["steps"], record["n"], record["config"]["optimizer"]) == (20, 20, "sgd")
