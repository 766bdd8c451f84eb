"""Models on disk: what is saved comes back to the bit, and what is damaged, foreign or pickled is refused by name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sublingual.data.conllu import Sentence
from sublingual.data.downloads import sha256_of
from sublingual.errors import EncoderError, ModelError
from sublingual.model import checkpoint
from sublingual.model.card import About, card
from sublingual.model.checkpoint import load, save
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser, parse
from sublingual.runtime import machine, versions

Make = Callable[..., BiaffineParser]
Demo = Callable[..., list[Sentence]]
Damage = Callable[[bytes, int, random.Random], bytes]

ABOUT = About(
    language="fo",
    trained_on=("en", "no"),
    data=({"file": "en-train.conllu", "sentences": 90, "words": 812, "sha256": "ab" * 32, "licence": "CC0"},),
    seeds={"training": 3, "adaptation": 0},
    settings={"steps": 16, "optim": {"encoder_rate": 2e-4, "schedule": "cosine"}, "list": [1, None, True]},
    scores={"dev LAS": 81.25},
    note="For tests: “naïve”, 日本.",
)


@pytest.fixture
def network(tiny_parser: Make) -> BiaffineParser:
    return tiny_parser(dropout=True).eval()


@pytest.fixture
def folder(network: BiaffineParser, tmp_path: Path) -> Path:
    save(tmp_path / "model", network, gates=torch.ones(2, 2), about=ABOUT)
    return tmp_path / "model"


@pytest.fixture
def sentences(demo: Demo) -> list[Sentence]:
    return [s for name in ("English", "Norwegian", "Italian") for s in demo(name, 8)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def equal(a: BiaffineParser, b: BiaffineParser) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[n], y[n]) and x[n].dtype == y[n].dtype for n in x)


def test_a_saved_model_comes_back_to_the_bit(folder: Path, network: BiaffineParser, sentences: list[Sentence]) -> None:
    loaded = load(folder)
    assert equal(loaded.network, network)
    assert loaded.network.config == network.config
    assert loaded.network.vocabulary == network.vocabulary
    assert torch.equal(loaded.network.encoder.rows, network.encoder.rows)
    assert loaded.network.encoder.name == network.encoder.name
    assert loaded.network.encoder.identity == network.encoder.identity
    assert not loaded.network.training
    assert loaded.about == ABOUT
    assert parse(loaded.network, sentences) == parse(network, sentences)


def test_a_loaded_model_trains_with_the_same_dropout(
    folder: Path, network: BiaffineParser, sentences: list[Sentence]
) -> None:
    from sublingual.data.batches import pack

    losses = []
    for each in (network, load(folder).network):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            losses.append(each.train().loss(pack(each.encode(sentences, gold=True))).total.item())
    assert losses[0] == losses[1]


def test_a_loaded_tokenizer_cuts_as_before(folder: Path, network: BiaffineParser, demo: Demo) -> None:
    words = [w for name in ("English", "Arabic", "Hindi", "Turkish") for s in demo(name) for w in s.words]
    words += ["[MASK]", "\u200b", "naïve", "e\u0301", "U.S.", "日本語"]
    assert load(folder).network.encoder.pieces.of(words) == network.encoder.pieces.of(words)


@pytest.mark.parametrize("gates", [None, torch.tensor([[1.0, 0.0], [0.25, 1.0]])])
def test_gates_come_back(network: BiaffineParser, tmp_path: Path, gates: torch.Tensor | None) -> None:
    Parser(network, gates).save_pretrained(tmp_path / "model")
    found = Parser.from_pretrained(tmp_path / "model").gates
    assert (found is None) if gates is None else torch.equal(found, gates)


def test_saving_what_was_loaded_writes_the_same_files(folder: Path, tmp_path: Path) -> None:
    loaded = load(folder)
    save(tmp_path / "again", loaded.network, gates=loaded.gates, about=loaded.about)
    assert files_of(tmp_path / "again") == files_of(folder)


def test_labels_that_were_added_come_back(network: BiaffineParser, tmp_path: Path, sentences: list[Sentence]) -> None:
    extended = network.with_labels(["obl:xyz", "nsubj:abc"])
    with torch.no_grad():
        extended.labels.bias[-1] = 100.0
    save(tmp_path / "model", extended, gates=None, about=About())
    loaded = load(tmp_path / "model").network
    assert loaded.vocabulary.labels[-2:] == ("nsubj:abc", "obl:xyz")
    parsed = parse(loaded, sentences)
    assert parsed == parse(extended, sentences)
    assert {label for s in parsed for label in s.labels} == {"root", "obl:xyz"}


def test_untied_labels_come_back(network: BiaffineParser, tmp_path: Path, sentences: list[Sentence]) -> None:
    untied = BiaffineParser(
        network.encoder, config=replace(network.config, tied_labels=False), vocabulary=network.vocabulary
    )
    save(tmp_path / "model", untied, gates=None, about=About())
    loaded = load(tmp_path / "model").network
    assert equal(loaded, untied)
    assert parse(loaded, sentences) == parse(untied, sentences)


def test_a_trimmed_encoder_comes_back_and_gets_dropped_pieces_from_its_source(
    tiny_parser: Make, demo: Demo, tmp_path: Path
) -> None:
    english, italian = demo("English", 5), demo("Italian", 5)
    trimmed = tiny_parser(keep=[w for s in english for w in s.words])
    save(tmp_path / "model", trimmed, gates=None, about=About())
    loaded = load(tmp_path / "model").network
    assert equal(loaded, trimmed)
    assert len(loaded.encoder.kept) < len(loaded.encoder.rows)
    assert parse(loaded, english) == parse(tiny_parser(), english)
    n_before = len(loaded.encoder.kept)
    assert parse(loaded, italian) == parse(tiny_parser(), italian)
    assert len(loaded.encoder.kept) > n_before


def test_a_trimmed_model_whose_source_is_gone_refuses_text_by_its_pieces(
    tiny_parser: Make, demo: Demo, tmp_path: Path
) -> None:
    trimmed = tiny_parser(keep=[w for s in demo("English", 5) for w in s.words])
    trimmed.encoder.name = str(tmp_path / "moved away")
    save(tmp_path / "model", trimmed, gates=None, about=About())
    with pytest.raises(EncoderError, match="the text needs .*pieces that this model was trimmed of"):
        parse(load(tmp_path / "model").network, demo("Italian", 5))


def test_a_trimmed_bundled_encoder_comes_back_and_admits_new_pieces(demo: Demo, tmp_path: Path) -> None:
    from sublingual.model.encoder import load_encoder
    from sublingual.model.parser import ParserConfig, new_parser

    english, hindi = demo("English", 2), demo("Hindi", 2)
    encoder = load_encoder("bundled", keep=[w for s in [*english, *hindi] for w in s.words])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = new_parser(encoder, config=ParserConfig(arc_size=16, label_size=8)).eval()
    expected = parse(network, [*english, *hindi])
    network.encoder = load_encoder("bundled", keep=[w for s in english for w in s.words]).eval()
    save(tmp_path / "model", network, gates=None, about=About())
    loaded = load(tmp_path / "model").network
    assert equal(loaded, network)
    n_before = len(loaded.encoder.kept)
    assert parse(loaded, english) == expected[:2]
    assert len(loaded.encoder.kept) == n_before
    assert parse(loaded, hindi) == expected[2:]
    assert len(loaded.encoder.kept) > n_before


def test_the_manifest_records_files_versions_machine_encoder_data_and_seeds(
    folder: Path, network: BiaffineParser
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = files_of(folder)
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])}
    assert manifest["versions"] == versions()
    assert manifest["machine"] == machine()
    assert manifest["encoder"] == {"name": network.encoder.name, "fingerprint": network.encoder.identity}
    assert manifest["about"]["seeds"] == ABOUT.seeds
    assert manifest["about"]["data"] == list(ABOUT.data)


def test_no_file_of_a_model_is_a_pickle(folder: Path) -> None:
    for name, raw in files_of(folder).items():
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError)):
            pickle.loads(raw)  # noqa: S301  (our own file, just written)
        assert Path(name).suffix in (".json", ".safetensors", ".md")


def test_the_card_says_languages_data_seeds_scores_and_encoder() -> None:
    text = card(ABOUT, encoder="bundled")
    for part in (
        "bundled",
        "en-train.conllu",
        "812",
        "CC0",
        "dev LAS: 81.25",
        '"adaptation": 0',
        "en, no",
        "fo",
        "“naïve”, 日本",
    ):
        assert part in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["language"] == ["en", "no", "fo"]
    assert head["library_name"] == "sublingual"
    empty = card(About(), encoder="bundled")
    assert "none recorded" in empty
    assert "language" not in yaml.safe_load(empty.split("---\n")[1])


def licences_in_card(*data: dict[str, str]) -> str:
    return card(About(data=data), encoder="bundled").partition("## Licences of the data\n\n")[2].partition("\n\n##")[0]


def test_the_card_lists_the_licence_of_each_treebank_once() -> None:
    files = [{"file": f"en_ewt-ud-{split}.conllu", "treebank": "UD_English-EWT"} for split in ("train", "dev")]
    assert licences_in_card(*(file | {"licence": "CC BY-SA 4.0"} for file in files)) == "- UD_English-EWT: CC BY-SA 4.0"
    assert licences_in_card() == "- none recorded"


@pytest.mark.parametrize("licence", ["CC BY-NC-SA 3.0", "CC BY-NC 4.0", "for non-commercial use", "Noncommercial"])
def test_the_card_says_plainly_what_is_not_for_commercial_use(licence: str) -> None:
    free = {"file": "a", "treebank": "UD_Faroese-OFT", "licence": "CC BY-SA 4.0"}
    found = licences_in_card(free, {"file": "b", "treebank": "UD_Hindi-Mix", "licence": licence})
    assert found.endswith("**Not for commercial use:** so say the licences of UD_Hindi-Mix.")


def test_the_card_says_where_no_licence_is_known() -> None:
    found = licences_in_card({"file": "standard input"}, {"file": "my.conllu", "licence": "unknown"})
    assert "- standard input: unknown\n- my.conllu: unknown\n" in found
    assert found.endswith("under which licence standard input, my.conllu may be used: ask who made it.")


@pytest.mark.parametrize("n", [60, pytest.param(900, marks=pytest.mark.slow)])
def test_every_flip_truncation_and_zeroed_tail_of_any_file_is_found_and_named(
    folder: Path, damaged: Damage, n: int
) -> None:
    rng = random.Random(n)
    whole = files_of(folder)
    names = sorted(whole)
    for i in range(n):
        name = names[i % len(names)]
        bad = whole[name]
        while bad == whole[name]:
            bad = damaged(whole[name], rng.randrange(3), rng)
        (folder / name).write_bytes(bad)
        with pytest.raises(ModelError, match=re.escape(str(folder / name))):
            load(folder)
        (folder / name).write_bytes(whole[name])
    load(folder)


def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    path = folder / "manifest.json"
    raw = path.read_bytes()
    rng = random.Random(0)
    for at in rng.sample(range(len(raw)), 300):
        for new in (raw[at] ^ 1 << rng.randrange(8), 0x20):
            bad = raw[:at] + bytes([new]) + raw[at + 1 :]
            if bad != raw:
                path.write_bytes(bad)
                with pytest.raises(ModelError, match=re.escape(str(path))):
                    checkpoint._checked_manifest(folder)


def test_the_message_of_a_damaged_file_shows_both_hashes_and_sizes(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    expected, size = sha256_of(path)[:12], len(raw)
    path.write_bytes(raw[:-1])
    found = sha256_of(path)[:12]
    with pytest.raises(
        ModelError,
        match=rf"model.safetensors is damaged: SHA-256 {found}\.\.\., expected {expected}\.\.\.; {size - 1} bytes, expected "
        rf"{size}; get the model anew",
    ):
        load(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "parser.json", "labels.json", "encoder.json", "README.md", "tokenizer/tokenizer.json"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=re.escape(str(folder / name)) + " is missing; get the model anew"):
        load(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere is not there"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"has no manifest.json: it is no model"):
        load(tmp_path)
    with pytest.raises(
        ModelError, match=r"has no manifest.json: it is a model of the transformers library: use it by --encoder"
    ):
        load(tiny_encoder)
    (tmp_path / "file").write_text("text")
    with pytest.raises(ModelError, match=r"file is a file: a model is a folder"):
        load(tmp_path / "file")


@pytest.mark.parametrize("text", ["[]", '{"format": 2}', '{"name": "some web app"}', "null"])
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest.json: not a manifest of format 1"):
        load(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"<!DOCTYPE html>", b"\xff\xfe\x00"])
def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(raw)
    with pytest.raises(ModelError, match=r"manifest.json cannot be read as JSON .*get the model anew"):
        load(tmp_path)


class Bomb:
    """Would show itself if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


