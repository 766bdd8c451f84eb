"""`sublingual joint`, `sublingual meta`: stage 2, the six systems and their controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sublingual import config as settings
from sublingual.cli.base import language_of
from sublingual.cli.common import (
    Device,
    Json,
    Overwrite,
    Settings,
    Threads,
    Ud,
    Words,
    files_of,
    say,
    set_threads,
    training_bar,
)
from sublingual.data.catalogue import LANGUAGE_CODES, stage2_treebanks
from sublingual.data.textfiles import write_text
from sublingual.data.treebanks import Split
from sublingual.errors import ConfigError, DataError, LanguageError
from sublingual.languages import resolve
from sublingual.model.folder import refuse_existing

if TYPE_CHECKING:
    from sublingual.parsing import Parser
    from sublingual.subnetworks.gates import Subnetwork
    from sublingual.subnetworks.masks import WeightSubnetwork
    from sublingual.subnetworks.systems import System
    from sublingual.training.ranks import Ranks
    from sublingual.training.stage2 import Stage2Config

# Modules that need torch are imported inside the commands: `--help` and the torch-free commands answer at once.

JOINT = "Train a parser on several languages at once, each in its subnetwork (stage 2). Resumes when stopped."
META = "Meta-train a parser on several languages, each in its subnetwork (stage 2, first-order MAML). Resumes when stopped."

Model = Annotated[str, typer.Argument(help="The parser of stage 1.")]
Out = Annotated[Path, typer.Argument(help="Folder of the new model.")]
Treebanks = Annotated[
    list[str] | None,
    typer.Argument(
        help="UD treebanks or CoNLL-U files, CODE=FILE where the name hides the language (default: the paper's)."
    ),
]
Gates = Annotated[
    str,
    typer.Option(
        "--gates",
        help="full, static, dynamic, unstructured, adapters; or a control: shuffle, r20, bad, static-only-ar, ...",
    ),
]
Found = Annotated[
    Path | None,
    typer.Option("--subnetworks", help="Folder of what `subnetwork find` wrote; static and dynamic need it."),
]
Systems = Annotated[
    Path | None,
    typer.Option("--systems", help="TOML file of further systems, written as the package's resources/systems.toml."),
]
Retested = Annotated[
    str | None,
    typer.Option(
        "--gates",
        help="Test in the gates that this system starts with, in place of those that the parser was trained in: "
        "intersection, shuffle, ...",
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Iterations (joint) or episodes (meta).")]
Last = Annotated[
    int,
    typer.Option(
        "--conflicts", min=0, help="Compare the languages' gradients in that many last steps (the paper: 50)."
    ),
]
OptionalSeed = Annotated[int | None, typer.Option("--seed", help="Seed of everything that is drawn.")]


def stage2(loop: str) -> Callable[..., None]:
    """Returns the command of a loop, `nonep` or `meta`: both take the same arguments."""

    def command(
        model: Model,
        out: Out,
        treebanks: Treebanks = None,
        gates: Gates = "full",
        subnetworks: Found = None,
        systems: Systems = None,
        steps: Steps = None,
        config: Settings = None,
        words: Words = None,
        seed: OptionalSeed = None,
        conflicts: Last = 0,
        ud: Ud = None,
        device: Device = "auto",
        threads: Threads = None,
        as_json: Json = False,
        overwrite: Overwrite = False,
    ) -> None:
        refuse_existing(out, overwrite=overwrite)
        from sublingual.subnetworks.systems import system

        row = system(f"{loop}-{gates}", own=systems)
        files = languages_of(treebanks, ud)
        found, weights = _seeds_of(row, subnetworks, [*files])

        from sublingual import runtime
        from sublingual.parsing import Parser
        from sublingual.training.ranks import joined, local_device
        from sublingual.training.stage2 import Stage2Config, stage2_config

        set_threads(threads)
        where = runtime.device(local_device(device))
        parser = Parser.from_pretrained(model, device=where)
        encoder = parser.network.encoder.name
        start = stage2_config(row.loop, encoder) if config is None else settings.load(Stage2Config, config)
        chosen = settings.changed(start, words or ())
        chosen = chosen if steps is None else replace(chosen, steps=steps)
        chosen = chosen if seed is None else replace(chosen, seed=seed)
        with joined(where) as ranks:
            trained = _trained(
                parser,
                out,
                files=files,
                row=row,
                config=chosen,
                found=found,
                weights=weights,
                last=conflicts,
                ranks=ranks,
            )
        if as_json and trained is not None:
            print(json.dumps(trained))

    return command


def _trained(
    parser: Parser,
    out: Path,
    *,
    files: Mapping[str, Sequence[Path]],
    row: System,
    config: Stage2Config,
    found: Mapping[str, Sequence[Subnetwork]],
    weights: Mapping[str, Sequence[WeightSubnetwork]],
    last: int,
    ranks: Ranks,
) -> dict[str, object] | None:
    """Trains and saves the parser, and returns what became of its gates; progress and checkpoints stay in OUT.run.

    Of several processes the first saves and returns it; the others, which have the same parser, return None.
    """
    from sublingual.model.weights import n_off
    from sublingual.training.runs import CHECKPOINT
    from sublingual.training.system import switches, train_system

    work = out.with_name(out.name + ".run")
    many = f" in {ranks.size} processes" if ranks.size > 1 else ""
    if ranks.rank == 0:
        say(f"{row.name} on {', '.join(files)}, {config.steps} steps{many}; progress in {work}")
    with training_bar(row.name) if ranks.rank == 0 else nullcontext() as update:
        trained = train_system(
            parser,
            files,
            row=row,
            config=config,
            found=found,
            weights=weights,
            folder=work,
            progress=update,
            last=last,
            ranks=ranks,
        )
    if ranks.rank:
        return None
    if trained.conflicts is not None:
        run = {"system": row.name, "training_seed": config.seed}
        write_text([json.dumps(run | trained.conflicts), "\n"], work / "conflicts.json")
    trained.parser.save_pretrained(out, overwrite=True)
    (work / CHECKPOINT).unlink(missing_ok=True)  # large, and of no use to a run that is done; the metrics stay
    off = {code: n_off(own) for code, own in trained.parser.subnetworks.items()}
    what = "weights" if row.kind == "weights" else "attention heads"
    said = {code: "an adapter" if row.kind == "adapters" else f"{n} {what} off" for code, n in off.items()}
    say(f"model in {out}" + "".join(f"; {code}: {own}" for code, own in said.items()))
    moved = switches(trained.run, config.steps)
    if row.gates == "dynamic":
        switched = "; ".join(f"{code} {n}" for code, n in moved["switched_per_100_steps"].items())
        say(f"{what} switched in 100 steps: {switched}")
    return {"system": row.name, "off": off, **moved, "cpu_seconds": round(trained.run.cpu_seconds, 1)}


def retested(parser: Parser, gates: str | None, subnetworks: Path | None, systems: Path | None) -> Parser:
    """Returns the parser in the gates that a system starts with, in place of its own; as it is where none is named.

    Raises ConfigError for a folder of subnetworks or a file of systems without the name of one.
    """
    if gates is None:
        if subnetworks is not None:
            raise ConfigError(
                f"--subnetworks {subnetworks}: say which gates to make of them, such as --gates intersection"
            )
        if systems is not None:
            raise ConfigError(f"--systems {systems}: say which of them, with --gates")
        return parser
    from sublingual.subnetworks.systems import system
    from sublingual.training.system import with_gates_of

    row = system(f"nonep-{gates}", own=systems)
    found, weights = _seeds_of(row, subnetworks, [*parser.subnetworks])
    return with_gates_of(parser, row, found=found, weights=weights)


def languages_of(treebanks: Sequence[str] | None, ud: Path | None, *, split: Split = "train") -> dict[str, list[Path]]:
    """Returns the training files (or another split's) of each language, in the paper's order of languages first.

    Raises DataError for a name that hides its language; `CODE=NAME` says it.
    """
    found: dict[str, list[Path]] = {}
    for name in treebanks or stage2_treebanks():
        code, equals, rest = name.partition("=")
        said = code if equals and len(code) <= 3 else None
        given = rest if said else name
        try:
            language = resolve(said) if said else language_of(given) or resolve(given)
        except LanguageError as fault:
            raise DataError(f"{name}: which language is it? {fault}; write CODE={name}") from fault
        found.setdefault(language.code, []).extend(files_of([given], split, ud))
    order = [code for code in LANGUAGE_CODES.values() if code in found]
    return {code: found[code] for code in [*order, *(code for code in found if code not in order)]}


def _seeds_of(
    row: System, folder: Path | None, languages: Sequence[str]
) -> tuple[dict[str, list[Subnetwork]], dict[str, list[WeightSubnetwork]]]:
    """The subnetworks of attention heads, or of single weights, that the row is made from; none without a folder."""
    if folder is None:
        if row.made_from is not None and any(row.restricts(code) for code in languages):
            raise ConfigError(
                f"system {row.name!r} is made from subnetworks: name their folder with --subnetworks, or find some first: "
                "sublingual subnetwork find"
            )
        return {}, {}
    found = found_in(folder, languages) if row.kind == "heads" else {}
    return found, weights_in(folder, languages) if row.kind == "weights" else {}


def found_in(folder: Path, languages: Sequence[str]) -> dict[str, list[Subnetwork]]:
    """Returns the subnetworks of a folder by language: those of its seeds (`ar-0.json`), or else the one (`ar.json`).

    Raises DataError for a folder that is not there.
    """
    from sublingual.subnetworks.gates import read_subnetwork

    return {code: [read_subnetwork(path) for path in own] for code, own in _files(folder, languages, ".json").items()}


def weights_in(folder: Path, languages: Sequence[str]) -> dict[str, list[WeightSubnetwork]]:
    """As `found_in`, the subnetworks of single weights."""
    from sublingual.subnetworks.masks import SUFFIX, read_weight_subnetwork

    return {
        code: [read_weight_subnetwork(path) for path in own] for code, own in _files(folder, languages, SUFFIX).items()
    }


def _files(folder: Path, languages: Sequence[str], suffix: str) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; find subnetworks first: sublingual subnetwork find {folder} ...")
    seeds = {code: sorted(folder.glob(f"{code}-*{suffix}")) for code in languages}
    one = {code: folder / f"{code}{suffix}" for code in languages}
    return {code: own or [path for path in [one[code]] if path.is_file()] for code, own in seeds.items()}
