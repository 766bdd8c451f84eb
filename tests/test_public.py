"""The public names of the package: they are there, are the right things, and cost nothing before they are used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sublingual
from sublingual.data.conllu import Sentence

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser


@pytest.mark.parametrize("name", sublingual.__all__)
def test_every_public_name_is_there_under_its_own_name(name: str) -> None:
    found = getattr(sublingual, name)
    assert found.__name__ == name
    assert found.__module__.startswith("sublingual.")
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sublingual' has no attribute 'Parsr'"):
        _ = sublingual.Parsr


def test_the_torch_free_names_import_no_torch() -> None:
    code = (
        "import sys, sublingual\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
        "from sublingual import Score, Sentence, nearest, parse_conllu, read_conllu, score, write_conllu\n"
        "assert nearest('fo')[0].code == 'no'\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_lines_of_the_readme_work(
    tmp_path: Path, tiny_parser: Callable[..., BiaffineParser], demo: Callable[..., list[Sentence]]
) -> None:
    from sublingual import AdaptConfig, Parser, adapt, read_conllu, write_conllu

    Parser(tiny_parser()).save_pretrained(tmp_path / "en")
    write_conllu(demo("Swedish", 5), tmp_path / "my.conllu")

    parser = Parser.from_pretrained(tmp_path / "en")
    support = read_conllu(tmp_path / "my.conllu", heads="partial")
    adapted = adapt(parser, support, config=AdaptConfig(steps=2))
    trees = adapted.parser.parse(read_conllu(tmp_path / "my.conllu", heads="ignored"))
    adapted.parser.save_pretrained(tmp_path / "my-model")

    assert len(adapted.losses) == 2
    assert adapted.new_labels == ()
    assert [tree.words for tree in trees] == [sentence.words for sentence in support]
    assert Parser.from_pretrained(tmp_path / "my-model").parse(support) == trees
