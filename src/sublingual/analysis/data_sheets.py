"""Section 3's data and Table 6 beside what was used, for readers and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sublingual.analysis.beside import Plain
from sublingual.analysis.details import TrainingFile
from sublingual.analysis.facts import Facts, families, table_6
from sublingual.analysis.rendering import Sheet
from sublingual.data.catalogue import entry_of
from sublingual.data.treebanks import SPLITS
from sublingual.errors import LanguageError
from sublingual.languages import resolve

_PRINTED = tuple(f"printed_{split}" for split in SPLITS)


def data_sheet(facts: Mapping[str, Facts], *, training: Sequence[str] = ()) -> Sheet:
    """Returns section 3's table: of each treebank language, family, sizes, words, licence, genres, as counted.

    `training`: the treebanks that the parsers learned from, which need not be the paper's.
    """
    rows = [_data_line(each, training) for each in facts.values()]
    tests = [each for name, each in facts.items() if (entry := entry_of(name)) is not None and entry.role == "test"]
    notes = []
    if tests:
        known = families()
        found = {known[each.code] for each in tests if each.code in known}
        notes.append(
            f"test treebanks: {len(tests)} of {len({each.code for each in tests})} languages (the paper: 86 of 74), of "
            f"{len({each.family for each in found})} families and {len(found)} subfamilies (21 and 43), "
            f"{sum(each.words or 0 for each in tests)} words"
        )
    notes += [
        "part: what the paper uses the treebank for; own train: trained on here, but not in the paper; other: neither",
        "families and genera: UD's list of languages; licence, genres: the treebank's README; sizes: its files",
    ]
    columns = ("treebank", "part", "language", "family", "train", "dev", "test", "test words", "licence", "genres")
    return Sheet(columns, tuple(rows), tuple(notes))


def data_rows(facts: Mapping[str, Facts]) -> list[Plain]:
    """Returns plain rows, one a treebank and split."""
    known = families()
    return [
        {
            "treebank": each.treebank,
            "code": each.code,
            "language": each.language,
            "family": known[each.code].family if each.code in known else None,
            "genus": known[each.code].genus if each.code in known else None,
            "licence": each.licence,
            "genres": " ".join(each.genres),
            "split": name,
            "sentences": split.sentences,
            "words": split.words,
            "pieces_per_word": split.pieces_per_word,
            "words_unknown_percent": split.unknown_words,
        }
        for each in facts.values()
        for name, split in each.splits.items()
    ]


def _data_line(each: Facts, training: Sequence[str]) -> tuple[str, ...]:
    entry = entry_of(each.treebank)
    sizes = [str(each.splits[name].sentences) if name in each.splits else "-" for name in SPLITS]
    part = entry.role if entry is not None else "own train" if each.treebank in training else "other"
    family = str(families().get(each.code, "-"))
    words = "-" if each.words is None else str(each.words)
    return (
        each.treebank,
        part,
        each.language,
        family,
        *sizes,
        words,
        each.licence or "-",
        " ".join(each.genres) or "-",
    )


def training_sheet(training: Sequence[TrainingFile], facts: Mapping[str, Facts] | None = None) -> Sheet:
    """Returns Table 6 beside what the parsers were really trained on; without facts of a treebank its train split alone."""
    printed = {each.code: each for each in table_6()}
    used: dict[str, list[TrainingFile]] = {}
    for file in training:
        used.setdefault(_code(file.name), []).append(file)
    rows = []
    for code in dict.fromkeys([*printed, *used]):
        own = used.get(code, [])
        names = tuple(dict.fromkeys(file.name for file in own))
        said = printed.get(code)
        held_out = (_sentences(names, split, facts or {}) for split in ("dev", "test"))
        rows.append(
            (
                code,
                "-" if said is None else said.treebank,
                "-" if said is None else _sizes(said.sizes),
                ", ".join(names) or "-",
                _sizes((sum(file.sentences for file in own), *held_out)) if own else "-",
                str(sum(file.words for file in own)) if own else "-",
                ", ".join(dict.fromkeys(file.licence for file in own)) or "-",
            )
        )
    columns = ("language", "printed in Table 6", "its sentences", "used", "sentences", "words", "licence")
    notes = (
        "used: the training files in the records' models, each once, with their words",
        "sentences: of train / dev / test; dev and test are all that the used treebanks have, by their facts",
    )
    return Sheet(columns, tuple(rows), notes)


def _code(name: str) -> str:
    try:
        return resolve(name).code
    except LanguageError:
        return name


def _sentences(names: Sequence[str], split: str, facts: Mapping[str, Facts]) -> int | None:
    """The sentences of a split of these treebanks together, None where facts of none have it."""
    found = [facts[name].splits[split].sentences for name in names if name in facts and split in facts[name].splits]
    return sum(found) if found else None


def _sizes(sizes: Sequence[int | None]) -> str:
    return " / ".join("-" if size is None else str(size) for size in sizes)


def training_rows(training: Sequence[TrainingFile], facts: Mapping[str, Facts] | None = None) -> list[Plain]:
    """Returns plain rows, one a file; dev and test are those of its treebank, printed sizes of its language's in Table 6."""
    printed = {each.code: each.sizes for each in table_6()}
    return [
        {
            "language": _code(file.name),
            "name": file.name,
            **asdict(file),
            **{f"{split}_sentences": _sentences([file.name], split, facts or {}) for split in ("dev", "test")},
            **dict(zip(_PRINTED, printed.get(_code(file.name), (None,) * 3), strict=True)),
        }
        for file in training
    ]
