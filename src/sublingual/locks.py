"""A folder that one process at a time works in."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sublingual.errors import TrainingError

LOCK = "lock"


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Holds the folder for this process. Raises TrainingError that names the holder where another run is in it.

    The system frees the lock when its process ends, however that comes: none is left over by a kill.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as fault:
        raise TrainingError(f"{folder}: no run can be kept here ({fault}); choose another folder") from fault
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            file.seek(0)
            holder = file.read().strip() or "it does not say which"
            raise TrainingError(
                f"{folder}: another run is in this folder ({holder}); wait for it, or choose another folder"
            ) from fault
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield
