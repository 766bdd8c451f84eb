from __future__ import annotations

import shlex
from dataclasses import replace
from functools import cache
from pathlib import Path

import click
import pytest
import typer

from sublingual.cli import app
from sublingual.data.embedded import embedded_folder
from sublingual.errors import ConfigError, DataError
from sublingual.study.config import SCALES, Group, Study, study
from sublingual.study.keys import Step, keys
from sublingual.study.progress import to_do
from sublingual.study.steps import FACTS, steps, targets

SIX = tuple(f"{loop}-{gates}" for loop in ("nonep", "meta") for gates in ("full", "static", "dynamic"))


@cache
def planned(scale: str) -> list[Step]:
    return steps(study(scale), ud=None)


def by_name(scale: str) -> dict[str, Step]:
    return {step.name: step for step in planned(scale)}


@pytest.mark.parametrize("scale", SCALES)
def test_every_input_is_made_by_a_step_before_or_is_a_treebanks(scale: str) -> None:
    made: set[str] = set()
    for step in steps(study(scale), ud=embedded_folder()) if scale == "smoke" else planned(scale):
        assert all(Path(path).is_file() if Path(path).is_absolute() else path in made for path in step.inputs), step
        assert not made & set(step.outputs)
        made |= set(step.outputs)


@pytest.mark.parametrize("scale", SCALES)
def test_every_kind_of_command_is_one_of_the_command_line(scale: str) -> None:
    """Parsed by the command line itself, and not run: options and arguments are those that there are."""
    shapes = {tuple(w for w in step.command if w.startswith("-") or w.isalpha()): step for step in planned(scale)}
    for step in shapes.values():
        command: click.Command = typer.main.get_command(app)
        words = list(step.command)
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(step.name, words)


def test_smoke_has_the_way_of_the_paper() -> None:
    found = by_name("smoke")
    static = found["nonep-static-0"]
    assert [p for p in static.inputs if p.startswith("sub")] == [
        f"subnetworks/heads/{code}-{seed}.json" for code in ("hi", "no") for seed in (0, 1)
    ]
    assert "models/stage1-0" in static.inputs
    assert "choices/nonep.json" in static.inputs
    assert not any("subnetworks" in word for word in found["nonep-full-0"].command)
    tested = found["test-nonep-static-0-others"]
    assert tested.inputs == ("models/nonep-static-0", "choices/nonep-adapt.json")
    assert tested.outputs == ("records/nonep-static-0/others.jsonl",)
    assert set(tested.outputs) <= set(found["table-system"].inputs)
    assert "records/nonep-static-0/others-random.jsonl" in found["table-ablation"].inputs
    assert "records/nonep-static-0/others-random.jsonl" not in found["table-system"].inputs
    assert {f"models/{name}-0.run/conflicts.json" for name in SIX} == {*found["table-conflict"].inputs}
    assert {f"records/{name}-0/others.jsonl" for name in SIX} <= {*found["table-system"].inputs}
    assert "figure-curve" not in found


def test_a_system_is_tested_in_the_intersection_without_being_trained_anew() -> None:
    found = by_name("smoke")
    tested = found["test-nonep-static-0-others-intersection"]
    assert shlex.join(tested.command).endswith("--gates intersection --subnetworks subnetworks/heads")
    assert tested.outputs == ("records/nonep-static-0/others-intersection.jsonl",)
    assert {*tested.inputs} == {*found["test-nonep-static-0-others"].inputs} | {
        f"subnetworks/heads/{code}-{seed}.json" for code in ("hi", "no") for seed in (0, 1)
    }
    assert tested.outputs[0] in found["table-ablation"].inputs
    assert tested.outputs[0] not in found["table-system"].inputs
    assert "nonep-intersection-0" not in found
    words = ("groups.own={systems: [nonep-dynamic], fewshot: false, own: true, gates: unstructured}",)
    others = {step.name: step for step in steps(study("smoke", words=words), ud=None)}
    own = others["own-nonep-dynamic-0-unstructured"]
    assert own.outputs == ("records/nonep-dynamic-0/own-unstructured.jsonl",)
    assert "subnetworks/weights/hi-0.safetensors" in own.inputs
    assert "weights-hi-0" in others


