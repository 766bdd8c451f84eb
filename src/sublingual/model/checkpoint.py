"""Models on disk: safetensors, JSON, the tokenizer, and a manifest with the SHA-256 of every file. No pickle.

manifest.json       format, versions, files with size and SHA-256, the encoder's identity, what the model is (About)
model.safetensors   all parameters, the gates, the subnetworks of its languages (those of single weights as packed bits,
                    adapters as two factors), the tagger, and the ids of the kept pieces
parser.json         sizes and dropouts;  labels.json  the labels in order
encoder.json        the encoder's architecture;  tokenizer/  its tokenizer;  README.md  the model card
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer

from sublingual.data.downloads import sha256_of
from sublingual.data.vocabulary import LabelVocabulary
from sublingual.errors import ModelError
from sublingual.model.card import About, card
from sublingual.model.encoder import Encoder, build
from sublingual.model.folder import MANIFEST, refuse_existing
from sublingual.model.parser import BiaffineParser, ParserConfig
from sublingual.model.tagger import Tagger
from sublingual.model.weights import SIDES, Adapter, Subnet, WeightMask, attention_weights, packed, tensors_of, unpacked
from sublingual.runtime import machine, versions

FORMAT = 1
WEIGHTS, CARD, TOKENIZER = "model.safetensors", "README.md", "tokenizer"
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
_ENCODER, _TABLE, _KEPT, _GATES = "encoder.model.", "pieces.embeddings", "pieces.kept", "gates"
_SUBNETWORK, _WEIGHTS, _ADAPTER, _TAGGER = "subnetwork.", "weights.", "adapter.", "tagger."


@dataclass(frozen=True)
class Loaded:
    """A model as it was saved."""

    network: BiaffineParser
    gates: Subnet | None
    subnetworks: dict[str, Subnet]
    about: About
    tagger: Tagger | None = None


def save(
    folder: Path,
    network: BiaffineParser,
    *,
    gates: Subnet | None,
    about: About,
    subnetworks: Mapping[str, Subnet] | None = None,
    tagger: Tagger | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the model into a new folder; a folder that is there is replaced as a whole, and only with `overwrite`.

    Raises ModelError where the folder is in the way, is no model's, or the disk is full; what was there then stays.
    """
    folder = folder.resolve()
    if _old(folder).exists() and not folder.exists():  # a kill between the two renames below
        _old(folder).rename(folder)
    refuse_existing(folder, overwrite=overwrite)
    fresh, old = folder.with_name(f".{folder.name}.new"), _old(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        _write_parts(fresh, network, gates=gates, subnetworks=subnetworks or {}, tagger=tagger, about=about)
        _write_manifest(fresh, network, about=about)
        for path in _files(fresh):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except Exception as fault:  # the tokenizer's writer raises bare Exceptions for a full disk
        raise ModelError(f"{folder}: the model could not be written ({fault}); what was there is untouched") from fault
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _old(folder: Path) -> Path:
    """Where the model before stays while a new one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def _write_parts(
    folder: Path,
    network: BiaffineParser,
    *,
    gates: Subnet | None,
    subnetworks: Mapping[str, Subnet],
    tagger: Tagger | None,
    about: About,
) -> None:
    encoder = network.encoder
    table = encoder.model.get_input_embeddings().weight
    tensors = {n: t for n, t in network.state_dict().items() if t.data_ptr() != table.data_ptr()}
    tensors |= {_TABLE: table.detach(), _KEPT: encoder.kept}
    own = {} if gates is None else {_GATES: gates}
    for key, subnet in {**own, **{_SUBNETWORK + language: each for language, each in subnetworks.items()}}.items():
        if isinstance(subnet, WeightMask):
            tensors |= {f"{key}.{_WEIGHTS}{name}": packed(on) for name, on in subnet.kept.items()}
        elif isinstance(subnet, Adapter):
            tensors |= {f"{key}.{_ADAPTER}{name}": factor.clone() for name, factor in tensors_of(subnet).items()}
        else:
            tensors[key] = subnet.clone()  # a language's may be `gates` as well
    tensors |= {} if tagger is None else {_TAGGER + name: tensor for name, tensor in tagger.state_dict().items()}
    save_file({n: t.detach().contiguous().cpu() for n, t in tensors.items()}, folder / WEIGHTS)
    _write_json(folder / "parser.json", asdict(network.config))
    _write_json(folder / "labels.json", list(network.vocabulary.labels))
    (folder / "encoder.json").write_text(encoder.config.to_json_string(use_diff=False), encoding="utf-8")
    encoder.pieces.tokenizer.save_pretrained(folder / TOKENIZER)
    (folder / CARD).write_text(card(about, encoder=encoder.name), encoding="utf-8")


def _write_manifest(folder: Path, network: BiaffineParser, *, about: About) -> None:
    files = {
        p.relative_to(folder).as_posix(): {"sha256": sha256_of(p), "bytes": p.stat().st_size} for p in _files(folder)
    }
    encoder = network.encoder
    identity = {"name": encoder.name, "fingerprint": encoder.identity}
    manifest = {"format": FORMAT, "versions": versions(), "machine": machine(), "encoder": identity, "files": files}
    manifest["about"] = asdict(about)
    _write_json(folder / MANIFEST, {**manifest, "sha256": _seal(manifest)})


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest's own text, as it is without this entry."""
    return hashlib.sha256(_as_json({k: v for k, v in manifest.items() if k != "sha256"}).encode()).hexdigest()


def load(folder: Path, *, device: torch.device | str = "cpu") -> Loaded:
    """Returns the model of a folder, every file checked against the manifest first.

    Raises ModelError that names the file for a damaged, missing, foreign or pickled one. Files that are not the model's
    are not looked at, but for those beside the tokenizer's, which would be read with it.
    """
    manifest = _checked_manifest(folder)
    tensors = load_file(folder / WEIGHTS)
    weights = {n.removeprefix(_ENCODER): t for n, t in tensors.items() if n.startswith(_ENCODER)}
    encoder = build(
        AutoConfig.for_model(**_read_json(folder / "encoder.json")),
        weights,
        table=tensors.pop(_TABLE),
        kept=tensors.pop(_KEPT),
        tokenizer=AutoTokenizer.from_pretrained(folder / TOKENIZER),
        name=manifest["encoder"]["name"],
        identity=manifest["encoder"]["fingerprint"],
    )
    subnets = _subnets(tensors, encoder)
    gates = subnets.pop(_GATES, None)
    subnetworks = {key.removeprefix(_SUBNETWORK): subnet for key, subnet in subnets.items()}
    tagger = _tagger(encoder, {name: tensors.pop(name) for name in [*tensors] if name.startswith(_TAGGER)})
    config = ParserConfig(**_read_json(folder / "parser.json"))
    vocabulary = LabelVocabulary(tuple(_read_json(folder / "labels.json")))
    network = BiaffineParser(encoder, config=config, vocabulary=vocabulary)
    own = {n: t for n, t in tensors.items() if not n.startswith((_ENCODER, _SUBNETWORK, _GATES))}
    _fill_(network, own, place=folder / WEIGHTS)
    about = manifest["about"]
    about = {**about, "trained_on": tuple(about["trained_on"]), "data": tuple(about["data"])}
    return Loaded(
        network.to(device).eval(),
        gates,
        subnetworks,
        About(**{f.name: about[f.name] for f in fields(About)}),
        None if tagger is None else tagger.to(device),
    )


def _subnets(tensors: Mapping[str, Tensor], encoder: Encoder) -> dict[str, Subnet]:
    """The model's own gates and those of its languages, by their keys in the file."""
    found: dict[str, Subnet] = {}
    kept: dict[str, dict[str, Tensor]] = {}
    factors: dict[str, dict[str, dict[str, Tensor]]] = {}
    shapes = {name: p.shape for name, p in attention_weights(encoder).items()}
    for name, tensor in tensors.items():
        if not name.startswith((_SUBNETWORK, _GATES)):
            continue
        key, of_weights, weight = name.partition(f".{_WEIGHTS}")
        adapter_key, of_adapter, factor = name.partition(f".{_ADAPTER}")
        if of_adapter:
            weight, _, side = factor.rpartition(".")
            factors.setdefault(adapter_key, {}).setdefault(weight, {})[side] = tensor
        elif of_weights:
            kept.setdefault(key, {})[weight] = unpacked(tensor, shapes[weight])
        else:
            found[key] = tensor
    found |= {key: WeightMask(on) for key, on in kept.items()}
    return found | {
        key: Adapter({weight: (both[SIDES[0]], both[SIDES[1]]) for weight, both in own.items()})
        for key, own in factors.items()
    }


def has_tagger(folder: Path) -> bool:
    """Tells whether the model of a folder has learned parts of speech, without reading it."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return any(name.startswith(_TAGGER) for name in file.keys())  # noqa: SIM118 (no dict)


def _tagger(encoder: Encoder, weights: Mapping[str, Tensor]) -> Tagger | None:
    if not weights:
        return None
    tagger = Tagger(n_layers=encoder.n_layers, hidden_size=encoder.hidden_size)
    tagger.load_state_dict({name.removeprefix(_TAGGER): tensor for name, tensor in weights.items()})
    return tagger.eval().requires_grad_(False)


def _fill_(network: BiaffineParser, own: Mapping[str, Tensor], *, place: Path) -> None:
    """Sets the classifier's parameters; all of them, and nothing else, must be there in their shapes."""
    expected = {n: t.shape for n, t in network.state_dict().items() if not n.startswith("encoder.")}
    found = {n: t.shape for n, t in own.items()}
    wrong = sorted(n for n in {*expected, *found} if expected.get(n) != found.get(n))
    if wrong:
        raise ModelError(f"{place} does not fit its parser.json and labels.json: {', '.join(wrong[:5])}")
    network.load_state_dict(own, strict=False)


def _checked_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        kept = f"; the model before it is in {_old(folder)}: rename that" if _old(folder).exists() else ""
        raise ModelError(f"{folder} is {'a file: a model is a folder' if folder.exists() else 'not there'}{kept}")
    for entry in _files(folder) if path.is_file() else sorted(p for p in folder.iterdir() if p.is_file()):
        _refuse_pickle(entry)
    if not path.is_file():
        foreign = "a model of the transformers library: use it by --encoder"
        raise ModelError(
            f"{folder} has no {MANIFEST}: it is {foreign if (folder / 'config.json').exists() else 'no model'}"
        )
    manifest = _read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path}: not a manifest of format {FORMAT}; the model is of another version, or damaged")
    if path.read_bytes() != _as_json(manifest).encode() or manifest.get("sha256") != _seal(manifest):
        raise ModelError(f"{path} is damaged: its text is not the one that was written; get the model anew")
    for name, expected in manifest["files"].items():
        _check_file(folder / name, expected)
    for entry in _files(folder / TOKENIZER):
        if entry.relative_to(folder).as_posix() not in manifest["files"]:
            raise ModelError(f"{entry} is not of this model, and would be read with its tokenizer; remove it")
    return manifest


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4).startswith(_PICKLED):
            raise ModelError(
                f"{path} is a pickle or an archive of pickles, which could run code when it is read; models here have none: "
                f"remove it"
            )


def _check_file(path: Path, expected: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing; get the model anew")
    size, found = path.stat().st_size, sha256_of(path)
    if found != expected["sha256"]:
        raise ModelError(
            f"{path} is damaged: SHA-256 {found[:12]}..., expected {expected['sha256'][:12]}...; {size} bytes, expected "
            f"{expected['bytes']}; get the model anew"
        )


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def _as_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _write_json(path: Path, value: object) -> None:
    path.write_text(_as_json(value), encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ModelError(f"{path} cannot be read as JSON ({fault}); get the model anew") from fault
