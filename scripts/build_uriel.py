"""Packs URIEL's syntax_knn table out of the lang2vec 1.1.2 wheel into the package.

    pip download --no-deps lang2vec==1.1.2
    python scripts/build_uriel.py lang2vec-1.1.2-py3-none-any.whl src/sublingual/resources/uriel

The wheel is read as the zip that it is. lang2vec itself is never imported: it needs an old setuptools.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

VERSION = "1.1.2"
SHAPE = (7970, 103)


def read_syntax(wheel: zipfile.ZipFile) -> tuple[list[str], list[str], np.ndarray]:
    """Returns language codes, syntax features and the table [languages, features] of the wheel's kNN predictions."""
    with np.load(io.BytesIO(wheel.read("lang2vec/data/feature_predictions.npz")), allow_pickle=False) as arrays:
        columns = [i for i, name in enumerate(arrays["feats"]) if name.startswith("S_")]
        features = [str(arrays["feats"][i]) for i in columns]
        return [str(code) for code in arrays["langs"]], features, arrays["data"][:, columns, 0]


def verify(codes: list[str], table: np.ndarray) -> None:
    """Stops unless the table is the one expected: 7,970 different codes in order, 103 features, nothing but 0 and 1."""
    if table.shape != SHAPE:
        raise SystemExit(f"the table is {table.shape}, not {SHAPE}")
    if not np.isin(table, (0, 1)).all():
        raise SystemExit(f"the table holds other values than 0 and 1: {np.unique(table)[:5]}")
    if codes != sorted(set(codes)):
        raise SystemExit("the codes are not in order or not all different")


def build(wheel_path: Path, folder: Path) -> None:
    """Writes syntax_knn.npy (bits packed along features), codes.txt, features.txt and the licence into `folder`."""
    with zipfile.ZipFile(wheel_path) as wheel:
        licence = wheel.read(f"lang2vec-{VERSION}.dist-info/LICENSE.txt")
        codes, features, table = read_syntax(wheel)
    verify(codes, table)
    folder.mkdir(parents=True, exist_ok=True)
    packed = np.ascontiguousarray(np.packbits(table.astype(np.uint8), axis=1))  # [languages, 13]
    np.save(folder / "syntax_knn.npy", packed, allow_pickle=False)
    (folder / "codes.txt").write_text("\n".join(codes) + "\n", encoding="utf-8")
    (folder / "features.txt").write_text("\n".join(features) + "\n", encoding="utf-8")
    (folder / "LICENSE").write_bytes(licence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    build(arguments.wheel, arguments.folder)


if __name__ == "__main__":
    main()
