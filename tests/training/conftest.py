"""Forked children: they die like a user's run, without the seconds that another start of Python and torch takes."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import pytest
from tqdm import tqdm

# The library's own lock is one that processes share: a child killed while it draws a bar would hold it for ever.
tqdm.set_lock(threading.RLock())


@pytest.fixture
def start() -> Callable[[Callable[[], object]], int]:
    """Starts a function in a child process and returns the child's id; it exits 0, or as SystemExit says, or 1."""

    def started(work: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:
            _child(work)
        return child

    return started


@pytest.fixture
def run(start: Callable[[Callable[[], object]], int]) -> Callable[[Callable[[], object]], int]:
    """Runs a function in a child process and returns its exit code, -9 if it was killed."""

    def ran(work: Callable[[], object]) -> int:
        return ended(start(work))

    return ran


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _child(work: Callable[[], object]) -> NoReturn:
    code = 1
    tqdm.set_lock(threading.RLock())  # the parent's may be held, by a thread that a fork does not copy
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
