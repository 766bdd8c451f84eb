"""What the engine costs a study: its seconds a step, and how the wall time falls with cores.

    python bench/engine.py [--scale smoke] [--seconds 1] [--cores 1 2]

All steps of a scale with a command in place of `sublingual` that makes the step's files and no more; with `--seconds` it also
sleeps so long. `alone`: the same commands one after the other without the engine. Wall and CPU seconds (of this process and its
children) of each run; `nothing to do` is a second call. The import of the engine is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sublingual.data.embedded import embedded_folder
from sublingual.runtime import machine
from sublingual.study.config import EMBEDDED, Study, study
from sublingual.study.keys import Step
from sublingual.study.steps import steps

STUB = """#!{python} -IS
import json, pathlib, sys, time
for name in json.loads(pathlib.Path({files!r}).read_text())[json.dumps(sys.argv[1:])]:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.suffix:
        path.mkdir(exist_ok=True)
        path = path / "model"
    path.write_text("made")
time.sleep({seconds})
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scale", default="smoke")
    options.add_argument("--seconds", type=float, default=0.0, help="that each step sleeps")
    options.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    chosen = options.parse_args()
    plan = study(chosen.scale)
    ud = embedded_folder() if plan.ud == EMBEDDED else None
    graph = steps(plan, ud=ud)
    found: dict[str, object] = {"machine": machine(), "steps": len(graph), "seconds_each": chosen.seconds}
    found["import"] = timed(lambda: __import__("snakemake.cli"))
    with tempfile.TemporaryDirectory() as scratch:
        own = stub(Path(scratch), graph, chosen.seconds)
        found["alone"] = timed(lambda: alone(own, graph, Path(scratch) / "alone"))
        sys.executable = str(own.with_name("python"))  # beside which the Snakefile finds the command
        for cores in chosen.cores:
            folder = Path(scratch) / f"cores-{cores}"
            for name in (f"{cores} cores", f"{cores} cores, nothing to do"):
                found[name] = timed(lambda f=folder, n=cores: engine(plan, ud, f, graph, n))
    print(json.dumps(found, indent=1))


def stub(folder: Path, graph: list[Step], seconds: float) -> Path:
    """Returns the command that makes the files of each step."""
    (folder / "bin").mkdir()
    files, own = folder / "files.json", folder / "bin" / "sublingual"
    files.write_text(json.dumps({json.dumps(step.command): step.outputs for step in graph}))
    own.write_text(STUB.format(python=sys.executable, files=str(files), seconds=seconds))
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    return own


def alone(own: Path, graph: list[Step], folder: Path) -> None:
    folder.mkdir()
    for step in graph:
        subprocess.run([own, *step.command], cwd=folder, check=True)


def engine(plan: Study, ud: Path | None, folder: Path, graph: list[Step], cores: int) -> None:
    from sublingual.study.engine import run  # slow to import, and timed apart

    outcome = run(plan, ud, folder, steps=graph, cores=cores, say=lambda _: None)
    assert outcome.ok, outcome.complaints


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Returns the seconds of the wall clock and of processors, with those of finished children."""
    wall, cpu = time.monotonic(), sum(os.times()[:4])
    work()
    return {"wall": round(time.monotonic() - wall, 2), "cpu": round(sum(os.times()[:4]) - cpu, 2)}


if __name__ == "__main__":
    main()
