"""The last steps of a study: tables, figures and the page, each from the files that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sublingual.analysis.guidance import LEAST_LANGUAGES
from sublingual.analysis.labels import languages_of
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
    "factor": ("main", "facts"),
    "guidance": ("eight", "facts"),
    "paper": ("paper", "facts"),
    "paper-factor": ("paper", "facts"),
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
    base = ("--base", "full") if any(name.endswith("-full") for name in main) else ()
    files = {**_results(study, groups), "facts": [*facts.outputs]}
    files["choices"] = [path for step in choices if step.kind == "fewshot" for path in step.outputs]
    for kind, sheets, endings in (("table", TABLES, TABLE_FORMATS), ("figure", FIGURES, FIGURE_FORMATS)):
        for name, names in sheets.items():
            if not files[names[0]]:
                continue
            found = tuple(dict.fromkeys(path for each in names for path in files[each]))
            outs = tuple(f"{kind}s/{name}.{ending}" for ending in endings)
            words = (*found, "--by", name, *base) if kind == "table" else (name, *found)
            written = (word for out in outs for word in ("--out", out))
            yield Step(f"{kind}-{name}", kind, (kind, *words, *written), found, outs)
    found = tuple(dict.fromkeys(path for each in files.values() for path in each))
    yield Step("report", "report", ("report", *found, PAGE), found, (PAGE,))


def _results(study: Study, groups: Sequence[Sequence[Step]]) -> dict[str, list[str]]:
    """The files that tables and figures are made from, by what they hold.

    `main`: few-shot tests of the first group, `beside`: of baselines; `paper`, `two`, `four`: those of the first where some
    of its treebanks are the paper's, or where there are so many, which a density and a correlation need; `eight`: where it
    has so many languages and two systems, as guidance needs. `controls`: of systems with random gates.
    """
    kinds = ("main", "beside", "paper", "two", "four", "eight", "all", "own", "controls", "curve", "conflicts", "heads")
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for i, (group, steps) in enumerate(zip(study.groups.values(), groups, strict=True)):
        tests = [step.outputs[0] for step in steps if step.kind == "fewshot"]
        own = [step.outputs[0] for step in steps if step.kind == "own"]
        found["curve" if group.sizes else "all"] += tests
        found["own"] += own
        if group.beside:
            found["beside"] += tests
        if i == 0:
            banks = group.treebanks or study.test_treebanks()
            found["main"] += tests
            found["paper"] += tests if any(transferred_from(bank) for bank in banks) else []
            found["two"] += tests if len(banks) >= 2 else []
            found["four"] += tests if len(banks) >= 4 else []
            can_guide = len(group.systems) >= 2 and len(languages_of(banks)) >= LEAST_LANGUAGES
            found["eight"] += tests if can_guide else []
        if any(study.row(name).is_drawn for name in group.systems):
            found["controls"] += [*own, *tests]
        made = [path for step in steps if step.kind in ("system", "subnetwork") for path in step.outputs]
        found["conflicts"] += [path for path in made if path.endswith("conflicts.json")]
        found["heads"] += [path for path in made if path.startswith("subnetworks/heads/")]
    return {kind: list(dict.fromkeys(paths)) for kind, paths in found.items()}
