"""Subnetworks of single weights (section 8) as small files: a bit a weight, and the header that other subnetworks have."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sublingual.errors import SubnetworkError
from sublingual.subnetworks.gates import Overlap, joined_header, refuse_foreign_encoder, share

FORMAT = 1
SUFFIX = ".safetensors"
_KEYS = ("language", "method", "seeds", "encoder", "fingerprint", "dev_before", "dev_after", "details", "shapes")


@dataclass(frozen=True, eq=False)
class WeightSubnetwork:
    """The single weights that a language uses, by the parameter's name in the encoder; True where a weight is on.

    All else is as for `gates.Subnetwork`.
    """

    kept: Mapping[str, Bool[np.ndarray, "out in"]]
    language: str
    method: str
    seeds: tuple[int, ...] = ()
    encoder: str = ""
    fingerprint: str = ""
    dev_before: float | None = None
    dev_after: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: on.shape for name, on in self.kept.items()}

    @property
    def size(self) -> int:
        return sum(on.size for on in self.kept.values())

    @property
    def n_off(self) -> int:
        return sum(int((~on).sum()) for on in self.kept.values())


def whole(shapes: Mapping[str, Sequence[int]], *, language: str) -> WeightSubnetwork:
    """Returns the subnetwork in which every weight is on."""
    return WeightSubnetwork({n: np.ones(tuple(s), dtype=bool) for n, s in shapes.items()}, language, "full")


def union_of_weights(subnetworks: Sequence[WeightSubnetwork]) -> WeightSubnetwork:
    """Returns the weights that any of them keeps (section 4.3.1: the union over seeds)."""
    return _joined(subnetworks, np.logical_or, "union")


def intersection_of_weights(subnetworks: Sequence[WeightSubnetwork]) -> WeightSubnetwork:
    """Returns the weights that all of them keep (footnote 2)."""
    return _joined(subnetworks, np.logical_and, "intersection")


def _joined(subnetworks: Sequence[WeightSubnetwork], operation: np.ufunc, method: str) -> WeightSubnetwork:
    first = _alike(subnetworks)[0]
    kept = {name: operation.reduce([s.kept[name] for s in subnetworks]) for name in first.kept}
    return WeightSubnetwork(kept, method=method, **joined_header(subnetworks))


def _alike(subnetworks: Sequence[WeightSubnetwork]) -> Sequence[WeightSubnetwork]:
    if not subnetworks:
        raise SubnetworkError("no subnetworks to join; give one or more")
    for other in subnetworks[1:]:
        refuse_foreign_weights(other, fingerprint=subnetworks[0].fingerprint, shapes=subnetworks[0].shapes)
    return subnetworks


def refuse_foreign_weights(
    subnetwork: WeightSubnetwork, *, fingerprint: str, shapes: Mapping[str, Sequence[int]]
) -> None:
    """Raises SubnetworkError for masks of other weights or of another encoder."""
    needed = {name: tuple(shape) for name, shape in shapes.items()}
    if subnetwork.shapes != needed:
        names = sorted(n for n in {*needed, *subnetwork.shapes} if needed.get(n) != subnetwork.shapes.get(n))
        raise SubnetworkError(
            f"the subnetwork of {subnetwork.language} is of other weights than this encoder's attention has "
            f"({', '.join(names[:2])}); find one with this encoder"
        )
    refuse_foreign_encoder(subnetwork, fingerprint=fingerprint)


def overlap_of_weights(a: WeightSubnetwork, b: WeightSubnetwork) -> Overlap:
    """Returns the overlap of two subnetworks; its counts are by parameter, in the order of the file."""
    _alike([a, b])
    both = [int((a.kept[name] & b.kept[name]).sum()) for name in a.kept]
    either = [int((a.kept[name] | b.kept[name]).sum()) for name in a.kept]
    off = (a.size - sum(either), a.size - sum(both))
    return Overlap(share(sum(both), sum(either)), share(*off), tuple(both), tuple(either))


def write_weight_subnetwork(path: Path, subnetwork: WeightSubnetwork) -> None:
    """Writes the file: safetensors, eight weights a byte, the header as JSON. The file before stays until then."""
    s = subnetwork
    header = json.dumps({key: getattr(s, key) for key in _KEYS}, ensure_ascii=False)
    fresh = path.with_name(f".{path.name}.new")
    bits = {name: np.packbits(on) for name, on in s.kept.items()}
    save_file(bits, fresh, {"format": str(FORMAT), "subnetwork": header, "sha256": _digest(header, bits)})
    os.replace(fresh, path)


def _digest(header: str, bits: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(bits):
        digest.update(f"\0{name}\0".encode() + bits[name].tobytes())
    return digest.hexdigest()


def read_weight_subnetwork(path: Path) -> WeightSubnetwork:
    """Returns the subnetwork of a file; raises SubnetworkError that names the file and what is wrong in it."""
    try:
        with safe_open(path, framework="numpy") as file:
            raw = file.metadata() or {}
            bits = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if raw.get("format") != str(FORMAT):
            raise SubnetworkError(f"{path} is no subnetwork of format {FORMAT}; find it anew")
        if _digest(raw["subnetwork"], bits) != raw["sha256"]:
            raise ValueError("its SHA-256 is not the recorded one")
        header = json.loads(raw["subnetwork"])
        shapes = {name: tuple(shape) for name, shape in header.pop("shapes").items()}
        kept = {n: np.unpackbits(bits[n], count=int(np.prod(s))).astype(bool).reshape(s) for n, s in shapes.items()}
        return WeightSubnetwork(kept, **{**header, "seeds": tuple(header["seeds"])})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
        raise SubnetworkError(f"{path} cannot be read as a subnetwork of weights ({fault}); find it anew") from fault
