"""Subnetworks (section 4.3): which attention heads a language uses, as small readable files; unions, overlaps, controls."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, get_type_hints, runtime_checkable

import numpy as np
from jaxtyping import Bool
from pydantic import TypeAdapter, ValidationError

from sublingual.errors import SubnetworkError

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """The attention heads that a language uses: `gates[layer, attention_head]`, True where it is on.

    `method`: how it came about (pruned, union, shuffled, ...). `fingerprint`: the encoder it is of. `dev_before` and
    `dev_after`: dev LAS in per cent of the full model and of the subnetwork, where it was measured. `details`: JSON values
    such as treebank, settings, the pruning's curve and the importance of each attention head.
    """

    gates: Bool[np.ndarray, "layers attention_heads"]
    language: str
    method: str
    seeds: tuple[int, ...] = ()
    encoder: str = ""
    fingerprint: str = ""
    dev_before: float | None = None
    dev_after: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return self.gates.shape[0], self.gates.shape[1]

    @property
    def n_off(self) -> int:
        return int((~self.gates).sum())

    def rows(self) -> list[str]:
        """Returns one string of zeros and ones for each layer."""
        return ["".join("01"[int(gate)] for gate in row) for row in self.gates]


def full(n_layers: int, n_attention_heads: int, *, language: str) -> Subnetwork:
    """Returns the whole encoder as a subnetwork: every gate is on."""
    return Subnetwork(np.ones((n_layers, n_attention_heads), dtype=bool), language=language, method="full")


def union(subnetworks: Sequence[Subnetwork]) -> Subnetwork:
    """Returns the attention heads that any of them keeps (section 4.3.1: the union over seeds)."""
    return _joined(subnetworks, np.logical_or.reduce([s.gates for s in _alike(subnetworks)]), "union")


def intersection(subnetworks: Sequence[Subnetwork]) -> Subnetwork:
    """Returns the attention heads that all of them keep (footnote 2)."""
    return _joined(subnetworks, np.logical_and.reduce([s.gates for s in _alike(subnetworks)]), "intersection")


def _joined(subnetworks: Sequence[Subnetwork], gates: np.ndarray, method: str) -> Subnetwork:
    return Subnetwork(gates, method=method, **joined_header(subnetworks))


@runtime_checkable
class Found(Protocol):
    """What subnetworks of attention heads and of single weights have in common."""

    @property
    def language(self) -> str: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def encoder(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def details(self) -> dict[str, Any]: ...
    @property
    def n_off(self) -> int: ...


def joined_header(subnetworks: Sequence[Found]) -> dict[str, Any]:
    """Returns languages, seeds and encoder of several subnetworks joined, what they were, and the files they were found on."""
    first = subnetworks[0]
    data: list[Any] = []
    for used in (used for s in subnetworks for used in s.details.get("data", ())):
        if used not in data:
            data.append(used)
    return {
        "language": "+".join(dict.fromkeys(s.language for s in subnetworks)),
        "seeds": tuple(dict.fromkeys(seed for s in subnetworks for seed in s.seeds)),
        "encoder": first.encoder,
        "fingerprint": first.fingerprint,
        "details": {
            "of": [{"language": s.language, "seeds": list(s.seeds), "off": s.n_off} for s in subnetworks],
            "data": data,
        },
    }


def _alike(subnetworks: Sequence[Subnetwork]) -> Sequence[Subnetwork]:
    if not subnetworks:
        raise SubnetworkError("no subnetworks to join; give one or more")
    for other in subnetworks[1:]:
        refuse_foreign(other, fingerprint=subnetworks[0].fingerprint, shape=subnetworks[0].shape)
    return subnetworks


def refuse_foreign(subnetwork: Subnetwork, *, fingerprint: str, shape: tuple[int, int]) -> None:
    """Raises SubnetworkError for gates of another shape or of another encoder."""
    if subnetwork.shape != shape:
        raise SubnetworkError(
            f"the subnetwork of {subnetwork.language} has {subnetwork.shape[0]} layers of {subnetwork.shape[1]} attention "
            f"heads, where {shape[0]} of {shape[1]} are needed; find one with this encoder"
        )
    refuse_foreign_encoder(subnetwork, fingerprint=fingerprint)


def refuse_foreign_encoder(subnetwork: Found, *, fingerprint: str) -> None:
    """Raises SubnetworkError where the subnetwork says that it is of another encoder."""
    if subnetwork.fingerprint and fingerprint and subnetwork.fingerprint != fingerprint:
        raise SubnetworkError(
            f"the subnetwork of {subnetwork.language} is of another encoder ({subnetwork.encoder}, "
            f"{subnetwork.fingerprint[:12]}..., not {fingerprint[:12]}...); find one with this encoder"
        )


def shuffled(subnetwork: Subnetwork, *, generator: np.random.Generator) -> Subnetwork:
    """Returns as many attention heads, drawn anew from all layers (section 8, Shuffle)."""
    gates = generator.permutation(subnetwork.gates.ravel()).reshape(subnetwork.shape)
    return _control(subnetwork, gates, "shuffled")


def random_off(subnetwork: Subnetwork, *, n_off: int, generator: np.random.Generator) -> Subnetwork:
    """Returns the encoder with `n_off` attention heads off that are drawn from all (section 8, R20 to R50)."""
    return _control(subnetwork, _without(subnetwork, np.arange(subnetwork.gates.size), n_off, generator), "random")


def bad(subnetwork: Subnetwork, *, n_off: int = 20, generator: np.random.Generator) -> Subnetwork:
    """Returns the encoder with `n_off` attention heads off, drawn from those that pruning kept (section 8, Bad).

    Raises SubnetworkError where it kept fewer.
    """
    return _control(subnetwork, _without(subnetwork, np.flatnonzero(subnetwork.gates), n_off, generator), "bad")


def _without(subnetwork: Subnetwork, among: np.ndarray, n_off: int, generator: np.random.Generator) -> np.ndarray:
    if not 0 <= n_off <= len(among):
        raise SubnetworkError(
            f"{n_off} attention heads cannot be switched off for {subnetwork.language}: there are {len(among)} candidates; "
            f"choose fewer"
        )
    gates = np.ones(subnetwork.gates.size, dtype=bool)
    gates[generator.choice(among, size=n_off, replace=False)] = False
    return gates.reshape(subnetwork.shape)


def _control(subnetwork: Subnetwork, gates: np.ndarray, method: str) -> Subnetwork:
    return replace(subnetwork, gates=gates, method=method, dev_before=None, dev_after=None, details={})


@dataclass(frozen=True)
class Overlap:
    """How alike two subnetworks are: Jaccard index of the attention heads that are on and of those that are off, and by
    layer how many both keep, and how many either keeps."""

    jaccard_on: float
    jaccard_off: float
    both: tuple[int, ...]
    either: tuple[int, ...]


def overlap(a: Subnetwork, b: Subnetwork) -> Overlap:
    """Returns the overlap of two subnetworks; two empty sets are alike (1)."""
    _alike([a, b])
    both, either = a.gates & b.gates, a.gates | b.gates
    on = share(int(both.sum()), int(either.sum()))
    off = share(int((~either).sum()), int((~both).sum()))
    return Overlap(on, off, tuple(both.sum(axis=1).tolist()), tuple(either.sum(axis=1).tolist()))


def share(part: int, whole: int) -> float:
    """Returns the part's share of the whole; 1 where that is nothing."""
    return part / whole if whole else 1.0


