"""Finished pieces of a piece of work, kept in a file, so that what was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sublingual.data.textfiles import write_text


class Journal:
    """JSON values by name; each is on the disk, in a file that is whole at any moment, when `put` returns.

    `purpose` are JSON values that say what the work is. A file of another purpose, or one that is damaged, counts for
    nothing and is replaced: its values were found under other circumstances.
    """

    def __init__(self, path: Path, *, purpose: Mapping[str, Any]) -> None:
        self.path = path
        self._seal = hashlib.sha256(json.dumps(purpose, sort_keys=True).encode()).hexdigest()
        self._values: dict[str, Any] = _read(path, self._seal)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str) -> Any:
        """Returns the value of that name, None where there is none yet."""
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keeps the value; raises DataError where the file cannot be written."""
        self._values[name] = value
        write_text([json.dumps({"purpose": self._seal, "values": self._values}, ensure_ascii=False), "\n"], self.path)


def _read(path: Path, seal: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(found, dict) and found.get("purpose") == seal and isinstance(found.get("values"), dict)
    return found["values"] if is_ours else {}
