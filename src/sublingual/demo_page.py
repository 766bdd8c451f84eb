"""What the demo gave: typed results, the numbers for results.json, and the page for a person. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from sublingual.comparison import Difference, compare
from sublingual.data.conllu import Sentence
from sublingual.data.embedded import WARNING
from sublingual.drawing import boxed
from sublingual.languages import Neighbour
from sublingual.scoring import Score, score, sentence_counts, signature
from sublingual.subnetworks.gates import Subnetwork
from sublingual.subnetworks.heatmap import heat_map

_SHOWN_WORDS = 12
_CURVE = (260.0, 70.0)  # width and height in CSS pixels


@dataclass(frozen=True)
class LanguageResult:
    """One language of the demo.

    nearest: the training languages, most alike first; support: sent_ids; gold, before, after: the held-out sentences
    with their right trees, and parsed before and after adaptation; losses: per word before each step; seconds: of the
    adaptation; parsed: the file of `after`, relative to the page.
    """

    treebank: str
    language: str
    nearest: tuple[Neighbour, ...]
    support: tuple[str, ...]
    gold: tuple[Sentence, ...]
    before: tuple[Sentence, ...]
    after: tuple[Sentence, ...]
    losses: tuple[float, ...]
    new_labels: tuple[str, ...]
    seconds: float
    parsed: str

    @cached_property
    def zero_shot(self) -> Score:
        return score(self.gold, self.before)

    @cached_property
    def adapted(self) -> Score:
        return score(self.gold, self.after)

    @cached_property
    def gain(self) -> Difference:
        """LAS before and after, with the 95 % interval of the difference over sentences."""
        return compare(self.gold, self.before, self.after, generator=np.random.default_rng(0)).las

    @cached_property
    def shown(self) -> int:
        """The index of the sentence to draw: of the short ones, the one that adaptation helped most."""
        gained = sentence_counts(self.gold, self.after)["las"] - sentence_counts(self.gold, self.before)["las"]
        short = [i for i, sentence in enumerate(self.gold) if len(sentence.words) <= _SHOWN_WORDS]
        return max(short or range(len(self.gold)), key=lambda i: int(gained[i]))


@dataclass(frozen=True)
class SystemResult:
    """One system of stage 2: LAS on the test sentences of its languages, by code, and on the targets after adaptation."""

    system: str
    own: Mapping[str, float]
    targets: Mapping[str, float]


@dataclass(frozen=True)
class SystemsResult:
    """The subnetworks that were found, and full, static and dynamic compared."""

    subnetworks: tuple[Subnetwork, ...]
    rows: tuple[SystemResult, ...]


@dataclass(frozen=True)
class DemoResult:
    """What the demo gave; losses: of each step of fine-tuning, per word; seconds: of the whole, wall time."""

    source: str
    source_score: Score
    n_training: int
    losses: tuple[float, ...]
    languages: tuple[LanguageResult, ...]
    systems: SystemsResult
    seed: int
    settings: Mapping[str, Any]
    seconds: float
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    model: str


def record(result: DemoResult) -> dict[str, Any]:
    """Returns the numbers, settings, seeds and versions as plain values for JSON."""
    return {
        "warning": WARNING,
        "signature": signature(),
        "source": {"treebank": result.source, "sentences": result.n_training, "test": result.source_score.as_dict()},
        "losses": result.losses,
        "languages": [_language_record(each) for each in result.languages],
        "subnetworks": {s.language: {"off": s.n_off, "gates": s.rows()} for s in result.systems.subnetworks},
        "systems": [asdict(each) for each in result.systems.rows],
        "seed": result.seed,
        "settings": result.settings,
        "seconds": result.seconds,
        "versions": result.versions,
        "machine": result.machine,
    }


def page(result: DemoResult) -> str:
    """Returns the page: one self-contained HTML text without scripts."""
    drawn = [(each, _trees(each)) for each in result.languages]
    return (
        environment()
        .get_template("demo.html")
        .render(
            result=result,
            warning=WARNING,
            drawn=drawn,
            signature=signature(),
            heat_map=heat_map(result.systems.subnetworks),
        )
    )


def environment() -> Environment:
    """Returns where the package's pages are made: everything that is put in is escaped, nothing may be missing."""
    made = Environment(
        loader=PackageLoader("sublingual", "resources/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["curve"] = curve
    return made


def curve(values: Sequence[float]) -> str:
    """Returns the values, at least one, as a small line drawing (SVG) from 0 up to the largest."""
    width, height = _CURVE
    top = max(*values, 1e-9, 0.0)
    step = width / max(len(values) - 1, 1)
    points = [(i * step, height - value / top * height) for i, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="curve" width="{width:.0f}" height="{height + 4:.0f}" '
        f'viewBox="0 -2 {width:.0f} {height + 4:.0f}"><title>from {values[0]:.2f} to {values[-1]:.2f}</title>'
        f'<path d="M0 {height:.0f}H{width:.0f}" stroke="currentColor" opacity="0.3"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _language_record(each: LanguageResult) -> dict[str, Any]:
    return {
        "treebank": each.treebank,
        "language": each.language,
        "nearest": [asdict(neighbour) for neighbour in each.nearest],
        "support": each.support,
        "test": [sentence.sent_id or sentence.place for sentence in each.gold],
        "zero_shot": each.zero_shot.as_dict(),
        "adapted": each.adapted.as_dict(),
        "las": asdict(each.gain),
        "losses": each.losses,
        "new_labels": each.new_labels,
        "seconds": each.seconds,
        "parsed": each.parsed,
    }


def _trees(each: LanguageResult) -> list[tuple[str, str]]:
    """The shown sentence as annotated, and parsed before and after, each with its caption."""
    gold, before, after = each.gold[each.shown], each.before[each.shown], each.after[each.shown]
    n_words = len(gold.words)
    counts = [sentence_counts([gold], [parsed])["las"][0] for parsed in (before, after)]
    return [
        ("As annotated", boxed(gold)),
        (f"Before adaptation: {counts[0]} of {n_words} words right", boxed(before, gold=gold)),
        (f"After adaptation: {counts[1]} of {n_words} words right", boxed(after, gold=gold)),
    ]