def zipped(raw: bytes) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", raw)
        return file.getvalue()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "weights.json", "tokenizer/x", "README.md"])
@pytest.mark.parametrize("kind", [2, 3, 4, 5, "zip", "torch"])
def test_a_pickle_is_refused_by_its_bytes_whatever_its_name_and_never_read(
    folder: Path, name: str, kind: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "torch":
        torch.save({"a": torch.ones(2)}, folder / name)
    else:
        raw = pickle.dumps(Bomb(), protocol=2 if kind == "zip" else int(kind))
        (folder / name).write_bytes(zipped(raw) if kind == "zip" else raw)
    with pytest.raises(
        ModelError, match=re.escape(str(folder / name)) + r" is a pickle or an archive of pickles, .*remove it"
    ):
        load(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_in_a_folder_without_manifest_is_refused_too(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "parser.pt")
    with pytest.raises(ModelError, match=r"parser.pt is a pickle"):
        load(tmp_path)


def test_files_that_are_not_the_model_s_do_no_harm(folder: Path, network: BiaffineParser) -> None:
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine\n")
    assert equal(load(folder).network, network)


def test_a_file_that_would_be_read_with_the_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer" / "added_tokens.json").write_text('{"cats": 5}')
    with pytest.raises(
        ModelError, match=r"added_tokens.json is not of this model, and would be read with its tokenizer; remove it"
    ):
        load(folder)


def sealed(folder: Path) -> None:
    """Writes the manifest anew for the files as they are: for models made by hand."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name in manifest["files"]:
        manifest["files"][name] = {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
    path.write_text(checkpoint._as_json({**manifest, "sha256": checkpoint._seal(manifest)}), encoding="utf-8")


def test_weights_that_do_not_fit_their_labels_are_refused(folder: Path) -> None:
    labels = json.loads((folder / "labels.json").read_text())
    (folder / "labels.json").write_text(json.dumps(labels[:-1]))
    sealed(folder)
    with pytest.raises(
        ModelError, match=r"model.safetensors does not fit its parser.json and labels.json: labels\.bias"
    ):
        load(folder)


def test_weights_of_another_encoder_are_refused(folder: Path) -> None:
    config = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    sealed(folder)
    with pytest.raises(EncoderError, match=r"does not fit its architecture: encoder\.layer\.2\."):
        load(folder)


def test_a_model_is_replaced_only_if_asked_for(folder: Path, tiny_parser: Make) -> None:
    other = tiny_parser(seed=1)
    before = files_of(folder)
    with pytest.raises(ModelError, match=r"model is there already; choose another folder, or --overwrite"):
        save(folder, other, gates=None, about=About())
    assert files_of(folder) == before
    (folder / "left.txt").write_text("of the old model\n")
    save(folder, other, gates=None, about=About(), overwrite=True)
    assert equal(load(folder).network, other)
    assert not (folder / "left.txt").exists()
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_or_file_that_is_no_model_is_never_replaced(
    network: BiaffineParser, tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("text")
    for name in ("thesis", "file"):
        with pytest.raises(ModelError, match=f"{name} is there and is no model: it is never replaced; choose another"):
            save(tmp_path / name, network, gates=None, about=About(), overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "text"


def test_an_empty_folder_and_one_in_no_folder_yet_are_taken(network: BiaffineParser, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/b/c"):
        save(tmp_path / name, network, gates=None, about=About())
        assert equal(load(tmp_path / name).network, network)


def test_the_folder_may_be_the_current_one(
    network: BiaffineParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save(Path("."), network, gates=None, about=About())
    assert equal(load(tmp_path / "here").network, network)


PARTS = ["save_file", "_write_json", "_write_manifest", "card", "sha256_of"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), Exception("bare"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_at_any_point_leaves_what_was_there(
    folder: Path, tiny_parser: Make, monkeypatch: pytest.MonkeyPatch, part: str, fault: BaseException, there: bool
) -> None:
    before = files_of(folder)
    target = folder if there else folder.with_name("fresh")

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(checkpoint, part, fail)
    expected = KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else ModelError
    with pytest.raises(expected, match=r"^$|the model could not be written \(.*\); what was there is untouched"):
        save(target, tiny_parser(seed=1), gates=None, about=About(), overwrite=True)
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    assert files_of(folder) == before


def test_a_rename_that_fails_brings_the_old_model_back(
    folder: Path, tiny_parser: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(folder)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ModelError, match="could not be written .*Input/output error"):
        save(folder, tiny_parser(seed=1), gates=None, about=About(), overwrite=True)
    assert files_of(folder) == before


def test_a_full_disk_leaves_the_old_model_and_says_so(folder: Path, tiny_parser: Make) -> None:
    before = files_of(folder)
    other = tiny_parser(seed=1)
    for size in (100, 5_000, 12_000, 100_000):  # in the settings, in the labels, in the tokenizer, in the weights
        child = os.fork()
        if child == 0:
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                save(folder, other, gates=None, about=About(), overwrite=True)
            except ModelError as fault:
                os._exit(7 if "could not be written" in str(fault) and "too large" in str(fault) else 8)
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert files_of(folder) == before
        assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_kill_between_the_renames_loses_no_model(folder: Path, tiny_parser: Make, network: BiaffineParser) -> None:
    """The state that such a kill leaves: the old model under its side name, the new one whole or not."""
    old = folder.with_name(".model.old")
    folder.rename(old)
    with pytest.raises(ModelError, match=r"model is not there; the model before it is in .*\.model\.old: rename that"):
        load(folder)
    with pytest.raises(ModelError, match="is there already"):
        save(folder, tiny_parser(seed=1), gates=None, about=About())
    assert equal(load(folder).network, network)
    shutil.copytree(folder, old)
    save(folder, tiny_parser(seed=1), gates=None, about=About(), overwrite=True)
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
