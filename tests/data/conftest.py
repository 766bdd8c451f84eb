"""Fixtures of the tests of reading and writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ud_tools_cases() -> Path:
    """The folder tests/test-cases of udtools' source distribution (SUBLINGUAL_UD_TOOLS); GPL, so never part of ours.

    `pip download --no-deps --no-binary udtools udtools==0.2.9` fetches it.
    """
    folder = os.environ.get("SUBLINGUAL_UD_TOOLS")
    if not folder:
        pytest.skip("SUBLINGUAL_UD_TOOLS is not set: no test cases of the UD tools to test with")
    return Path(folder)
