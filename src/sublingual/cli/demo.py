"""`sublingual demo`: the main job on what the package carries, and where to look at what it gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TextColumn

from sublingual.cli.common import Device, Seed, Threads, bar, say, set_threads, table
from sublingual.data.embedded import WARNING

if TYPE_CHECKING:
    from sublingual.training.loop import Progress


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for what it makes.")] = Path("demo"),
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Run the whole way on embedded toy treebanks, without a network: train, adapt, parse, and a page with trees."""
    from sublingual import runtime
    from sublingual.demo import PAGE, DemoConfig, Watch, run_demo  # needs torch, slow to import

    set_threads(threads)
    with bar(TextColumn("{task.completed}/{task.total} {task.fields[state]}")) as shown:
        tasks = {}

        def move(name: str, done: int, total: int, state: str) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total, state="")
            shown.update(tasks[name], completed=done, state=state)

        def training(now: Progress) -> None:
            las = "" if now.dev_las is None else f" dev LAS {now.dev_las:.1f}"
            move("fine-tuning", now.step, now.steps, f"loss {now.loss:.2f}{las}")

        def adapting(name: str, step: int, steps: int, loss: float) -> None:
            move(f"adapting to {name}", step, steps, f"loss {loss:.2f}")

        config = DemoConfig(seed=seed, device=str(runtime.device(device)))
        result = run_demo(out, config=config, watch=Watch(stage=say, training=training, adapting=adapting))
    rows = [[x.treebank, f"{x.zero_shot.las.f1:.2f}", f"{x.adapted.las.f1:.2f}", len(x.gold)] for x in result.languages]
    table(["treebank", "zero-shot LAS", "adapted LAS", "sentences"], rows)
    first = result.systems.rows[0]
    columns = ["system", *(f"{code} LAS" for code in first.own), *(f"{name} LAS, adapted" for name in first.targets)]
    table(
        columns,
        [[x.system, *(f"{las:.2f}" for las in [*x.own.values(), *x.targets.values()])] for x in result.systems.rows],
    )
    say(WARNING)
    say(f"page with tables and trees: {out / PAGE}")
