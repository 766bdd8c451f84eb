"""Words and sentences that `--input text` cuts out of raw text, against UD's own: F1 by the official CoNLL-18 scorer.

    python bench/segmentation.py --ud UD_FOLDER [--treebanks UD_Faroese-OFT ...]

A test file's text is made of its `# text` lines as UD's own tools make it: a space between two sentences unless the first ends
in `SpaceAfter=No`, an empty line where a document or paragraph begins. It is cut into sentences of words, each with some
tree, since the scorer wants one. Printed are the F1 of words, of tokens (a multiword token is one of these; we make none) and
of sentences; the tokens' F1 of cutting at spaces alone; and of a hundred sentences how many begin a paragraph, which is told.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.treebanks import find
from sublingual.scoring import official_score
from sublingual.text import plain_text, sentences_of

TREEBANKS = (
    "UD_Faroese-OFT",
    "UD_Wolof-WTB",
    "UD_Welsh-CCG",
    "UD_Turkish-IMST",
    "UD_English-EWT",
    "UD_Tamil-TTB",
    "UD_Marathi-UFAL",
    "UD_Hindi-Mix",
    "UD_Arabic-Mix",
    "UD_South_Levantine_Arabic-MADAR",
    "UD_Naija-NSC",
    "UD_Chinese-HK",
    "UD_Chinese-PUD",
    "UD_Japanese-GSD",
    "UD_Thai-PUD",
    "UD_Vietnamese-VTB",
)


def raw_text(sentences: Sequence[Sentence]) -> str:
    """The text that the sentences were taken from, as far as CoNLL-U says."""
    text = ""
    between = ""
    for sentence in sentences:
        text += "\n\n" if text and begins_paragraph(sentence) else between
        text += sentence.text or ""
        between = " " if plain_text([sentence])[-1].isspace() else ""
    return text + "\n"


def begins_paragraph(sentence: Sentence) -> bool:
    return any(comment.split()[1:2] in (["newdoc"], ["newpar"]) for comment in sentence.comments)


def with_some_tree(sentence: Sentence) -> Sentence:
    n = len(sentence.words)
    return sentence.with_tree([0, *[1] * (n - 1)], ["root", *["dep"] * (n - 1)])


def rates(gold: Path, cut: Sequence[Sentence], *, scratch: Path) -> dict[str, float]:
    """The F1 of words, tokens and sentences."""
    written = scratch / "cut.conllu"
    write_conllu(map(with_some_tree, cut), written)
    found = official_score(gold, written)
    return {name: found[name].f1 for name in ("Words", "Tokens", "Sentences")}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ud", type=Path, required=True)
    options.add_argument("--treebanks", nargs="*", default=list(TREEBANKS))
    chosen = options.parse_args()
    print("treebank", "sentences", "words", "tokens", "sentences", "at spaces: tokens", "told: paragraphs", sep="\t")
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.treebanks:
            treebank = find(chosen.ud, name)
            gold = treebank.sentences("test")
            write_conllu(gold, Path(folder) / "gold.conllu")
            text = raw_text(gold)
            own, spaces = (
                rates(Path(folder) / "gold.conllu", sentences_of(text, form=form), scratch=Path(folder))
                for form in ("text", "horizontal")
            )
            told = 100 * sum(map(begins_paragraph, gold)) / len(gold)
            cells = [*own.values(), spaces["Tokens"], told]
            print(name, len(gold), *(f"{cell:.1f}" for cell in cells), sep="\t", flush=True)


if __name__ == "__main__":
    main()
