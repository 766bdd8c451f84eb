"""The declared labels: UD's relations, none missing, none twice."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from sublingual.data.conllu import read_conllu
from sublingual.data.vocabulary import LabelVocabulary, base_relation, published_labels
from sublingual.errors import DataError

# https://universaldependencies.org/u/dep/
_LINES = """acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse dislocated expl
fixed flat goeswith iobj list mark nmod nsubj nummod obj obl orphan parataxis punct reparandum root vocative xcomp"""
UNIVERSAL = _LINES.split()


def test_all_37_universal_relations_are_declared_and_no_other_stands_alone() -> None:
    vocabulary = published_labels()
    assert len(UNIVERSAL) == 37
    assert {label for label in vocabulary.labels if ":" not in label} == set(UNIVERSAL)
    assert {base_relation(label) for label in vocabulary.labels} == set(UNIVERSAL)
    assert len(set(vocabulary.labels)) == len(vocabulary) > 400


def test_places_are_those_in_the_list() -> None:
    vocabulary = published_labels()
    assert [vocabulary.index[label] for label in vocabulary.labels] == list(range(len(vocabulary)))
    assert vocabulary.labels[vocabulary.root] == "root"


def test_labels_of_the_embedded_treebanks_are_declared() -> None:
    folder = Path(str(files("sublingual"))) / "resources" / "treebanks"
    treebanks = sorted(folder.glob("*/*.conllu"))
    assert len({path.parent for path in treebanks}) == 10
    labels = {label for path in treebanks for sentence in read_conllu(path) for label in sentence.labels}
    assert len(labels) > 37
    assert published_labels().missing(labels) == ()


def test_missing_labels_come_sorted_and_once() -> None:
    vocabulary = LabelVocabulary(("root", "obj"))
    assert vocabulary.missing(["obl", None, "obj", "acl", "obl", "root"]) == ("acl", "obl")
    assert vocabulary.missing([]) == ()


def test_new_labels_stand_behind_the_old_ones_in_sorted_order() -> None:
    vocabulary = LabelVocabulary(("root", "obj", "acl"))
    more = vocabulary.extended(["obl:x", "obj", "acl:y", "obl:x"])
    assert more.labels == ("root", "obj", "acl", "acl:y", "obl:x")
    assert vocabulary.labels == ("root", "obj", "acl")
    assert more.extended(["obl:x"]) == more


def test_lists_that_cannot_serve_are_refused() -> None:
    with pytest.raises(DataError, match="names a label twice"):
        LabelVocabulary(("root", "obj", "root"))
    with pytest.raises(DataError, match="lacks 'root', which every tree needs"):
        LabelVocabulary(("obj",))


@pytest.mark.parametrize(("label", "base"), [("nsubj:pass", "nsubj"), ("obj", "obj"), ("a:b:c", "a")])
def test_base_relation_stands_before_the_first_colon(label: str, base: str) -> None:
    assert base_relation(label) == base
