"""Section 3's data and Table 6 beside what was used, for readers and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sublingual.analysis.beside import Plain
from sublingual.analysis.details import TrainingFile
from sublingual.analysis.facts import Facts, families, table_6
from sublingual.analysis.rendering import Sheet
from sublingual.data.catalogue import entry_of
from sublingual.errors import LanguageError
from sublingual.languages import resolve


def data_sheet(facts: Mapping[str, Facts]) -> Sheet:
    """Returns section 3's table: of each treebank language, family, sizes, words, licence, genres, as counted."""
    rows = [_data_line(each) for each in facts.values()]
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
    notes.append(
        "families and genera: UD's list of languages; licence, genres: the treebank's README; sizes: its files"
    )
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


def _data_line(each: Facts) -> tuple[str, ...]:
    entry = entry_of(each.treebank)
    sizes = [str(each.splits[name].sentences) if name in each.splits else "-" for name in ("train", "dev", "test")]
    part = "other" if entry is None else entry.role
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


def training_sheet(training: Sequence[TrainingFile]) -> Sheet:
    """Returns Table 6 beside what the parsers were really trained on."""
    printed = {each.code: each for each in table_6()}
    used: dict[str, list[TrainingFile]] = {}
    for file in training:
        used.setdefault(_code(file.name), []).append(file)
    rows = []
    for code in dict.fromkeys([*printed, *used]):
        own = used.get(code, [])
        said = printed.get(code)
        rows.append(
            (
                code,
                "-" if said is None else said.treebank,
                "-" if said is None else str(said.sizes[0]),
                ", ".join(dict.fromkeys(file.name for file in own)) or "-",
                str(sum(file.sentences for file in own)) if own else "-",
                str(sum(file.words for file in own)) if own else "-",
                ", ".join(dict.fromkeys(file.licence for file in own)) or "-",
            )
        )
    columns = ("language", "printed in Table 6", "its sentences", "used", "sentences", "words", "licence")
    return Sheet(columns, tuple(rows), ("used: the training files in the records' models, each once",))


def _code(name: str) -> str:
    try:
        return resolve(name).code
    except LanguageError:
        return name


def training_rows(training: Sequence[TrainingFile]) -> list[Plain]:
    """Returns plain rows, one a file."""
    return [{"language": _code(file.name), "name": file.name, **asdict(file)} for file in training]
