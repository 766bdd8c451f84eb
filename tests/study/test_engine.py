"""The engine on commands that do nothing but make their files: what is done when, and what is not done again."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sublingual.cli.study import _by_hand
from sublingual.data.embedded import embedded_folder
from sublingual.errors import ConfigError, TrainingError
from sublingual.locks import only_run_in
from sublingual.study import engine
from sublingual.study.config import SCALES, Study, study
from sublingual.study.engine import Outcome, run
from sublingual.study.keys import Step, keys
from sublingual.study.plans import read_plan, write_plan
from sublingual.study.progress import KEY, to_do
from sublingual.study.steps import steps, targets

pytestmark = pytest.mark.filterwarnings("ignore")  # the engine's own
pytest.importorskip("snakemake")

Toy = Callable[..., Study]
UD = embedded_folder()
STUB = """#!{python} -IS
import json, pathlib, sys
here = pathlib.Path({bin!r})
outputs = json.loads((here / "outputs.json").read_text())[json.dumps(sys.argv[1:])]
with (here / "calls").open("a") as calls:
    calls.write(outputs["name"] + "\\n")
if outputs["name"] in (here / "failing").read_text().split():
    sys.exit("sublingual: there is no luck in this")
for path in map(pathlib.Path, outputs["files"]):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.suffix:
        path.mkdir()
        path = path / "model"
    path.write_text("made")
