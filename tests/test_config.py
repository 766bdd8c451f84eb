"""Settings: files, presets, words; what is refused, and that it is said with its key, its file and the near ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from sublingual.config import changed, from_mapping, load, presets
from sublingual.errors import ConfigError
from sublingual.training.finding import FindConfig
from sublingual.training.stage1 import TrainConfig
from sublingual.training.stage2 import Stage2Config


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    warmup: float = 0.5
    kind: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ConfigError(f"rate {self.rate}: it is 0 or more")


@dataclass(frozen=True)
class Outer:
    name: str = "mbert"
    steps: int = 10
    trim: bool = True
    inner: Inner = field(default_factory=Inner)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_stay() -> None:
    assert load(Outer) == Outer()
    assert load(TrainConfig) == TrainConfig()


def test_toml_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    values = {"steps": 7, "trim": False, "inner": {"rate": 0.25, "kind": "constant"}}
    toml = 'steps = 7\ntrim = false\n[inner]\nrate = 0.25\nkind = "constant"\n'
    files = [
        written(tmp_path, "a.toml", toml),
        written(tmp_path, "a.yaml", yaml.safe_dump(values)),
        written(tmp_path, "a.yml", yaml.safe_dump(values)),
        written(tmp_path, "a.json", json.dumps(values, indent="\t")),
    ]
    expected = Outer(steps=7, trim=False, inner=Inner(rate=0.25, kind="constant"))
    assert [load(Outer, path) for path in files] == [expected] * 4
    assert from_mapping(Outer, values, source="here") == expected


def test_what_a_file_does_not_name_keeps_its_default(tmp_path: Path) -> None:
    found = load(Outer, written(tmp_path, "a.toml", "[inner]\nrate = 0.25\n"))
    assert found == Outer(inner=Inner(rate=0.25))
    assert Outer() == Outer(inner=Inner(rate=0.1))


def test_words_override_the_file_and_later_words_the_earlier(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", "steps = 7\n[inner]\nrate = 0.25\nwarmup = 0.75\n")
    found = load(Outer, path, words=["inner.rate=1e-4", "steps=8", "steps=9", "name=bundled"])
    assert found == Outer(name="bundled", steps=9, inner=Inner(rate=1e-4, warmup=0.75))


def test_words_change_a_copy_of_the_settings() -> None:
    before = Outer(inner=Inner(warmup=0.75))
    assert changed(before, ["inner.rate=0.5"]) == Outer(inner=Inner(rate=0.5, warmup=0.75))
    assert before == Outer(inner=Inner(warmup=0.75))
    assert changed(before, []) == before


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001"])
def test_numbers_with_an_exponent_are_numbers_in_yaml_too(tmp_path: Path, text: str) -> None:
    assert load(Outer, written(tmp_path, "a.yaml", f"inner:\n  rate: {text}\n")).inner.rate == 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = 3\n", r"^unknown key 'step' in .*a\.toml; did you mean 'steps'\?$"),
        ("[inner]\nwarm = 3\n", r"^unknown key 'inner\.warm' in .*a\.toml; did you mean 'warmup'\?$"),
        ("zzz = 3\n", r"^unknown key 'zzz' in .*a\.toml; known keys: name, steps, trim, inner$"),
        ('steps = "many"\n', r"^'steps' in .*a\.toml is 'many': input should be a valid integer"),
        ("steps = 1.5\n", r"^'steps' in .*a\.toml is 1\.5: input should be a valid integer"),
        ("steps = true\n", r"^'steps' in .*a\.toml is True: input should be a number$"),
        ("name = 3\n", r"^'name' in .*a\.toml is 3: input should be a valid string$"),
        ("trim = 3\n", r"^'trim' in .*a\.toml is 3: input should be a valid boolean"),
        (
            'inner.kind = "linear"\n',
            r"^'inner\.kind' in .*a\.toml is 'linear': input should be 'cosine' or 'constant'$",
        ),
        ("inner.rate = nan\n", r"^'inner\.rate' in .*a\.toml is nan: input should be a number$"),
        ("inner.rate = -1\n", r"a\.toml: rate -1\.0: it is 0 or more$"),
        ("inner = 3\n", r"^'inner' in .*a\.toml is 3: "),
        ("steps = \n", r"a\.toml cannot be read: "),
    ],
)
def test_a_faulty_file_is_refused_by_key_and_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(Outer, written(tmp_path, "a.toml", text))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps", r"^'steps' sets nothing; write key=value, for example steps=400$"),
        ("step=3", r"^unknown key 'step'; did you mean 'steps'\?$"),
        ("inner.warm=3", r"^unknown key 'inner\.warm'; did you mean 'warmup'\?$"),
        ("steps=many", r"^'steps' is 'many': input should be a valid integer"),
        ("steps=", r"^'steps' is None: "),
        ("inner.rate=-1", r"^the settings: rate -1\.0: it is 0 or more$"),
        ("name=[a", r"^'name=\[a' cannot be read: the value is no YAML; quote it$"),
        ("=3", r"^unknown key ''"),
        ("steps.more=3", r"^'steps' is \{'more': 3\}: "),
    ],
)
def test_a_faulty_word_is_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(Outer, words=[word])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ini", "x", r"a\.ini: settings are a \.toml, \.yaml or \.json file, or one of the presets .*paper-stage1"),
        ("a.yaml", "- 1\n- 2\n", r"a\.yaml holds no keys; write `key = value` lines"),
        ("a.yaml", "", r"a\.yaml holds no keys"),
        ("a.yaml", "a: [\n", r"a\.yaml cannot be read: "),
        ("a.json", "{", r"a\.json cannot be read: "),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(Outer, written(tmp_path, name, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: .*No such file"):
        load(Outer, tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read: .*utf-8"):
        load(Outer, tmp_path / "a.toml")


def test_every_preset_loads_and_the_papers_differs_from_the_default() -> None:
    assert "paper-stage1" in presets()
    assert presets() == sorted(presets())
    kinds = {
        "joint-bundled": Stage2Config,
        "meta-bundled": Stage2Config,
        "paper-meta": Stage2Config,
        "paper-finding": FindConfig,
    }
    for name in presets():
        kind = kinds.get(name, TrainConfig)
        assert isinstance(load(kind, name), kind)
    paper = load(TrainConfig, "paper-stage1")
    assert paper.encoder == "bert-base-multilingual-cased"
    # Section 4.2 and appendix A: arcs 768, labels 256, batches of 20, rates 5e-5 and 1e-3, a tenth of warm-up.
    assert (paper.parser.arc_size, paper.parser.label_size, paper.finetune.batch) == (768, 256, 20)
    assert (paper.finetune.optim.encoder_rate, paper.finetune.optim.classifier_rate) == (5e-5, 1e-3)
    assert (paper.finetune.optim.schedule, paper.finetune.optim.warmup) == ("cosine", 0.1)
    assert paper.finetune.steps == 60 * 12543 // 20
    assert paper != TrainConfig()


def test_words_change_a_preset() -> None:
    found = load(TrainConfig, "paper-stage1", words=["finetune.steps=400", "finetune.optim.encoder_rate=1e-4"])
    assert (found.finetune.steps, found.finetune.optim.encoder_rate) == (400, 1e-4)
    assert found.finetune.optim.frozen_steps == load(TrainConfig, "paper-stage1").finetune.optim.frozen_steps


def test_a_preset_is_meant_by_its_bare_name_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="settings are a"):
        load(TrainConfig, tmp_path / "paper-stage1")