def test_the_paper_finds_28_subnetworks_and_tests_86_treebanks_with_each_parser() -> None:
    found = by_name("paper")
    assert sum(name.startswith("heads-") for name in found) == 7 * 4
    parts = [s for s in found.values() if s.outputs[0].startswith("records/meta-dynamic-4/") and s.kind == "fewshot"]
    banks = [word for s in parts if "--transfer" not in s.command for word in s.command if word.startswith("UD_")]
    assert len(parts) == 2 * 7
    assert len(banks) == len(set(banks)) == 86
    assert all(
        shlex.join(s.command).endswith("--seeds 1 --first-seed 4 --config choices/meta-dynamic-adapt.json --threads 1")
        for s in parts
        if "--transfer" not in s.command
    )
    assert "finetune.steps=205500" in found["heads-cs-0"].command  # 60 epochs of 68,495 sentences in batches of 20


def test_the_six_systems_of_small_are_a_night_on_two_cores(tmp_path: Path) -> None:
    """86 treebanks and three seeds in twelve hours, by its own costs, and no step of an hour."""
    chosen, found = study("small"), by_name("small")
    names = to_do(planned("small"), tmp_path, wanted=targets(chosen, ["main"]))
    todo = [found[name] for name in names]
    tested = [w for s in todo if s.kind == "fewshot" for w in s.command if w.startswith("UD_")]
    assert len(tested) == 86 * 3 * len(chosen.groups["main"].systems)
    assert sum(step.seconds for step in todo) / chosen.cores < 12 * 3600
    assert max(step.seconds for step in planned("small")) < 3600


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_every_ablation_of_section_8_has_three_training_runs_or_more(scale: str) -> None:
    tested = {path for step in planned(scale) if step.kind in ("fewshot", "own") for path in step.outputs}
    own = ["shuffle", "r20", "r30", "r40", "r50", "bad"]
    own += [f"static-{kind}-{code}" for kind in ("only", "all-but") for code in ("cs", "ar")]
    fewshot = ["dr20", "intersection", "unstructured", "unstructured-dynamic"]
    for seed in range(3):
        assert {f"records/nonep-{name}-{seed}/own.jsonl" for name in own} <= tested
        assert {f"records/nonep-{name}-{seed}/no.jsonl" for name in fewshot} <= tested
        assert f"records/nonep-static-{seed}/no-intersection.jsonl" in tested
        assert {f"records/{name}-{seed}/no-random.jsonl" for name in ("nonep-static", "meta-dynamic")} <= tested


def test_the_longest_name_of_a_choice_wins() -> None:
    found = by_name("paper")
    assert "choices/meta-static.json" in found["meta-static-0"].inputs
    assert "choices/nonep.json" in found["nonep-shuffle-0"].inputs
    assert "choices/meta.json" in found["point-meta-full-3"].inputs


@pytest.mark.parametrize("name", ["stage1", "udify"])
def test_what_no_loop_has_trained_is_adapted_as_what_the_joint_loop_has(name: str) -> None:
    found = by_name("paper")
    for each in (name, "nonep-full"):
        assert "--config choices/nonep-adapt.json" in shlex.join(found[f"test-{each}-0-no"].command)
    words = ("joint.adapt=[steps=3]",)
    for each in ("stage1", "nonep-full"):
        small = {step.name: step.command for step in steps(study("small", words=words), ud=None)}
        assert "steps=3" in small[f"test-{each}-0-no"]
    assert "steps=3" not in small["test-meta-full-0-no"]


def test_the_scores_of_the_grids_are_a_table_and_in_the_report_and_no_other() -> None:
    found = by_name("smoke")
    points = ("choices/nonep/0.jsonl", "choices/nonep/1.jsonl")
    assert found["table-choice"].inputs == points
    assert set(points) <= set(found["report"].inputs)
    assert not set(points) & {path for name in ("table-system", "table-ablation") for path in found[name].inputs}
    assert "table-choice" not in by_name("small")
    assert len(by_name("paper")["table-choice"].inputs) == 6 * 9


def test_a_study_of_rates_alone_ends_in_the_best(tmp_path: Path) -> None:
    chosen = replace(study("smoke"), groups={"main": Group(("nonep-full",), fewshot=False)}, conflicts=0)
    todo = to_do(steps(chosen, ud=None), tmp_path)
    assert {"point-nonep-0", "test-nonep-1", "choice-nonep", "table-choice"} <= set(todo)
    assert "nonep-full-0" not in todo