def write_subnetwork(path: Path, subnetwork: Subnetwork) -> None:
    """Writes the file: JSON, the gates as one string of zeros and ones for each layer. The file before stays until then."""
    s = subnetwork
    values = {
        "format": FORMAT,
        "language": s.language,
        "method": s.method,
        "seeds": list(s.seeds),
        "encoder": s.encoder,
        "fingerprint": s.fingerprint,
        "dev_before": s.dev_before,
        "dev_after": s.dev_after,
        "gates": s.rows(),
        "details": s.details,
    }
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def read_subnetwork(path: Path) -> Subnetwork:
    """Returns the subnetwork of a file; raises SubnetworkError that names the file and what is wrong in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise SubnetworkError(f"{path} cannot be read as a subnetwork ({fault}); find it anew") from fault
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise SubnetworkError(f"{path} is no subnetwork of format {FORMAT}; find it anew")
    hints = get_type_hints(Subnetwork)
    wrong = sorted({*values} ^ {"format", *hints})
    if wrong:
        raise SubnetworkError(f"{path}: unknown or missing: {', '.join(wrong)}; find it anew")
    gates = _gates(values["gates"], path)
    rest = {key: _typed(kind, key, values[key], path) for key, kind in hints.items() if key != "gates"}
    if not _is_table(rest["details"].get("importance", gates), gates.shape):
        raise SubnetworkError(f"{path}: importance is a number for each of {gates.size} attention heads; find it anew")
    return Subnetwork(gates=gates, **rest)


def _typed(kind: Any, key: str, value: object, path: Path) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as fault:
        raise SubnetworkError(
            f"{path}: {key} is {value!r}: {fault.errors()[0]['msg'].lower()}; find it anew"
        ) from fault


def _is_table(values: Any, shape: tuple[int, ...]) -> bool:
    try:
        return np.shape(np.array(values, dtype=float)) == shape
    except (TypeError, ValueError):
        return False


def _gates(rows: Any, path: Path) -> np.ndarray:
    if not (isinstance(rows, list) and rows and all(isinstance(row, str) and row for row in rows)):
        raise SubnetworkError(f"{path}: gates are a list with one string of zeros and ones for each layer")
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]) or set(row) - {"0", "1"}:
            raise SubnetworkError(
                f"{path}: the gates of layer {i} are {row!r}; {len(rows[0])} zeros and ones are needed, as in layer 1"
            )
    return np.array([[gate == "1" for gate in row] for row in rows])
