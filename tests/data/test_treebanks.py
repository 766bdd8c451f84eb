"""The catalogue of the paper's treebanks, and treebanks in the folder of a release."""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from sublingual.data.catalogue import LANGUAGE_CODES, catalogue, entry_of, transferred_from
from sublingual.data.conllu import read_conllu
from sublingual.data.treebanks import Size, Treebank, check, count, find, licence_of, table, treebank_at, treebanks
from sublingual.errors import DataError

TABLE_6 = """
ar PADT 6075 909 680
cs PDT 68495 9270 10148
en EWT 12543 2002 2077
hi HDTB 13304 1659 1684
it ISDT 13121 564 482
et EDT 24633 3125 3214
no Norsk 14174 1890 1511
ru SynTag 48814 6584 6491
"""

WORD = "{}\t{}\t_\tX\t_\t_\t{}\t{}\t_\t_\n"
SENTENCE = (
    "# sent_id = a\n# text = du vin\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"
    + WORD.format(1, "de", 3, "case")
    + WORD.format(2, "le", 3, "det")
    + WORD.format(3, "vin", 0, "root")
    + "3.1\tbu\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
)


def make(folder: Path, name: str, key: str, **sentences: int) -> Path:
    treebank = folder / name
    treebank.mkdir(parents=True)
    for split, n in sentences.items():
        (treebank / f"{key}-ud-{split}.conllu").write_text(SENTENCE * n, encoding="utf-8")
    return treebank


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "ud-treebanks-v2.9"
    make(folder, "UD_Faroese-OFT", "fo_oft", test=4)
    make(folder, "UD_English-EWT", "en_ewt", train=3, dev=2, test=1)
    make(folder, "UD_Skolt_Sami-Giellagas", "sms_giellagas", test=2)
    make(folder, "UD_Faroese-Own", "fo_own", train=5)
    make(folder, "UD_Empty-None", "xx_none")
    (folder / "notes.txt").write_text("not a treebank")
    return folder


def test_the_catalogue_is_the_papers_8_and_4_and_86() -> None:
    assert Counter(entry.role for entry in catalogue()) == {"train": 8, "validation": 4, "test": 86}
    assert len({entry.name for entry in catalogue()}) == 98


def test_test_treebanks_stand_as_table_2_prints_them() -> None:
    rows = list(csv.DictReader((files("sublingual") / "resources" / "table2.csv").read_text("utf-8").splitlines()))
    tests = [entry for entry in catalogue() if entry.role == "test"]
    assert [(e.printed, e.name, e.code, e.transfer_language) for e in tests] == [
        (row["paper_name"], row["ud_repo"], row["code"], row["transfer_language"]) for row in rows
    ]
    groups = Counter(LANGUAGE_CODES[entry.transfer_language or ""] for entry in tests)
    assert groups == {"ar": 13, "cs": 6, "et": 15, "hi": 24, "it": 12, "no": 8, "ru": 8}  # docs/protocol.md, section 5


def test_training_sizes_stand_as_table_6_prints_them() -> None:
    norwegian = entry_of("UD_Norwegian-Nynorsk")
    assert norwegian is not None
    assert (norwegian.printed, norwegian.printed_sizes) == ("Norsk", (14174, 1890, 1511))
    training = [entry for entry in catalogue() if entry.role == "train"]
    lines = [" ".join(map(str, (entry.code, entry.printed, *(entry.printed_sizes or ())))) for entry in training]
    assert sorted(lines) == sorted(TABLE_6.strip().split("\n"))


def test_a_treebank_outside_the_paper_has_no_entry() -> None:
    assert entry_of("UD_Swedish-Talbanken") is None


def test_a_test_treebank_says_whence_the_paper_transfers_to_it() -> None:
    banks = ("UD_Faroese-OFT", "UD_Tamil-MWTT", "UD_Norwegian-Nynorsk", "UD_Bulgarian-BTB", "UD_Swedish-Talbanken")
    assert [transferred_from(bank) for bank in banks] == ["no", "hi", None, None, None]


