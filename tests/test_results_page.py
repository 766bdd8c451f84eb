"""docs/results.md holds what its commands print from the records of this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_table_of_the_results_is_what_its_command_prints() -> None:
    script = Path(__file__).parents[1] / "scripts" / "results.py"
    ran = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
