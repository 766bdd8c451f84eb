"""Languages: names and codes, URIEL's vectors, and the paper's transfer languages."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
import subprocess
import sys
from collections import defaultdict
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sublingual import languages
from sublingual.errors import LanguageError
from sublingual.languages import Language, nearest, nearest_record, resolve, similarity, syntax_vector

TABLE_2 = list(csv.DictReader((files("sublingual") / "resources" / "table2.csv").read_text("utf-8").splitlines()))
PRINTED_CODE = {"Arabic": "ar", "Czech": "cs", "Estonian": "et", "Hindi": "hi", "Italian": "it", "Norwegian": "no", "Russian": "ru"}  # fmt: skip  # noqa: E501
CHECKED = Path(__file__).parent / "resources" / "languages.csv"
"""Nearest and second language of each treebank, computed with lang2vec 1.1.2 itself, rounded to four digits."""


def cosine_by_loop(a: str, b: str) -> float:
    x, y = (syntax_vector(each).tolist() for each in (a, b))
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    return dot / math.sqrt(sum(p * p for p in x)) / math.sqrt(sum(q * q for q in y))


def raw_bits(code: str) -> list[int]:
    folder = files("sublingual") / "resources" / "uriel"
    row = (folder / "codes.txt").read_text("utf-8").split("\n").index(code)
    data = (folder / "syntax_knn.npy").read_bytes()[-7970 * 13 :]
    return [int(bit) for byte in data[13 * row : 13 * row + 13] for bit in f"{byte:08b}"][:103]


@pytest.mark.parametrize("row", TABLE_2, ids=lambda row: row["ud_repo"])
def test_the_nearest_training_language_is_the_one_printed_in_table_2(row: dict[str, str]) -> None:
    by_treebank, by_code = nearest(row["ud_repo"]), nearest(row["code"])
    assert by_treebank == by_code
    assert by_treebank[0].code == PRINTED_CODE[row["transfer_language"]]
    assert by_treebank[0].language == row["transfer_language"]


def test_table_2_has_86_treebanks() -> None:
    assert len({row["ud_repo"] for row in TABLE_2}) == 86


def test_similarities_are_those_of_lang2vec_to_four_digits() -> None:
    rows = list(csv.DictReader(CHECKED.read_text("utf-8").splitlines()))
    assert len(rows) == 86
    for row in rows:
        first, second = nearest(row["iso639_3"])[:2]
        assert (first.code, f"{first.similarity:.4f}") == (row["nearest"], row["similarity"]), row
        assert (second.code, f"{second.similarity:.4f}") == (row["second"], row["second_similarity"]), row
        assert resolve(row["iso639_3"]).vector == row["lang2vec_code"]


def test_group_means_are_the_printed_ones_but_for_hindi() -> None:
    groups = defaultdict(list)
    for row in TABLE_2:
        groups[PRINTED_CODE[row["transfer_language"]]].append((row["code"], nearest(row["ud_repo"])[0].similarity))
    means = {code: np.mean([value for _, value in group]) for code, group in groups.items()}
    printed = {"ar": 0.70, "et": 0.84, "it": 0.85, "no": 0.91, "ru": 0.76}
    assert {code: pytest.approx(mean, abs=0.0051) for code, mean in means.items() if code in printed} == printed
    # The paper prints .74 for Hindi, and .83 for Czech, where its authors had no vector of hyw and left it out.
    assert means["hi"] == pytest.approx(0.732, abs=0.0005)
    assert np.mean([value for code, value in groups["cs"] if code != "hyw"]) == pytest.approx(0.8255, abs=0.0005)


@pytest.mark.parametrize(
    ("code", "transfer", "value"),
    [("swe", "no", 0.9747), ("deu", "no", 0.9163), ("spa", "it", 0.9630), ("kat", "hi", 0.7952), ("mal", "hi", 0.7232)],
)
def test_languages_outside_table_2_have_their_nearest_too(code: str, transfer: str, value: float) -> None:
    first = nearest(code)[0]
    assert (first.code, round(first.similarity, 4)) == (transfer, value)


def test_similarity_is_the_cosine_of_a_plain_loop() -> None:
    codes = ["fo", "pcm", "wol", "aaa", "zho", "hyw", "tpn"]
    for a in codes:
        for b in codes:
            assert similarity(a, b) == pytest.approx(cosine_by_loop(a, b), rel=1e-12)
            assert similarity(a, b) == similarity(b, a)


def test_unpacked_vectors_are_the_bits_of_the_file() -> None:
    for code in ("aaa", "fao", "zho", "zzj"):
        assert syntax_vector(code).tolist() == raw_bits(code)


def test_the_table_has_7970_languages_of_103_features_and_none_is_empty() -> None:
    folder = files("sublingual") / "resources" / "uriel"
    codes = (folder / "codes.txt").read_text("utf-8").split()
    assert len(set(codes)) == len(codes) == 7970
    assert len((folder / "features.txt").read_text("utf-8").split("\n")[:-1]) == 103
    assert all(raw_bits(code) != [0] * 103 for code in codes[::97])
    assert "Attribution-ShareAlike 4.0" in (folder / "LICENSE").read_text("utf-8")


def test_equals_keep_the_order_in_which_they_were_given() -> None:
    assert [each.code for each in nearest("pcm", among=("it", "no"))] == ["it", "no"]
    assert [each.code for each in nearest("pcm", among=("no", "it"))] == ["no", "it"]


def test_any_set_can_be_ranked() -> None:
    ranked = nearest("Faroese", among=("Danish", "sv", "isl"))
    assert {each.code for each in ranked} == {"sv", "da", "is"}
    assert all(a.similarity >= b.similarity for a, b in pairwise(ranked))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(LanguageError, match="no languages to choose among: .* --among sv,da,is"):
        nearest("fo", among=())


def test_the_record_is_an_object_with_seven_ranked_neighbours() -> None:
    record = nearest_record("fo")
    assert (record["code"], record["language"], record["vector"]) == ("fo", "Faroese", "fao")
    assert isinstance(record["nearest"], list)
    assert [set(each) for each in record["nearest"]] == [{"code", "language", "similarity"}] * 7
    assert {each["code"] for each in record["nearest"]} == {"ar", "cs", "et", "hi", "it", "no", "ru"}
    assert record["nearest"][0] == {"code": "no", "language": "Norwegian", "similarity": similarity("fo", "no")}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fo", "fo"),
        ("FAO", "fo"),
        ("faroese", "fo"),
        ("UD_Faroese-OFT", "fo"),
        ("ud_faroese-oft", "fo"),
        ("Faroese-OFT", "fo"),
        ("fo_oft", "fo"),
        ("some/where/UD_Faroese-OFT/", "fo"),
        ("UD_Faroese-OFT/fo_oft-ud-test.conllu", "fo"),
        ("UD_Upper_Sorbian-UFAL", "hsb"),
        ("Upper Sorbian", "hsb"),
        ("upper_sorbian", "hsb"),
        ("sq", "sq"),
        ("alb", "sq"),
        ("zh", "zh"),
        ("chi", "zh"),
        ("UD_Norwegian-Nynorsk", "no"),
        ("nno", "nn"),
        ("nb", "nb"),
        ("Komi-Zyrian", "kpv"),
        ("UD_Soi-AHA", "soj"),
        ("soi", "soi"),
    ],
)
def test_codes_names_and_treebanks_are_known_whatever_their_case(text: str, code: str) -> None:
    assert resolve(text).code == code


def test_a_path_object_is_taken_too() -> None:
    assert resolve(Path("releases") / "UD_Welsh-CCG").code == "cy"


def test_macrolanguages_stand_for_the_paper_languages_and_bokmaal_and_nynorsk_for_themselves() -> None:
    taken = {code: resolve(code).vector for code in ("ar", "et", "no", "nb", "nn", "zh", "sq")}
    assert taken == {"ar": "ara", "et": "est", "no": "nor", "nb": "nob", "nn": "nno", "zh": "zho", "sq": "sqi"}


def test_western_armenian_borrows_the_armenian_vector_and_says_so() -> None:
    found = resolve("UD_Western_Armenian-ArmTDP")
    assert (found.code, found.vector) == ("hyw", "hye")
    assert "Armenian (hye) stands for it" in found.note
    assert similarity("hyw", "hye") == 1.0


def test_a_language_that_only_uriel_knows_goes_by_its_code() -> None:
    assert resolve("aaa") == Language(code="aaa", name="aaa", iso639_3="aaa", vector="aaa")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Faroes", r"Faroese \(fo\)"),
        ("UD_Faroes-OFT", r"Faroese \(fo\)"),
        ("norwegan", r"Norwegian \(no\)"),
        ("xxq", "near ones: "),
        ("fu_oft", r"near ones: "),
        ("Quenyaaaaaa", "no known code or name is spelt like it"),
        ("", "no known code or name"),
    ],
)
def test_an_unknown_language_is_refused_with_near_ones_and_the_way_out(text: str, near: str) -> None:
    with pytest.raises(LanguageError, match=f"unknown language {re.escape(repr(text))}; .*{near}.*--like LANG"):
        resolve(text)


def test_a_language_without_a_vector_is_refused_by_name() -> None:
    with pytest.raises(LanguageError, match=r"Hindi English \(qhe\) has no URIEL vector; .*--like LANG"):
        nearest("qhe")


def test_a_vector_of_zeros_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "_table", lambda: np.zeros((7970, 13), dtype=np.uint8))
    with pytest.raises(LanguageError, match=r"the URIEL vector of Faroese \(fo\) is all zeros; .*--like LANG"):
        similarity("fo", "no")


def test_every_listed_language_has_a_vector_or_is_a_code_of_uds_own() -> None:
    listed = [language for language, _, _ in languages._listed()]
    assert {each.code for each in listed if each.vector is None} == {"qaf", "qfn", "qhe", "qpm", "qtd", "qte"}
    assert all(syntax_vector(each).any() for each in listed if each.vector)
    assert len({each.code for each in listed}) == len(listed)


def test_no_name_or_code_is_listed_for_two_languages() -> None:
    keys = [key for _, names, codes in languages._listed() for key in {*names, *codes}]
    assert len(keys) == len(set(keys))


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = "import sys, sublingual.languages as l; l.nearest('fo'); print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (np.zeros((3, 103)), "not \\(7970, 103\\)"),
        (np.full((7970, 103), 0.5), "other values than 0 and 1"),
        (np.ones((7970, 103)), "not in order or not all different"),
    ],
)
def test_the_build_script_refuses_another_table(table: np.ndarray, fault: str) -> None:
    path = Path(__file__).parents[1] / "scripts" / "build_uriel.py"
    spec = importlib.util.spec_from_file_location("build_uriel", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.raises(SystemExit, match=fault):
        script.verify(["aaa"] * len(table), table)