@pytest.mark.parametrize(
    "name",
    ["UD_Faroese-OFT", "Faroese-OFT", "Faroese OFT", "faroese_oft", "fo_oft", "FO_OFT", "some/where/UD_Faroese-OFT/"],
)
def test_a_treebank_is_found_by_any_of_its_names(release: Path, name: str) -> None:
    found = find(release, name)
    assert (found.name, found.key, found.role, found.code) == ("UD_Faroese-OFT", "fo_oft", "test", "fo")
    assert found.transfer_language == "Norwegian"


def test_the_papers_own_spelling_finds_the_treebank_too(release: Path) -> None:
    assert find(release, "Skolt Sami-Giellagas").name == "UD_Skolt_Sami-Giellagas"
    make(release, "UD_Assyrian-AS", "aii_as", test=1)
    assert find(release, "Assyrin AS").name == "UD_Assyrian-AS"


def test_any_other_folder_of_the_release_is_found_and_has_no_part_in_the_paper(release: Path) -> None:
    found = find(release, "fo_own")
    assert (found.name, found.role, found.code, found.transfer_language) == ("UD_Faroese-Own", "other", "fo", None)


def test_an_unknown_treebank_is_refused_with_near_names(release: Path) -> None:
    with pytest.raises(DataError, match="unknown treebank 'UD_Faroes-OTF' among the 4 in .*near ones: UD_Faroese-OFT"):
        find(release, "UD_Faroes-OTF")


def test_a_treebank_of_the_paper_that_is_not_there_is_named(release: Path) -> None:
    with pytest.raises(DataError, match="UD_Wolof-WTB is not among the 4 treebanks in .*: import a release"):
        find(release, "wo_wtb")


def test_splits_are_the_files_that_are_there(release: Path) -> None:
    english, faroese = find(release, "en_ewt"), find(release, "fo_oft")
    assert english.split("dev") == release / "UD_English-EWT" / "en_ewt-ud-dev.conllu"
    assert faroese.split("dev") is None
    assert len(english.sentences("train")) == 3


def test_a_split_that_is_missing_is_refused_with_those_that_are_there(release: Path) -> None:
    with pytest.raises(DataError, match="UD_Faroese-OFT: no dev split; there is test"):
        find(release, "fo_oft").sentences("dev")


def test_a_split_in_parts_is_read_whole_and_has_no_single_file(release: Path) -> None:
    folder = make(release, "UD_Czech-PDT", "cs_pdt", **{"train-a": 2, "train-b": 3, "dev": 1})
    czech = treebank_at(folder)
    assert len(czech.sentences("train")) == 5
    assert czech.sizes() == {"train": Size(5, 15), "dev": Size(1, 3)}
    with pytest.raises(DataError, match=r"train is in 2 files \(cs_pdt-ud-train-a.conllu, .*join them"):
        czech.split("train")


def test_a_folder_without_treebank_files_is_refused(release: Path) -> None:
    with pytest.raises(DataError, match="UD_Empty-None: no treebank: files named like fo_oft-ud-test.conllu"):
        treebank_at(release / "UD_Empty-None")


def test_sizes_count_words_but_no_ranges_and_no_empty_nodes(release: Path) -> None:
    path = find(release, "fo_oft").split("test")
    assert path is not None
    assert count(path) == Size(sentences=4, words=12)


def test_a_file_without_its_last_blank_line_and_with_windows_line_ends_is_counted_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.conllu"
    path.write_bytes((SENTENCE * 2).rstrip("\n").replace("\n", "\r\n").encode())
    assert count(path) == Size(2, 6)


