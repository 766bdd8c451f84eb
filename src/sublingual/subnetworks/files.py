"""Files of subnetworks of either kind: attention heads (JSON) or single weights (safetensors)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sublingual.errors import SubnetworkError
from sublingual.subnetworks.gates import (
    Overlap,
    Subnetwork,
    intersection,
    overlap,
    read_subnetwork,
    union,
    write_subnetwork,
)
from sublingual.subnetworks.masks import (
    SUFFIX,
    WeightSubnetwork,
    intersection_of_weights,
    overlap_of_weights,
    read_weight_subnetwork,
    union_of_weights,
    write_weight_subnetwork,
)

AnySubnetwork = Subnetwork | WeightSubnetwork


def read_any(path: Path) -> AnySubnetwork:
    """Returns the subnetwork of a file; SubnetworkError for one that cannot be read."""
    return read_weight_subnetwork(path) if path.suffix == SUFFIX else read_subnetwork(path)


def write_any(path: Path, subnetwork: AnySubnetwork) -> None:
    """Writes the subnetwork into a file of its kind; SubnetworkError for a name of the other kind."""
    is_weights = isinstance(subnetwork, WeightSubnetwork)
    if is_weights != (path.suffix == SUFFIX):
        raise SubnetworkError(
            f"{path}: a file of {'single weights' if is_weights else 'attention heads'} ends in "
            f"{SUFFIX if is_weights else '.json'}"
        )
    if isinstance(subnetwork, WeightSubnetwork):
        write_weight_subnetwork(path, subnetwork)
    else:
        write_subnetwork(path, subnetwork)


def join_any(subnetworks: Sequence[AnySubnetwork], *, only_common: bool) -> AnySubnetwork:
    """Returns the union of subnetworks of one kind, or what is common to them; SubnetworkError for two kinds."""
    heads, weights = _by_kind(subnetworks)
    if weights:
        return (intersection_of_weights if only_common else union_of_weights)(weights)
    return (intersection if only_common else union)(heads)


def overlap_any(a: AnySubnetwork, b: AnySubnetwork) -> Overlap:
    """Returns the overlap of two subnetworks of one kind; SubnetworkError for two kinds."""
    heads, weights = _by_kind([a, b])
    return overlap_of_weights(*weights) if weights else overlap(*heads)


def _by_kind(subnetworks: Sequence[AnySubnetwork]) -> tuple[list[Subnetwork], list[WeightSubnetwork]]:
    heads = [s for s in subnetworks if isinstance(s, Subnetwork)]
    weights = [s for s in subnetworks if isinstance(s, WeightSubnetwork)]
    if heads and weights:
        raise SubnetworkError(
            "subnetworks of attention heads and of single weights have nothing in common; give one kind"
        )
    return heads, weights