"""


def after(study: Study, name: str) -> set[str]:
    """The steps that need a step, at once or through others."""
    found, made = set(), set()
    for step in steps(study, ud=UD):
        if step.name == name or made & set(step.inputs):
            found.add(step.name)
            made |= set(step.outputs)
    return found - {name}


def planned(study: Study, ud: Path | None, folder: Path) -> set[str]:
    """The steps that the engine would do, by its own dry run."""
    with TemporaryDirectory() as elsewhere:
        plan = write_plan(Path(elsewhere), study, ud)
        outcome = engine._snakemake(folder, plan, ["--dry-run", "--cores", "1"], lambda _: None)
    assert outcome.ok, outcome.complaints
    return set(outcome.begun)


@dataclass
class Bench:
    """A folder for a study, and a `sublingual` that makes the files of each command."""

    folder: Path
    bin: Path
    said: list[str] = field(default_factory=list)

    def learn(self, study: Study, *, failing: str = "") -> list[Step]:
        """Tells the `sublingual` what the commands of the study make, and which of them fail."""
        graph = steps(study, ud=UD)
        files = {json.dumps(step.command): {"name": step.name, "files": step.outputs} for step in graph}
        (self.bin / "outputs.json").write_text(json.dumps(files))
        (self.bin / "failing").write_text(failing)
        (self.bin / "calls").write_text("")
        return graph

    def run(self, study: Study, *, failing: str = "", **options: object) -> Outcome:
        graph = self.learn(study, failing=failing)
        return run(study, UD, self.folder, steps=graph, cores=2, say=self.said.append, **options)  # type: ignore[arg-type]

    def calls(self) -> list[str]:
        return (self.bin / "calls").read_text().split()

    def to_do(self, study: Study) -> set[str]:
        """What we say is to do, which is what the engine says."""
        found = set(to_do(steps(study, ud=UD), self.folder))
        assert planned(study, UD, self.folder) == found
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    found = Bench(tmp_path / "study", tmp_path / "bin")
    found.bin.mkdir()
    stub = found.bin / "sublingual"
    stub.write_text(STUB.format(python=sys.executable, bin=str(found.bin)))
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    for name in ("PATH", "OMP_NUM_THREADS", "SUBLINGUAL_UD", "SUBLINGUAL_ENGINE"):  # which the Snakefile sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(sys, "executable", str(found.bin / "python"))  # beside which the Snakefile finds the command
    return found


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_planned(scale: str, tmp_path: Path) -> None:
    chosen = study(scale)
    ud = UD if chosen.ud else None
    graph = steps(chosen, ud=ud)
    assert [*to_do(graph, tmp_path)] == [step.name for step in graph]
    assert planned(chosen, ud, tmp_path) == {step.name for step in graph}


def test_all_is_done_once_each_after_what_it_needs_and_then_nothing_more(bench: Bench, toy: Toy) -> None:
    graph = steps(toy(), ud=UD)
    outcome = bench.run(toy())
    assert outcome.ok
    calls = bench.calls()
    assert sorted(calls) == sorted(outcome.done) == sorted(step.name for step in graph)
    maker = {path: step.name for step in graph for path in step.outputs}
    for step in graph:
        assert all(calls.index(maker[path]) < calls.index(step.name) for path in step.inputs if path in maker)
    assert bench.to_do(toy()) == set()
    assert bench.run(toy()).ok
    assert bench.calls() == []


def test_a_changed_setting_redoes_what_its_key_says_and_no_more(bench: Bench, toy: Toy) -> None:
    bench.run(toy())
    other = toy("meta.set=[steps=1, batch=3, inner.steps=1]")
    old, new = keys(steps(toy(), ud=UD)), keys(steps(other, ud=UD))
    expected = {name for name in new if old[name] != new[name]}
    assert bench.to_do(other) == expected
    assert {*to_do(steps(other, ud=UD), bench.folder).values()} == {"settings changed"}
    assert "meta-full-0" in expected
    assert "nonep-full-0" not in expected
    bench.run(other)
    assert set(bench.calls()) == expected
    assert bench.to_do(other) == set()
    assert bench.to_do(toy()) == expected  # what was made with the first settings is no more


def test_a_failed_step_is_named_with_its_log_and_the_rest_goes_on(bench: Bench, toy: Toy) -> None:
    outcome = bench.run(toy(), failing="heads-hi-0")
    assert not outcome.ok
    assert outcome.failed == ["heads-hi-0"]
    assert (bench.folder / "logs" / "heads-hi-0.log").read_text() == "sublingual: there is no luck in this\n"
    assert any("failed: heads-hi-0; see logs/heads-hi-0.log" in line for line in bench.said)
    without = after(toy(), "heads-hi-0")
    assert {"nonep-static-0", "test-nonep-static-0-others", "table-system", "report"} <= without
    assert set(bench.calls()) == {step.name for step in steps(toy(), ud=UD)} - without
    assert bench.run(toy()).ok
    assert set(bench.calls()) == {"heads-hi-0"} | without


def test_a_group_alone_can_be_had(bench: Bench, toy: Toy) -> None:
    two = toy("groups.other={systems: [meta-dynamic], fewshot: false, own: true}")
    wanted = targets(two, ["other"])
    assert wanted == ["records/meta-dynamic-0/own.jsonl"]
    assert bench.run(two, wanted=wanted).ok
    assert set(bench.calls()) == {"stage1-0", "heads-hi-0", "heads-no-0", "meta-dynamic-0", "own-meta-dynamic-0"}
    with pytest.raises(ConfigError, match="unknown group 'mian'; the study has main, other"):
        targets(two, ["mian"])
    assert targets(two, []) == []


def test_models_that_are_gone_are_made_again_only_where_they_are_needed(bench: Bench, toy: Toy) -> None:
    """A fresh machine has the small files alone, which are kept with the code."""
    bench.run(toy())
    conflicts = bench.folder / "models" / "nonep-full-0.run" / "conflicts.json"
    conflicts.write_text("kept")
    small = (
        "keys/*",
        "records/*/*",
        "choices/**/*",
        "facts.jsonl",
        "subnetworks/heads/*.json",
        "models/*.run/conflicts.json",
    )
    kept = {path for pattern in small for path in bench.folder.glob(pattern)}
    for path in [path for path in bench.folder.rglob("*") if path.is_file() and path not in kept]:
        path.unlink()
    for path in sorted((path for path in bench.folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):  # not empty
            path.rmdir()
    reporting = {step.name for step in steps(toy(), ud=UD) if step.kind in ("table", "figure", "report")}
    assert "table-conflict" in reporting
    assert bench.to_do(toy()) == reporting
    assert bench.run(toy()).ok
    assert set(bench.calls()) == reporting
    assert conflicts.read_text() == "kept"
    assert bench.to_do(toy()) == set()
    (bench.folder / "records" / "meta-full-0" / "own.jsonl").unlink()
    expected = {"stage1-0", "meta-full-0", "own-meta-full-0"}
    assert bench.to_do(toy()) == expected
    bench.run(toy())
    assert set(bench.calls()) == expected


def test_a_treebank_of_another_size_redoes_what_reads_it(toy: Toy, tmp_path: Path) -> None:
    before = keys(steps(toy(), ud=UD))
    shutil.copytree(UD, tmp_path, dirs_exist_ok=True)
    assert keys(steps(toy(), ud=tmp_path)) == before
    shutil.copytree(UD, tmp_path / "longer")
    path = tmp_path / "longer" / "UD_Swedish-Demo" / "sv_demo-ud-test.conllu"
    path.write_text(path.read_text() + "\n")
    after = keys(steps(toy(), ud=tmp_path / "longer"))
    changed = {name for name in after if before[name] != after[name]}
    assert {"test-nonep-full-0-others", "facts"} <= changed
    assert not {"stage1-0", "nonep-full-0", "own-nonep-full-0"} & changed


def test_settings_named_by_mistake_cost_what_was_begun_alone(bench: Bench, toy: Toy) -> None:
    """Stage 1 fails with the other ones, so that nothing after it begins: all that was done is still done."""
    bench.run(toy())
    other = toy("stage1.set=[finetune.steps=3, finetune.batch=4]")
    assert not bench.run(other, failing="stage1-0").ok
    assert bench.to_do(toy()) == set()
    with pytest.raises(ConfigError, match="unknown profile"):
        bench.run(other, profile="lsf")
    assert read_plan(bench.folder / "study.json")[0] == other
    assert bench.run(other).ok
    assert bench.to_do(other) == set()
    assert "nonep-full-0" in bench.to_do(toy())


def test_the_commands_by_hand_do_what_the_engine_does(bench: Bench, toy: Toy) -> None:
    """Run by a shell, then once more for other settings; what was half done is gone on with, or cleared."""
    path = f"{bench.bin}{os.pathsep}{os.environ['PATH']}"
    for each in (toy(), toy("joint.set=[steps=3, batch=2]")):
        graph = bench.learn(each)
        left = bench.folder / "models" / "nonep-full-0.run" / "checkpoint.safetensors"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("half done")
        todo = [step for step in graph if step.name in to_do(graph, bench.folder)]
        script = "\n".join(_by_hand(todo, keys(graph)))
        subprocess.run(["sh", "-euc", script], cwd=bench.folder, check=True, env=os.environ | {"PATH": path})
        assert bench.to_do(each) == set()
        assert not left.exists()
        assert (left.parent / KEY).read_text() == keys(graph)["nonep-full-0"]
        left.write_text("half done")
        subprocess.run(["sh", "-euc", script], cwd=bench.folder, check=True, env=os.environ | {"PATH": path})
        assert left.exists()  # of the same key


def test_subnetworks_of_seeds_that_the_study_no_longer_has_are_set_aside(bench: Bench, toy: Toy) -> None:
    two = toy("finding.seeds=2")
    bench.run(two)
    heads = bench.folder / "subnetworks" / "heads"
    assert bench.run(toy()).ok
    assert sorted(path.name for path in heads.glob("*.json")) == ["hi-0.json", "no-0.json"]
    assert bench.run(two).ok
    assert sorted(path.name for path in heads.glob("*.json")) == ["hi-0.json", "hi-1.json", "no-0.json", "no-1.json"]
    assert not {name for name in bench.calls() if name.startswith("heads-")}


def test_what_was_left_half_done_with_other_settings_is_cleared(bench: Bench, toy: Toy) -> None:
    bench.run(toy(), failing="meta-full-0")
    left = bench.folder / "models" / "meta-full-0.run" / "checkpoint.safetensors"
    left.write_text("half done")
    bench.run(toy(), failing="meta-full-0")
    assert left.exists()
    other = toy("stage1.set=[finetune.steps=3, finetune.batch=4]")
    bench.run(other, failing="meta-full-0")
    assert not left.exists()
    assert (left.parent / KEY).read_text() == keys(steps(other, ud=UD))["meta-full-0"]


def test_two_runs_of_one_study_are_refused(bench: Bench, toy: Toy) -> None:
    with only_run_in(bench.folder), pytest.raises(TrainingError, match="another run is in this folder"):
        bench.run(toy())


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    for scale in SCALES:
        path = write_plan(tmp_path / scale, study(scale), UD)
        assert read_plan(path) == (study(scale), UD)
    with pytest.raises(ConfigError, match="holds no study; begin one: sublingual study run --scale SCALE --out"):
        read_plan(tmp_path / "elsewhere" / "study.json")


def test_unknown_profiles_are_refused(bench: Bench, toy: Toy) -> None:
    with pytest.raises(ConfigError, match="unknown profile 'lsf'; there are slurm, kubernetes, or name the folder"):
        bench.run(toy(), profile="lsf")


def test_without_the_engine_the_extra_is_named(bench: Bench, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snakemake.cli", None)
    with pytest.raises(ConfigError, match=r"the study needs Snakemake: pip install 'sublingual\[study\]'"):
        bench.run(toy())
