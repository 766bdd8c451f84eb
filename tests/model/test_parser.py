"""The parser against eq. 1, eq. 2 and the loss written as plain loops; batches, labels, non-finite scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import product

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from sublingual.data.batches import Batch, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import LabelVocabulary, base_relation, published_labels
from sublingual.errors import DataError, ModelError
from sublingual.model.encoder import Encoder
from sublingual.model.parser import MAX_WORDS, BiaffineParser, ParserConfig, new_parser
from sublingual.parsing import parse

QUIET = {"dropout": 0.0, "layers_dropout": 0.0, "layer_drop": 0.0, "hide_pieces": 0.0}


@pytest.fixture
def partial(sentences: list[Sentence]) -> list[Sentence]:
    """Three sentences; in the second some words have no head, some no label."""
    s = sentences[1]
    heads = [None if i % 4 == 1 else head for i, head in enumerate(s.heads)]
    labels = [None if i % 3 == 0 else label for i, label in enumerate(s.labels)]
    assert {(h is None, label is None) for h, label in zip(heads, labels, strict=True)} == set(
        product([False, True], repeat=2)
    )
    return [sentences[0], Sentence.from_words(s.words, heads=heads, labels=labels), sentences[5]]


def batch_of(parser: BiaffineParser, sentences: list[Sentence], *, gold: bool = True) -> Batch:
    return pack(parser.encode(sentences, gold=gold))


def elu(x: float) -> float:
    return x if x > 0 else math.exp(x) - 1


def projected(linear: nn.Linear, vector: list[float]) -> list[float]:
    rows = zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    return [elu(sum(w * v for w, v in zip(row, vector, strict=True)) + b) for row, b in rows]


def bilinear(left: list[float], w: list[list[float]], right: list[float]) -> float:
    return sum(left[i] * w[i][j] * right[j] for i, j in product(range(len(left)), range(len(right))))


def plain_tokens(parser: BiaffineParser, sentence: Sentence) -> list[list[float]]:
    """Eq. 1 of each word behind the root's vector, from the encoder's layers of this sentence alone."""
    (e,) = parser.encode([sentence], gold=False)
    with torch.no_grad():
        layers = parser.encoder.eval()(pack([e]))
    exps = [math.exp(w) for w in parser.mix.weights.tolist()]
    tokens = [parser.root[0].tolist()]
    for place in e.first.tolist():
        parts = [layer[place].tolist() for layer in layers]
        tokens.append(
            [
                parser.mix.scale.item() * sum(x * p[i] for x, p in zip(exps, parts, strict=True)) / sum(exps)
                for i in range(32)
            ]
        )
    return tokens


def plain_arcs(parser: BiaffineParser, tokens: list[list[float]]) -> list[list[float]]:
    """Eq. 2 as `arcs[dependent][head]`."""
    as_head = [[*projected(parser.arc_head.linear, t), 1.0] for t in tokens]
    as_dependent = [[*projected(parser.arc_dependent.linear, t), 1.0] for t in tokens]
    w, b = parser.arcs.weight.tolist(), parser.arcs.bias.item()
    return [[bilinear(d, w, h) + b for h in as_head] for d in as_dependent]


def plain_labels(parser: BiaffineParser, *, head: list[float], dependent: list[float]) -> list[float]:
    h, d = projected(parser.label_head.linear, head), projected(parser.label_dependent.linear, dependent)
    names = parser.vocabulary.labels
    order = list(dict.fromkeys(base_relation(name) for name in names))
    assert parser.labels.linear is not None
    forms = [bilinear(h, w, d) for w in parser.labels.weight.tolist()]
    linear, bias = parser.labels.linear.tolist(), parser.labels.bias.tolist()
    return [
        forms[order.index(base_relation(name))] + sum(v * x for v, x in zip(linear[i], h + d, strict=True)) + bias[i]
        for i, name in enumerate(names)
    ]


@pytest.fixture
def small(new_encoder: Callable[..., Encoder]) -> BiaffineParser:
    """With twelve labels only, so that plain loops are quick."""
    names = "root nsubj nsubj:pass obj punct advmod det case nmod nmod:poss amod acl:relcl"
    torch.manual_seed(3)
    config = ParserConfig(arc_size=7, label_size=5, **QUIET)  # type: ignore[arg-type]
    encoder = new_encoder(dropout=0.0, attention_dropout=0.0)
    parser = new_parser(encoder, config=config, vocabulary=LabelVocabulary(tuple(names.split())))
    for name, parameter in parser.named_parameters():
        if not name.startswith("encoder."):
            nn.init.normal_(parameter, std=0.5)
    return parser.eval()


def declared(parser: BiaffineParser, sentence: Sentence) -> Sentence:
    """The sentence with labels the small parser knows."""
    names = parser.vocabulary.labels
    labels = [None if x is None else "root" if x == "root" else names[1 + len(x) % 11] for x in sentence.labels]
    return Sentence.from_words(sentence.words, heads=sentence.heads, labels=labels)


@pytest.mark.parametrize("train", [False, True])
def test_scores_are_eq_1_and_eq_2_by_plain_loops(train: bool, small: BiaffineParser, sentences: list[Sentence]) -> None:
    chosen = [sentences[0], sentences[4]]
    batch = batch_of(small, chosen, gold=False)
    with torch.no_grad():
        scores = small.train(train)(batch)
        for s, sentence in enumerate(chosen):
            tokens, n = plain_tokens(small, sentence), len(sentence.words) + 1
            torch.testing.assert_close(
                scores.arcs[s, :n, :n], torch.tensor(plain_arcs(small, tokens)), atol=1e-4, rtol=1e-4
            )
            assert scores.arcs[s, :, n:].isneginf().all()
            pairs = torch.tensor([[s, 1], [s, n - 1], [s, 2]])
            heads = torch.tensor([0, 1, n - 1])
            found = small.label_scores(scores, dependents=pairs, heads=heads)
            for row, (_, dependent), head in zip(found, pairs.tolist(), heads.tolist(), strict=True):
                expected = plain_labels(small, head=tokens[head], dependent=tokens[dependent])
                assert row.tolist() == pytest.approx(expected, abs=1e-3)


def nll(scores: list[float], gold: int) -> float:
    return math.log(sum(math.exp(s) for s in scores)) - scores[gold]


@pytest.mark.parametrize("train", [False, True])
def test_loss_is_the_plain_sum_over_annotated_words(
    train: bool, small: BiaffineParser, partial: list[Sentence]
) -> None:
    chosen = [declared(small, s) for s in partial]
    batch = batch_of(small, chosen)
    loss = small.train(train).loss(batch)
    arcs = labels = 0.0
    n_words = 0
    for sentence in chosen:
        tokens = plain_tokens(small, sentence)
        scores = plain_arcs(small, tokens)
        for word, (head, label) in enumerate(zip(sentence.heads, sentence.labels, strict=True), 1):
            if head is None:
                continue
            n_words += 1
            arcs += nll(scores[word], head)
            if label is not None:
                row = plain_labels(small, head=tokens[head], dependent=tokens[word])
                labels += nll(row, small.vocabulary.index[label])
    assert batch.n_annotated == n_words < sum(len(s.words) for s in chosen)
    assert loss.arcs.sum().item() == pytest.approx(arcs, rel=1e-4)
    assert loss.labels.sum().item() == pytest.approx(labels, rel=1e-4)
    assert loss.total.item() == pytest.approx(arcs + labels, rel=1e-4)


def test_loss_and_gradients_are_the_sums_of_the_sentences_own(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    tiny.loss(batch_of(tiny, sentences)).total.backward()
    together = {name: p.grad.clone() for name, p in tiny.named_parameters() if p.grad is not None}
    tiny.zero_grad()
    alone = []
    for sentence in sentences:
        loss = tiny.loss(batch_of(tiny, [sentence])).total
        loss.backward()
        alone.append(loss.item())
    assert tiny.loss(batch_of(tiny, sentences)).sentences.tolist() == pytest.approx(alone, rel=1e-5)
    assert tiny.loss(batch_of(tiny, sentences)).total.item() == pytest.approx(sum(alone), rel=1e-5)
    for name, parameter in tiny.named_parameters():
        if name in together:
            assert parameter.grad is not None
            scale = max(together[name].abs().max().item(), 1.0)
            torch.testing.assert_close(parameter.grad, together[name], rtol=1e-4, atol=1e-4 * scale)


def test_a_batch_without_annotated_words_has_no_loss_and_no_gradient(tiny: BiaffineParser) -> None:
    batch = batch_of(tiny, [Sentence.from_words(["a", "b"])])
    loss = tiny.loss(batch)
    assert (loss.total.item(), batch.n_annotated) == (0.0, 0)
    loss.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in tiny.parameters())


def scores_of(parser: BiaffineParser, batch: Batch, gates: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """Of each sentence: its arcs, and the labels of each word under each of three heads."""
    found = []
    with torch.no_grad():
        scores = parser(batch, gates)
        for s, n in enumerate((batch.word_mask.sum(dim=1) + 1).tolist()):
            words = torch.tensor([[s, word] for word in range(1, n) for _ in range(3)])
            heads = torch.tensor([head % n for word in range(1, n) for head in (0, word + 1, 2 * word)])
            found.append((scores.arcs[s, 1:n, :n], parser.label_scores(scores, dependents=words, heads=heads)))
    return found


@pytest.mark.parametrize("which", ["tiny", "bundled"])
def test_scores_do_not_depend_on_batch_neighbours_or_order(
    which: str, tiny: BiaffineParser, bundled: Encoder, sentences: list[Sentence]
) -> None:
    parser = tiny if which == "tiny" else new_parser(bundled, config=ParserConfig(arc_size=16, label_size=8)).eval()
    chosen = sentences[:6]
    together = scores_of(parser, batch_of(parser, chosen, gold=False))
    backwards = scores_of(parser, batch_of(parser, chosen[::-1], gold=False))[::-1]
    for sentence, a, b in zip(chosen, together, backwards, strict=True):
        (alone,) = scores_of(parser, batch_of(parser, [sentence], gold=False))
        for x, y, z in zip(a, b, alone, strict=True):
            torch.testing.assert_close(x, z, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(y, z, atol=1e-5, rtol=1e-4)


def test_trees_do_not_depend_on_the_budget_or_the_order(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    long = Sentence.from_words([word for sentence in sentences for word in sentence.words])
    mixed = [*sentences, long]
    expected = parse(tiny, mixed)
    assert [s.words for s in expected] == [s.words for s in mixed]
    assert len({s.heads for s in expected}) > 10
    for budget in (1, 100, 10**6):
        assert parse(tiny, mixed, budget=budget) == expected
    assert parse(tiny, mixed[::-1])[::-1] == expected


def test_micro_batches_give_the_loss_of_the_whole(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    encoded = tiny.encode(sentences, gold=True)
    whole = tiny.loss(pack(encoded)).total.item()
    for budget in (1, 90, 200):
        runs = list(micro_batches(encoded, budget=budget))
        assert len(runs) > 1
        assert sum(tiny.loss(pack(run)).total.item() for run in runs) == pytest.approx(whole, rel=1e-5)


def test_gates_restrict_each_sentence_to_its_own_subnetwork(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    gates = torch.ones(3, 3, 4)
    gates[1, 1] = torch.tensor([1.0, 0.0, 0.0, 1.0])
    batch = batch_of(tiny, sentences[:3], gold=False)
    full, gated = scores_of(tiny, batch), scores_of(tiny, batch, gates)
    alone = scores_of(tiny, batch_of(tiny, sentences[1:2], gold=False), gates[1:2])
    for i in (0, 2):
        assert torch.equal(full[i][0], gated[i][0])
    assert not torch.allclose(full[1][0], gated[1][0], atol=1e-3)
    torch.testing.assert_close(gated[1][0], alone[0][0], atol=1e-5, rtol=1e-4)


def test_parsing_uses_the_gates_it_is_given(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    gates = (torch.arange(12).view(3, 4) % 3 > 0).float()
    assert parse(tiny, sentences, gates=torch.ones(3, 4)) == parse(tiny, sentences)
    assert parse(tiny, sentences, gates=gates) != parse(tiny, sentences)


def test_each_dropout_is_off_in_eval_and_on_in_training(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    encoder = new_encoder(dropout=0.0, attention_dropout=0.0)
    quiet = ParserConfig(arc_size=7, label_size=5, **QUIET)  # type: ignore[arg-type]
    for name in QUIET:
        parser = new_parser(encoder, config=replace(quiet, **{name: 0.5}))  # type: ignore[arg-type]
        batch = batch_of(parser, sentences[:2])
        nn.init.normal_(parser.mix.weights)
        losses = {parser.train().loss(batch).total.item() for _ in range(12)}
        assert len(losses) > 2, name
        assert len({parser.eval().loss(batch).total.item() for _ in range(3)}) == 1


def test_dependent_projections_start_as_copies_of_the_head_ones(new_encoder: Callable[..., Encoder]) -> None:
    parser = new_parser(new_encoder(), config=ParserConfig())
    assert torch.equal(parser.arc_head.linear.weight, parser.arc_dependent.linear.weight)
    assert torch.equal(parser.label_head.linear.bias, parser.label_dependent.linear.bias)
    assert parser.arc_head.linear.weight is not parser.arc_dependent.linear.weight
    assert (parser.arc_head.linear.out_features, parser.label_head.linear.out_features) == (768, 256)
    assert parser.vocabulary == published_labels()


def test_each_parameter_is_either_the_encoders_or_the_classifiers(tiny: BiaffineParser) -> None:
    encoder, classifier = tiny.encoder_parameters(), tiny.classifier_parameters()
    assert {id(p) for p in encoder}.isdisjoint(id(p) for p in classifier)
    assert {id(p) for p in encoder + classifier} == {id(p) for p in tiny.parameters()}
    assert len(classifier) == 2 + 1 + 4 * 2 + 2 + 3


# Labels


def state_of(parser: BiaffineParser) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in parser.state_dict().items()}


def test_new_labels_leave_the_old_parser_as_it_was_to_the_bit(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    batch = batch_of(tiny, sentences[:2], gold=False)
    state, before = state_of(tiny), scores_of(tiny, batch)
    names = tiny.vocabulary.labels
    more = tiny.with_labels(["nsubj:new", "obj", "advcl:also", "nsubj:new"])
    assert more.vocabulary.labels == (*names, "advcl:also", "nsubj:new")
    assert tiny.vocabulary.labels == names
    assert more.labels is not tiny.labels
    assert more.encoder is tiny.encoder
    assert more.training is tiny.training
    new = scores_of(more, batch)
    for (arcs, labels), (old_arcs, old_labels) in zip(new, before, strict=True):
        assert torch.equal(arcs, old_arcs)
        torch.testing.assert_close(labels[:, : len(names)], old_labels, rtol=1e-5, atol=1e-5)
        for row, base in ((-2, "advcl"), (-1, "nsubj")):
            torch.testing.assert_close(labels[:, row], labels[:, names.index(base)], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        for parameter in more.labels.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, state[name]) for name, tensor in tiny.state_dict().items())
    for a, b in zip(scores_of(tiny, batch), before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_known_labels_give_the_same_parser(tiny: BiaffineParser) -> None:
    assert tiny.with_labels(["nsubj", "root"]) is tiny


def test_a_label_without_a_universal_relation_is_refused(tiny: BiaffineParser) -> None:
    with pytest.raises(DataError, match=r"'subject:x' has no universal relation to start from: 'subject' is not one"):
        tiny.with_labels(["subject:x"])


def test_undeclared_gold_labels_are_refused_with_their_place(tiny: BiaffineParser) -> None:
    sentence = Sentence.from_words(["a", "b"], heads=[2, 0], labels=["nsubj:odd", "root"], sent_id="w-1")
    with pytest.raises(DataError, match=r"sent_id w-1\).*'nsubj:odd' is not among the \d+ declared ones; mend it"):
        tiny.encode([sentence], gold=True)
    assert tiny.encode([sentence], gold=False)[0].labels.tolist() == [-1, -1]


def test_a_sentence_without_end_is_refused_before_it_fills_the_memory(tiny: BiaffineParser) -> None:
    most = Sentence.from_words(["a"] * MAX_WORDS)
    assert tiny.encode([most], gold=False)[0].n_words == MAX_WORDS == 5000
    message = r"<words>:1: a sentence of 5001 words; up to 5000 fit into memory, .*: is the blank line missing"
    with pytest.raises(DataError, match=message):
        tiny.encode([most, Sentence.from_words(["a"] * (MAX_WORDS + 1))], gold=False)


@pytest.mark.parametrize("extended", [False, True])
def test_a_deep_copy_is_another_parser_with_the_same_scores(
    extended: bool, tiny: BiaffineParser, sentences: list[Sentence]
) -> None:
    parser = tiny.with_labels(["obj:new"]) if extended else tiny
    copy = deepcopy(parser)
    batch = batch_of(parser, sentences[:2], gold=False)
    before = scores_of(parser, batch)
    for a, b in zip(scores_of(copy, batch), before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    own = {p.data_ptr() for p in parser.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in copy.parameters())
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    for a, b in zip(scores_of(parser, batch), before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Trimmed embeddings, odd words, odd numbers


def test_scores_are_the_same_to_the_bit_when_trimmed(
    tiny: BiaffineParser, sentences: list[Sentence], new_encoder: Callable[..., Encoder]
) -> None:
    encoded = tiny.encode(sentences[:4], gold=False)
    before = scores_of(tiny, pack(encoded))
    tiny.encoder = new_encoder(keep=[word for s in sentences[:4] for word in s.words])
    for a, b in zip(scores_of(tiny, pack(encoded)), before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert tiny.encoder.lacking(tiny.encoder.pieces.encode(sentences))
    assert len(parse(tiny, sentences)) == len(sentences)  # brings the dropped rows back


def test_words_without_pieces_and_special_words_are_parsed(tiny: BiaffineParser) -> None:
    odd = Sentence.from_words(["\u200b", "<mask>", "[CLS]", "\ufeff", "\u00ad", "a"])
    (tree,) = parse(tiny, [odd])
    assert tree.words == odd.words
    assert tree.heads.count(0) == 1
    assert [label for head, label in zip(tree.heads, tree.labels, strict=True) if head == 0] == ["root"]


def test_own_heads_and_labels_are_not_looked_at(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    bare = [Sentence.from_words(s.words) for s in sentences]
    assert [(s.heads, s.labels) for s in parse(tiny, sentences)] == [(s.heads, s.labels) for s in parse(tiny, bare)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["arcs.bias", "labels.bias", "mix.scale"])
def test_scores_that_are_not_finite_are_refused(
    where: str, value: float, tiny: BiaffineParser, sentences: list[Sentence]
) -> None:
    tiny.get_parameter(where).data.fill_(value)
    with pytest.raises(ModelError, match=r"score.* (is nan|is inf|is -inf|admit no tree)"):
        parse(tiny, sentences)


def test_bf16_autocast_scores_are_near_those_of_fp32(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    batch = batch_of(tiny, sentences[:3])
    exact = tiny(batch).arcs[0, 1:, : len(sentences[0].words)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, rough = tiny.loss(batch), tiny(batch)
    assert rough.arcs.dtype == torch.float32
    rough_arcs = rough.arcs[0, 1:, : exact.shape[1]]
    assert 0 < (rough_arcs - exact).abs().mean() < 0.05 * exact.std()  # bf16 has 8 bits; processors round differently
    loss.total.backward()
    assert loss.total.item() == pytest.approx(tiny.loss(batch).total.item(), rel=0.02)


def test_gates_without_a_batch_fail_the_shape_check(tiny: BiaffineParser, sentences: list[Sentence]) -> None:
    with pytest.raises(TypeCheckError):
        tiny(batch_of(tiny, sentences[:2]), torch.ones(3, 4))
