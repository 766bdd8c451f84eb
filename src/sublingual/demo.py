"""The main job from end to end on what the package carries: no hub, no network, no real treebank.

English fine-tuning, then for one language near to a training language and one far from all: parsing without adaptation,
20 steps on 20 sentences, parsing again. Then the paper's idea: subnetworks of two languages, and three systems compared.
What it gives shows that the machinery works; it is no measure of the parser.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sublingual.adaptation import AdaptConfig, Adapted, adapt
from sublingual.data.conllu import write_conllu
from sublingual.data.embedded import embedded
from sublingual.data.support import SUPPORT_SIZE, FewShot, draw_support
from sublingual.data.textfiles import write_text
from sublingual.data.treebanks import Split, Treebank
from sublingual.demo_page import DemoResult, LanguageResult, page, record
from sublingual.demo_systems import SystemsConfig, compare_systems
from sublingual.languages import nearest, resolve
from sublingual.model.card import About
from sublingual.model.parser import ParserConfig
from sublingual.model.sources import BUNDLED
from sublingual.parsing import Parser
from sublingual.runtime import machine, versions
from sublingual.scoring import score
from sublingual.training.finetune import FinetuneConfig
from sublingual.training.loop import Progress
from sublingual.training.optim import OptimConfig
from sublingual.training.stage1 import TrainConfig, described, train

SOURCE = "UD_English-Demo"
TARGETS = ("UD_Swedish-Demo", "UD_Turkish-Demo")
SAVED = "UD_Swedish-Demo"
MODEL, PAGE, RECORD = "parser-swedish", "index.html", "results.json"


def _training() -> TrainConfig:
    """Settings for 90 sentences and two minutes: smaller batches, less dropout and quicker rates than for a treebank."""
    parser = ParserConfig(dropout=0.33, layers_dropout=0.2, hide_pieces=0.1, encoder_dropout=0.1, attention_dropout=0.1)
    optim = OptimConfig(encoder_rate=2e-4, classifier_rate=2e-3)
    return TrainConfig(
        encoder=BUNDLED, parser=parser, finetune=FinetuneConfig(steps=200, batch=10, eval_every=50, optim=optim)
    )


def _adaptation() -> AdaptConfig:
    """Gentler rates than for a parser of a whole treebank: the default ones overfit twenty sentences of these.

    Chosen on these very sentences; one more reason why the demo's numbers measure nothing.
    """
    return AdaptConfig(encoder_rate=5e-5, classifier_rate=3e-4)


@dataclass(frozen=True)
class DemoConfig:
    """What the demo does; `steps` and `seed` are those of fine-tuning, `seed` also draws the support sentences."""

    steps: int = 200
    seed: int = 0
    device: str = "cpu"
    training: TrainConfig = field(default_factory=_training)
    adaptation: AdaptConfig = field(default_factory=_adaptation)
    systems: SystemsConfig = field(default_factory=lambda: SystemsConfig(adaptation=_adaptation()))

    def fine_tuning(self) -> TrainConfig:
        """Returns the training settings with the demo's steps and seed in them."""
        return replace(self.training, finetune=replace(self.training.finetune, steps=self.steps, seed=self.seed))


@dataclass(frozen=True)
class Watch:
    """Whom to tell what happens.

    stage: a line when something begins; training: each step of fine-tuning; adapting: treebank, step, steps and loss.
    """

    stage: Callable[[str], None] = lambda _: None
    training: Callable[[Progress], None] = lambda _: None
    adapting: Callable[[str, int, int, float], None] = lambda *_: None


