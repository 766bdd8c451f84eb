"""The last steps of a study: tables, figures and the page, each from the files that it speaks of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sublingual.analysis.ablations import held_against
from sublingual.analysis.guidance import LEAST_LANGUAGES
from sublingual.analysis.labels import languages_of
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import full_of
from sublingual.data.catalogue import transferred_from
from sublingual.study.config import Study
from sublingual.study.keys import Step

PAGE = "report.html"
# Of what each table and figure is made; where there is nothing of the first, it is not.
TABLES = {
    "system": ("main", "beside", "facts"),
    "treebank": ("main", "beside", "facts"),
    "label": ("main", "facts"),
    "label-list": ("main", "facts"),
    "language": ("own",),
    "conflict": ("conflicts",),
    "ablation": ("all", "own"),
    "factor": ("gains", "facts"),
    "guidance": ("eight", "facts"),
    "paper": ("paper", "facts"),
    "paper-factor": ("paper gains", "facts"),
    "data": ("facts",),
    "training": ("main", "facts"),
    "choice": ("choices",),
}
FIGURES = {
    "changes": ("two", "facts"),
    "factors": ("four", "facts"),
    "masks": ("controls", "own", "all"),
    "subnetworks": ("heads",),
    "overlap": ("heads",),
    "curve": ("curve",),
}
TABLE_FORMATS, FIGURE_FORMATS = ("csv", "md", "tex"), ("svg", "pdf")


def reporting(
    study: Study, groups: Sequence[Sequence[Step]], *, facts: Step, choices: Sequence[Step] = ()
) -> Iterator[Step]:
    """Returns the steps from the study's results; `groups` are the steps of its groups, `facts` that of the treebanks,
    `choices` those by which rates are chosen."""
    main = next(iter(study.groups.values())).systems
    base = ("--base", "full") if _gaining(main) else ()
    files = {**_results(study, groups), "facts": [*facts.outputs]}
    files["choices"] = [path for step in choices if step.kind == "fewshot" for path in step.outputs]
    for kind, sheets, endings in (("table", TABLES, TABLE_FORMATS), ("figure", FIGURES, FIGURE_FORMATS)):
        for name, names in sheets.items():
            if not files.get(names[0]):
                continue
            found = tuple(dict.fromkeys(path for each in names for path in files.get(each, ())))
            outs = tuple(f"{kind}s/{name}.{ending}" for ending in endings)
            words = (*found, "--by", name, *base) if kind == "table" else (name, *found)
            written = (word for out in outs for word in ("--out", out))
            yield Step(f"{kind}-{name}", kind, (kind, *words, *written), found, outs)
    found = tuple(dict.fromkeys(path for each in files.values() for path in each))
    yield Step("report", "report", ("report", *found, PAGE), found, (PAGE,))


def _results(study: Study, groups: Sequence[Sequence[Step]]) -> dict[str, list[str]]:
    """The files that tables and figures are made from, by what they hold.

    `main`: few-shot tests of the first group, `beside`: of baselines; `paper`: those of the first where some of its treebanks
    are the paper's; `eight`: where it has so many languages and two systems, as guidance needs. `gains`: those of the first
    where some system has its full one beside it, `paper gains`: a system of the paper's on its treebanks; `two`, `four`:
    those on so many treebanks, which a density and a correlation need. `controls`: where random masks stand beside what they
    are held against.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    tested = {name for group in study.groups.values() for name in group.systems}
    for i, (group, steps) in enumerate(zip(study.groups.values(), groups, strict=True)):
        tests = [step.outputs[0] for step in steps if step.kind == "fewshot"]
        own = [step.outputs[0] for step in steps if step.kind == "own"]
        found["curve" if group.sizes else "all"] += tests
        found["own"] += own
        if group.beside:
            found["beside"] += tests
        if i == 0:
            banks = group.treebanks or study.test_treebanks()
            gaining = _gaining(group.systems)
            of_paper, by_paper = any(transferred_from(bank) for bank in banks), {run.system for run in paper_runs()}
            for kind, holds in {
                "main": True,
                "paper": of_paper,
                "eight": len(group.systems) >= 2 and len(languages_of(banks)) >= LEAST_LANGUAGES,
                "gains": gaining,
                "paper gains": of_paper and not by_paper.isdisjoint(gaining),
                "two": gaining and len(banks) >= 2,
                "four": gaining and len(banks) >= 4,
            }.items():
                found[kind] += tests if holds else []
        masked = [name for name in group.systems if not tested.isdisjoint(held_against(name))]
        found["controls"] += [*own, *tests] if masked else []
        made = [path for step in steps if step.kind in ("system", "subnetwork") for path in step.outputs]
        found["conflicts"] += [path for path in made if path.endswith("conflicts.json")]
        found["heads"] += [path for path in made if path.startswith("subnetworks/heads/")]
    return {kind: list(dict.fromkeys(paths)) for kind, paths in found.items()}


def _gaining(systems: Sequence[str]) -> list[str]:
    """The systems whose full one is there too, over which they have gains."""
    return [name for name in systems if full_of(name) != name and full_of(name) in systems]
