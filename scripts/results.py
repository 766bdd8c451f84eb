"""Makes the tables and figures of docs/results.md anew, each by the command that stands above it.

python scripts/results.py            # writes the page and the figures
python scripts/results.py --check    # exits with 1 and names the commands whose tables the page does not hold
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
_FIGURE = re.compile(r"^```sh\n(sublingual figure [^`]*)\n```$", re.MULTILINE)
_TABLE = re.compile(r"^```sh\n(sublingual table [^`]*)\n```\n((?:\n|[|] .*\n|- .*\n)*)", re.MULTILINE)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="write nothing")
    check = options.parse_args().check
    text, stale = PAGE.read_text(encoding="utf-8"), []

    def renewed(block: re.Match[str]) -> str:
        table = printed(block[1])
        if block[2].strip() != table:
            stale.append(block[1])
        return f"```sh\n{block[1]}\n```\n\n{table}\n\n"

    fresh = _TABLE.sub(renewed, text)
    for command in stale:
        print(f"{PAGE.name}: {'not' if check else 'was not'} what is printed by\n{command}", file=sys.stderr)
    if not check:
        for figure in _FIGURE.findall(text):
            run(figure)
        PAGE.write_text(fresh.rstrip("\n") + "\n", encoding="utf-8")
    return 1 if check and stale else 0


def printed(command: str) -> str:
    """The table of a command, as it is written to a file."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "table.md"
        run(f"{command} --out {out}")
        return out.read_text(encoding="utf-8").strip()


def run(command: str) -> None:
    """Runs a command of the page, which names files as a shell does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where `sublingual` is
    env = {**os.environ, "PATH": path, "LC_ALL": "C"}
    ran = subprocess.run(["bash", "-ec", command], cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{command}\n{ran.stderr}")


if __name__ == "__main__":
    sys.exit(main())
