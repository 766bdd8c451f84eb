"""The raw text that bench/segmentation.py cuts, and how it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.segmentation import rates, raw_text
from sublingual.data.conllu import Sentence, parse_conllu, write_conllu
from sublingual.text import sentences_of

GOLD = """\
# newdoc id = d
# newpar
# text = Who? Me.
1	Who	_	_	_	_	0	root	_	SpaceAfter=No
2	?	_	_	_	_	1	punct	_	_
3	Me	_	_	_	_	1	dep	_	SpaceAfter=No
4	.	_	_	_	_	1	punct	_	SpacesAfter=\\n

# text = "Don't
1	"	_	_	_	_	2	punct	_	SpaceAfter=No
2-3	Don't	_	_	_	_	_	_	_	SpaceAfter=No
2	Do	_	_	_	_	0	root	_	_
3	n't	_	_	_	_	2	advmod	_	_

# text = go."
# newspaper = no paragraph
1	go	_	_	_	_	0	root	_	SpaceAfter=No
2	.	_	_	_	_	1	punct	_	SpaceAfter=No
3	"	_	_	_	_	1	punct	_	_

# newpar id = p
# text = End.
1	End	_	_	_	_	0	root	_	SpaceAfter=No
2	.	_	_	_	_	1	punct	_	_

"""


@pytest.fixture
def gold() -> list[Sentence]:
    return parse_conllu(GOLD)


def test_text_has_the_spaces_between_sentences_and_an_empty_line_before_a_paragraph(gold: list[Sentence]) -> None:
    assert raw_text(gold) == 'Who? Me. "Don\'tgo."\n\nEnd.\n'


def test_rates_are_shares_of_the_words_that_both_sides_have(gold: list[Sentence], tmp_path: Path) -> None:
    write_conllu(gold, tmp_path / "gold.conllu")
    cut = sentences_of('Who?\nMe.\n"Don\'t go."\nEnd.\n', form="presegmented")
    found = rates(tmp_path / "gold.conllu", cut, scratch=tmp_path)
    n_gold_words, n_gold_tokens, n_cut = 12, 11, 11  # "Don't" is cut as one word
    assert found["Words"] == pytest.approx(200 * 10 / (n_gold_words + n_cut))
    assert found["Tokens"] == pytest.approx(200 * 11 / (n_gold_tokens + n_cut))
    assert found["Sentences"] == pytest.approx(200 * 1 / (4 + 4))
