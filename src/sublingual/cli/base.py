"""What `train` and `adapt` share: a training run with its bar, and the cached base parser."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sublingual.cli.common import files_of, say, training_bar
from sublingual.cli.data import download
from sublingual.data.releases import PAPER_RELEASE, data_home, needs_download, ud_folder
from sublingual.errors import ConfigError, LanguageError
from sublingual.languages import Language, resolve

if TYPE_CHECKING:
    from sublingual.data.conllu import Sentence
    from sublingual.parsing import Parser
    from sublingual.training.stage1 import TrainConfig

# Modules that need torch are imported inside the functions: `--help` and the torch-free commands answer at once.

BASE_TREEBANK = "UD_English-EWT"


def language_of(file: Path | str) -> Language | None:
    """The language that a file's name spells out: a treebank's (`fo_oft-ud-dev.conllu`), or `Faroese-20.conllu`.

    None for others. Bare codes are not guessed at: `my.conllu` is more often somebody's own file than Burmese.
    """
    stem = Path(file).name.split(".")[0]
    words = re.split(r"[_-]", stem)
    for name in [stem] if "-ud-" in stem else [" ".join(words), words[0]]:
        try:
            if "-ud-" in name or len(name) > 3:
                return resolve(name)
        except LanguageError:
            continue
    return None


def train_parser(out: Path, files: list[Path], *, dev: list[Path], config: TrainConfig, device: str) -> Parser:
    """Returns the parser trained on the files and saved as `out`; progress and checkpoints stay in OUT.run meanwhile."""
    from sublingual import runtime
    from sublingual.training.runs import CHECKPOINT
    from sublingual.training.stage1 import train as run

    work = out.with_name(out.name + ".run")
    languages = [language.code for path in files if (language := language_of(path))]
    say(f"training on {', '.join(path.name for path in files)} with the encoder {config.encoder}; progress in {work}")
    where = runtime.device(device)
    with training_bar("training") as update:
        trained = run(files, config=config, dev=dev, languages=languages, folder=work, device=where, progress=update)
    trained.parser.save_pretrained(out, overwrite=True)
    (work / CHECKPOINT).unlink(missing_ok=True)  # large, and of no use to a run that is done; the metrics stay
    if trained.new_labels:
        say(f"labels that UD does not document, each started from its base relation: {', '.join(trained.new_labels)}")
    if trained.run.dev is not None:
        say(f"dev UAS {trained.run.dev.uas.f1:.2f}, LAS {trained.run.dev.las.f1:.2f}")
    say(f"model in {out}")
    return trained.parser


def base_parser(encoder: str | None, ud: Path | None, *, device: str, yes: bool) -> Parser:
    """The cached base parser of the encoder; where there is none, it is trained after a yes, and UD fetched before that."""
    from sublingual import runtime
    from sublingual.model.sources import open_source
    from sublingual.parsing import Parser
    from sublingual.training.stage1 import config_for

    config = config_for(encoder)
    folder = data_home() / "base" / _cache_name(config.encoder)
    if folder.exists():
        say(f"base parser: {folder}")
        return Parser.from_pretrained(folder, device=runtime.device(device))
    _ = open_source(config.encoder).config  # an encoder that cannot be had is refused before the question
    fetched = needs_download(ud)
    source = BASE_TREEBANK if fetched else files_of([BASE_TREEBANK], "train", ud_folder(ud))[0].name
    say(
        f"There is no base parser for the encoder {config.encoder} yet. It is fine-tuned once on {source} "
        f"({config.finetune.steps} steps; with the encoder `bundled` 20 to 30 minutes on a core or two) and kept in {folder}."
    )
    if fetched:
        say(
            f"Universal Dependencies {PAPER_RELEASE} is not here either: some hundred megabytes are downloaded first. "
            f"If you have it: --ud PATH, or `sublingual data import PATH`."
        )
    if not yes and not _confirmed("Download and train now?" if fetched else "Train it now?"):
        raise ConfigError("no base parser; give one by --model, or answer yes (--yes)")
    if fetched:
        download()
    release = ud_folder(ud)
    files = files_of([BASE_TREEBANK], "train", release)
    dev = files_of([BASE_TREEBANK], "dev", release, needed=False)
    return train_parser(folder, files, dev=dev, config=config, device=device)


def tagged(parser: Parser, sentences: Sequence[Sentence], *, seed: int) -> Parser:
    """The parser, which learns parts of speech as well from the sentences that have them; its trees stay the same."""
    from sublingual.tagging import n_tagged, with_tagger

    if n := n_tagged(sentences):
        say(f"learning parts of speech too, from the UPOS of {n} words; the trees stay the same")
    return with_tagger(parser, sentences, seed=seed)


def _confirmed(question: str) -> bool:
    """Whether the answer is yes; where nobody can answer (standard input is at its end), it is no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # typer.confirm writes to stdout as well
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _cache_name(encoder: str) -> str:
    """A folder name of its own for each encoder; directories of the same name in two places are two encoders."""
    path = Path(encoder)
    if not path.is_dir():
        return encoder.replace("/", "--")
    return f"{path.resolve().name}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