def test_points_differ_in_their_rates_alone() -> None:
    found = by_name("smoke")
    a, b = (found[f"point-nonep-{i}"].command for i in (0, 1))
    differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    assert differing == [
        ("models/point-nonep-0", "models/point-nonep-1"),
        ("outer.classifier_rate=0.001", "outer.classifier_rate=0.0005"),
    ]


def changed_by(before: Study, after: Study) -> set[str]:
    """The steps whose keys differ, but for what reports on all of them."""
    old, new = (keys(steps(each, ud=None)) for each in (before, after))
    changed = {name for name in new if old.get(name) != new[name]}
    return {name for name in changed if not name.startswith(("table-", "figure-", "report"))}


META = {step for name in SIX[3:] for step in (f"{name}-0", f"own-{name}-0", f"test-{name}-0-others")}


def test_a_changed_setting_changes_the_keys_of_what_depends_on_it_alone() -> None:
    before = study("smoke")
    assert changed_by(before, study("smoke", words=("meta.set=[steps=3, batch=6, inner.steps=2]",))) == META
    every = {n for n in keys(steps(before, ud=None)) if not n.startswith(("table-", "figure-", "report"))}
    # The validation tests are tests: what is chosen by them may be another.
    untouched = {n for n in every if n.startswith(("stage1-", "heads-", "point-", "meta-", "facts"))}
    assert changed_by(before, study("smoke", words=("tests.cap=5",))) == every - untouched
    assert changed_by(before, study("smoke", words=("cost.meta=1", "cores=1", "memory_mb=1"))) == set()
    assert changed_by(before, study("smoke", words=("stage1.set=[finetune.steps=3]",))) == every - {"facts"}


def test_tables_change_with_what_they_are_made_of() -> None:
    old, new = (keys(steps(study("smoke", words=words), ud=None)) for words in ((), ("meta.set=[steps=3]",)))
    changed = {name for name in new if old[name] != new[name]}
    assert {"table-system", "table-conflict", "figure-changes", "report"} <= changed
    assert not {"table-data", "figure-overlap"} & changed