def run_demo(folder: Path, *, config: DemoConfig | None = None, watch: Watch | None = None) -> DemoResult:
    """Runs the demo and returns what it gave, having written it into the folder.

    index.html: a page with tables and trees; results.json: all numbers, settings, seeds, versions; parsed/: the held-out
    sentences of each language as CoNLL-U, parsed after adaptation; parser-swedish/: the adapted Swedish parser. What an
    earlier demo left there is replaced. Raises EncoderError where the bundled encoder is not installed.
    """
    config, watch = config or DemoConfig(), watch or Watch()
    began = time.monotonic()
    (folder / "parsed").mkdir(parents=True, exist_ok=True)
    base, losses = _trained(config, watch)
    english = embedded(SOURCE).sentences("test")
    in_english = score(english, base.parse(english))
    results = tuple(_language(base, embedded(name), folder=folder, config=config, watch=watch) for name in TARGETS)
    systems = compare_systems(base, TARGETS, config=config.systems, seed=config.seed, stage=watch.stage)
    result = DemoResult(
        source=SOURCE,
        source_score=in_english,
        n_training=len(embedded(SOURCE).sentences("train")),
        losses=losses,
        languages=results,
        systems=systems,
        seed=config.seed,
        settings={
            "fine_tuning": asdict(config.fine_tuning()),
            "adaptation": asdict(config.adaptation),
            "systems": asdict(config.systems),
        },
        seconds=time.monotonic() - began,
        versions=versions(),
        machine=machine(),
        model=MODEL,
    )
    watch.stage(f"Writing {folder / PAGE} and {folder / RECORD}")
    write_text([page(result)], folder / PAGE)
    write_text([json.dumps(record(result), ensure_ascii=False, indent=1), "\n"], folder / RECORD)
    return result


def _trained(config: DemoConfig, watch: Watch) -> tuple[Parser, tuple[float, ...]]:
    """A parser fine-tuned on the English sentences, and the loss of each step."""
    english, settings = embedded(SOURCE), config.fine_tuning()
    watch.stage(
        f"Fine-tuning the bundled encoder on {len(english.sentences('train'))} English sentences, {config.steps} steps"
    )
    losses = []

    def told(progress: Progress) -> None:
        losses.append(progress.loss)
        watch.training(progress)

    dev = english.files("dev")
    trained = train(
        english.files("train"), config=settings, dev=dev, languages=["en"], device=config.device, progress=told
    )
    return trained.parser, tuple(losses)


def _language(base: Parser, treebank: Treebank, *, folder: Path, config: DemoConfig, watch: Watch) -> LanguageResult:
    """Parses a language before and after adaptation; writes the parsed text and, for one language, the parser."""
    test = treebank.sentences("test")
    drawn = draw_support(treebank, test, seed=config.seed, n=SUPPORT_SIZE)
    gold = tuple(test[i] for i in drawn.rest)
    language = resolve(treebank.code).name
    watch.stage(f"{language}: parsing {len(gold)} sentences without adaptation")
    before = tuple(base.parse(gold))
    watch.stage(f"{language}: {config.adaptation.steps} steps on {len(drawn.support)} sentences")
    began = time.monotonic()
    adapted = _adapted(base, treebank, drawn=drawn, config=config, watch=watch)
    seconds = time.monotonic() - began
    after = tuple(adapted.parser.parse(gold))
    parsed = f"parsed/{treebank.key}.conllu"
    write_conllu(after, folder / parsed)
    if treebank.name == SAVED:
        watch.stage(f"{language}: saving the parser to {folder / MODEL}")
        adapted.parser.save_pretrained(folder / MODEL, overwrite=True)
    return LanguageResult(
        treebank=treebank.name,
        language=language,
        nearest=tuple(nearest(treebank.code)),
        support=tuple(sentence.sent_id or sentence.place for sentence in drawn.support),
        gold=gold,
        before=before,
        after=after,
        losses=adapted.losses,
        new_labels=adapted.new_labels,
        seconds=seconds,
        parsed=parsed,
    )


def _adapted(base: Parser, treebank: Treebank, *, drawn: FewShot, config: DemoConfig, watch: Watch) -> Adapted:
    def told(step: int, loss: float) -> None:
        watch.adapting(treebank.name, step, config.adaptation.steps, loss)

    adapted = adapt(base, drawn.support, config=config.adaptation, seed=config.seed, progress=told)
    about = _about(base.about, treebank, drawn=drawn, config=config)
    return replace(adapted, parser=replace(adapted.parser, about=about))


def _about(base: About, treebank: Treebank, *, drawn: FewShot, config: DemoConfig) -> About:
    """What the saved parser says of itself: above all that it learned from toy treebanks."""
    split: Split = drawn.source
    data: tuple[dict[str, Any], ...] = tuple(
        described(path, f"{len(drawn.support)} support sentences") for path in treebank.files(split)
    )
    return replace(
        base,
        language=treebank.code,
        data=(*base.data, *data),
        seeds={**base.seeds, "support": config.seed},
        settings={**base.settings, "adaptation": asdict(config.adaptation)},
        scores={},  # those of the English parser
        note="Made by `sublingual demo` from the embedded toy treebanks: it shows the way, do not use it for real text.",
    )