def test_the_table_has_the_papers_treebanks_there_or_not_and_the_others(release: Path) -> None:
    rows = {row.name: row for row in table(release)}
    assert len(rows) == 98 + 1
    assert rows["UD_English-EWT"].sizes == {"train": Size(3, 9), "dev": Size(2, 6), "test": Size(1, 3)}
    assert (rows["UD_Wolof-WTB"].present, rows["UD_Wolof-WTB"].sizes) == (False, {})
    assert (rows["UD_Faroese-Own"].role, rows["UD_Faroese-Own"].present) == ("other", True)


def test_the_check_says_what_is_missing_and_what_is_wrong(release: Path) -> None:
    broken = find(release, "en_ewt").split("dev")
    assert broken is not None
    broken.write_text(SENTENCE.replace("\t3\tcase", "\t9\tcase"), encoding="utf-8")
    (release / "UD_English-EWT" / "en_ewt-ud-train.conllu").unlink()
    found = {each.name: each for each in check(release)}
    english = found["UD_English-EWT"]
    assert english.sizes == {"test": Size(1, 3)}
    assert english.faults[0] == "UD_English-EWT has no train split"
    assert "en_ewt-ud-dev.conllu:4 (sent_id a)" in english.faults[1]
    assert found["UD_Wolof-WTB"].faults == ("UD_Wolof-WTB is not there",)
    assert found["UD_Faroese-OFT"].faults == ()
    assert found["UD_Faroese-Own"].sizes == {"train": Size(5, 15)}


METADATA = """License: of the prose, which does not count
<pre>
=== Machine-readable metadata (DO NOT REMOVE!) ================================
Data available since: UD v2.2
License: {}
Includes text: yes
===============================================================================
</pre>
"""


@pytest.mark.parametrize("name", ["README.md", "README.txt"])
def test_the_licence_is_that_of_the_readmes_metadata(release: Path, name: str) -> None:
    folder = release / "UD_Faroese-OFT"
    (folder / name).write_bytes(METADATA.format("CC BY-NC-SA 4.0 \r").encode())
    assert licence_of(folder) == "CC BY-NC-SA 4.0"


def test_a_folder_without_metadata_has_the_licence_of_the_folder_around_it_or_none(release: Path) -> None:
    folder = release / "UD_Faroese-OFT"
    assert licence_of(folder) is None
    (folder / "README.md").write_text("# Faroese\nLicense: CC BY 4.0\n" + METADATA.format(""), encoding="utf-8")
    assert licence_of(folder) is None
    (release / "README.md").write_text(METADATA.format("CC0 1.0"), encoding="utf-8")
    assert licence_of(folder) == "CC0 1.0"


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = "import sys, sublingual.data.treebanks, sublingual.data.releases; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.data
def test_all_86_test_treebanks_are_in_the_release_and_have_sentences(ud: Path) -> None:
    tests = [row for row in table(ud) if row.role == "test"]
    assert sum(row.present and row.sizes["test"].sentences > 0 for row in tests) == 86


@pytest.mark.data
def test_every_treebank_of_the_release_names_its_licence(ud: Path) -> None:
    found = {treebank.name: licence_of(treebank.folder) for treebank in treebanks(ud)}
    assert [name for name, licence in found.items() if not licence] == []
    assert found["UD_English-EWT"] == "CC BY-SA 4.0"


@pytest.mark.data
def test_the_codes_of_the_catalogue_are_those_of_the_files(ud: Path) -> None:
    in_paper = [treebank for treebank in treebanks(ud) if treebank.entry]
    assert [(each.entry.key, each.entry.code) for each in in_paper if each.entry] == [
        (each.key, each.code) for each in in_paper
    ]


@pytest.mark.data
def test_counting_gives_what_reading_gives(ud: Path) -> None:
    for name in ("UD_Faroese-OFT", "UD_Arabic-Mix", "UD_Beja-NSC"):
        treebank: Treebank = find(ud, name)
        for split, size in treebank.sizes().items():
            path = treebank.split(split)
            assert path is not None
            sentences = read_conllu(path)
            assert size == Size(len(sentences), len(list(itertools.chain(*(each.words for each in sentences)))))