def test_a_changed_preset_changes_the_keys_of_what_names_it(tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text("steps = 3\n")
    chosen = study("smoke", words=(f"meta.config={preset}", "meta.set=[]"))
    old = keys(steps(chosen, ud=None))
    preset.write_text("# the same\nsteps = 3\n")
    assert keys(steps(chosen, ud=None)) == old
    preset.write_text("steps = 4\n")
    new = keys(steps(chosen, ud=None))
    changed = {name for name in new if old[name] != new[name]}
    assert {name for name in changed if not name.startswith(("table-", "figure-", "report"))} == META


def test_a_study_has_systems_of_ones_own_beside_the_packages(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    rows = '[nonep-half]\ngates = "dynamic"\nstart = "random"\noff = {}\n[nonep-cut]\ngates = "static"\n'
    own.write_text(rows.format(0.5), "utf-8")
    groups = (
        "{main: {systems: [nonep-full, nonep-half, meta-half], own: true}, cut: {systems: [nonep-half], gates: cut}}"
    )

    def planned() -> dict[str, Step]:
        made = steps(study("smoke", words=(f"systems={own}", f"groups={groups}")), ud=None)
        return {step.name: step for step in made}

    found = planned()
    words = f"--gates half --systems {own} --config"
    assert words in shlex.join(found["nonep-half-0"].command)
    assert words in shlex.join(found["meta-half-0"].command)
    assert (found["nonep-half-0"].command[0], found["meta-half-0"].command[0]) == ("joint", "meta")
    assert "--systems" not in found["nonep-full-0"].command
    assert "--systems" not in found["test-nonep-half-0-others"].command
    retested = f"--gates cut --systems {own} --subnetworks subnetworks/heads"
    assert shlex.join(found["test-nonep-half-0-others-cut"].command).endswith(retested)
    assert "heads-hi-0" in found
    before = keys([*found.values()])
    own.write_text(rows.format(0.25), "utf-8")
    new = keys([*planned().values()])
    changed = {name for name in new if before[name] != new[name] and not name.startswith(("table", "figure", "report"))}
    half = ("nonep-half-0", "meta-half-0")
    tests = {f"{kind}-{name}{code}" for name in half for kind, code in (("own", ""), ("test", "-others"))}
    assert changed == {*half, *tests, "test-nonep-half-0-others-cut"}


def test_another_content_of_an_encoder_s_folder_redoes_what_was_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    chosen = study("smoke", words=(f"encoder={tmp_path}",))
    before = keys(steps(chosen, ud=None))
    (tmp_path / "config.json").write_text('{"layers": 3}')
    after = keys(steps(chosen, ud=None))
    assert before["stage1-0"] != after["stage1-0"]
    assert before["meta-dynamic-0"] != after["meta-dynamic-0"]
    assert before["facts"] == after["facts"]


def test_a_new_treebank_redoes_no_model_and_no_other_test() -> None:
    words = ("tests.treebanks=[UD_Swedish-Demo, UD_Turkish-Demo, UD_Faroese-OFT]",)
    new = {*(f"test-{model}-0-no" for model in SIX), "facts"}
    new |= {f"test-nonep-static-0-no-{other}" for other in ("random", "intersection")}
    assert changed_by(study("smoke"), study("smoke", words=words)) == new


def test_udify_s_place_is_one_training_on_all_treebanks_beside_the_others() -> None:
    words = ("groups.baselines={systems: [udify], beside: true}",)
    found = {step.name: step for step in steps(study("smoke", words=words), ud=embedded_folder())}
    trained = " ".join(found["udify-0"].command)
    names = [path.name for path in sorted(embedded_folder().glob("UD_*")) if any(path.glob("*train.conllu"))]
    assert trained.startswith(f"train models/udify-0 {' '.join(names)} --dev UD_English-Demo --encoder bundled")
    assert len(names) > 4
    tested = found["test-udify-0-others"]
    assert "--system udify" in " ".join(tested.command)
    assert tested.inputs[0] == "models/udify-0"
    assert tested.outputs[0] in found["table-system"].inputs
    assert tested.outputs[0] not in found["table-label"].inputs
    planned = {step.name: step for step in steps(study("smoke", words=words), ud=None)}
    assert "udify-0 UD_English-Demo UD_Hindi-Demo UD_Norwegian-Demo --dev" in " ".join(planned["udify-0"].command)
    assert "train models/udify-0 UD_English-EWT UD_Arabic-PADT UD_Czech-PDT" in " ".join(
        by_name("small")["udify-0"].command
    )
    chosen = (*words, "pooled={treebanks: [UD_Hindi-Demo], set: [finetune.steps=9]}")
    own = {step.name: step for step in steps(study("smoke", words=chosen), ud=embedded_folder())}["udify-0"]
    assert " ".join(own.command).startswith("train models/udify-0 UD_Hindi-Demo --dev UD_English-Demo")
    assert "finetune.steps=9" in own.command


def test_supports_of_several_sizes_share_a_reserve() -> None:
    chosen = study("smoke", words=("groups.curve={systems: [nonep-full], sizes: [5, 10]}",))
    found = {step.name: step for step in steps(chosen, ud=None)}
    command = " ".join(found["test-nonep-full-0-others-5"].command)
    assert "-n 5 --reserve 10 --seeds 2 --first-seed 0" in command
    assert "records/nonep-full-0/others-5.jsonl" in found["figure-curve"].inputs
    assert "records/nonep-full-0/others-5.jsonl" not in found["table-ablation"].inputs


def test_a_curve_s_usual_size_is_no_test_of_the_main_group() -> None:
    """Its sentences are others, those beside the reserve: a file of its own."""
    words = ("groups.curve={systems: [nonep-full], sizes: [5, 20], treebanks: [UD_Swedish-Demo]}",)
    found = {step.name: step for step in steps(study("smoke", words=words), ud=None)}
    assert "--reserve 20" in " ".join(found["test-nonep-full-0-others-20"].command)
    assert found["test-nonep-full-0-others"].command == by_name("smoke")["test-nonep-full-0-others"].command


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("groups.main.systems=[nonep-fool]",), ConfigError, "unknown system 'nonep-fool'"),
        (("joint.config=nowhere.toml",), ConfigError, "nowhere.toml: neither a preset nor a file of settings"),
        (("tests.treebanks=[UD_Swedish-Dem]",), DataError, "UD_Swedish-Dem.*or name others: --set 'languages="),
        (
            ("groups.other={systems: [nonep-full], treebanks: [UD_Turkish-Demo]}",),
            ConfigError,
            "records/nonep-full-0/others.jsonl would be made in two ways: .* give them the same treebanks",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(words: tuple[str, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        steps(study("smoke", words=words), ud=embedded_folder())


def test_a_study_has_one_treebank_of_each_training_language() -> None:
    message = (
        "languages: UD_Norwegian-Demo and UD_Norwegian-Nynorsk are of one language; a study has one treebank of each"
    )
    with pytest.raises(ConfigError, match=message):
        steps(study("smoke", words=("languages=[UD_Norwegian-Demo, UD_Norwegian-Nynorsk]",)), ud=None)


def test_facts_are_of_the_validation_treebanks_too_where_something_is_chosen_on_them() -> None:
    assert "UD_Czech-Demo" in by_name("smoke")["facts"].command
    assert {"UD_Bulgarian-BTB", "UD_Telugu-MTG"} <= set(by_name("paper")["facts"].command)
    assert "UD_Bulgarian-BTB" not in by_name("small")["facts"].command


def test_tables_and_figures_are_of_what_there_is() -> None:
    """A figure of controls needs controls, a correlation four treebanks, the paper's rows treebanks of the paper."""
    smoke, small = by_name("smoke"), by_name("small")
    assert "figure-masks" in smoke
    assert "figure-changes" in smoke
    assert not {"figure-factors", "table-paper", "table-paper-factor", "table-guidance", "figure-curve"} & set(smoke)
    assert any("udify" in path for path in small["table-treebank"].inputs)
    assert {
        "figure-factors",
        "table-paper",
        "table-paper-factor",
        "table-guidance",
        "figure-curve",
        "figure-masks",
    } <= set(small)
    languages = ["Faroese-OFT", "Welsh-CCG", "Wolof-WTB", "Thai-PUD", "Tamil-MWTT", "Kazakh-KTB", "Hungarian-Szeged"]
    seven = f"tests.treebanks=[UD_Faroese-FarPaHC, {', '.join(f'UD_{name}' for name in languages)}]"
    few = {step.name for step in steps(study("small", words=(seven,)), ud=None)}
    assert "figure-factors" in few
    assert "table-guidance" not in few


@pytest.mark.parametrize(
    ("systems", "there", "base"),
    [
        ("nonep-static", set(), False),
        ("nonep-full, stage1", set(), False),
        ("nonep-half, nonep-full", {"table-factor", "figure-changes", "figure-factors"}, True),
        ("nonep-static, nonep-full", {"table-factor", "table-paper-factor", "figure-changes", "figure-factors"}, True),
        ("nonep-shuffle, nonep-static", {"figure-masks"}, False),
        ("nonep-shuffle", set(), False),
    ],
)
def test_what_needs_a_full_system_or_what_a_mask_is_held_against_is_not_planned_without(
    tmp_path: Path, systems: str, there: set[str], base: bool
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[nonep-half]\ngates = "dynamic"\nstart = "random"\noff = 0.5\n', "utf-8")
    group = Group(systems=tuple(systems.split(", ")))
    chosen = replace(study("small"), systems=str(own), groups={"main": group})
    found = {step.name: step for step in steps(chosen, ud=None)}
    some = {"table-factor", "table-paper-factor", "figure-changes", "figure-factors", "figure-masks"}
    assert some & set(found) == there
    assert ("--base" in found["table-system"].command) == base


def test_the_tables_of_a_study_with_one_system_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of results/keep99, from its records; what of the treebanks' facts is needed is not kept there."""
    folder = Path(__file__).parents[2] / "results" / "keep99"
    monkeypatch.chdir(folder)
    found = [step.command for step in steps(study("study.toml"), ud=None) if step.kind == "table"]
    made = {}
    for command in found:
        words = [word for word in command[: command.index("--out")] if word != FACTS]
        made[command[command.index("--by") + 1]] = [*words, "--resamples", "20"]
    assert {"system", "treebank", "language", "ablation", "paper"} <= {*made}
    for by in {*made} - {"data", "label", "label-list"}:
        app(made[by], standalone_mode=False)
