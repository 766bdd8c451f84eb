// Two parsers on the same sentences: what changed, arc by arc.

import * as api from "./api.js";
import { Sentence } from "./sentence.js";
import { changed, complain, say, store } from "./store.js";
import { html, percent } from "./svg.js";
import { conllu } from "./text.js";
import { drawTree } from "./tree.js";

const $ = (id) => document.getElementById(id);

/** Parses all sentences with both and shows where they differ. */
export async function compare(before, after) {
  $("before").value = before;
  $("after").value = after;
  $("compare").disabled = true;
  say("Comparing");
  try {
    const data = conllu(store.sentences.map(bare));
    const [a, b] = await Promise.all([before, after].map((model) => api.parse({ data, model, form: "conllu" })));
    const pairs = store.sentences.map((own, i) => ({ own, i, a: new Sentence(a.sentences[i]), b: new Sentence(b.sentences[i]) }));
    showComparison(pairs, { before, after });
    complain("");
  } catch (fault) {
    complain(fault.message);
  } finally {
    $("compare").disabled = false;
  }
}

/** A copy whose heads and labels are open, so that a tree half-way through a correction can be sent as well. */
function bare(sentence) {
  const copy = new Sentence(structuredClone(sentence.toJSON()));
  for (const i of copy.at) copy.rows[i].splice(6, 2, "_", "_");
  return copy;
}

const words = (sentence) => sentence.at.map((_, k) => k + 1);
const arcOf = (sentence, word) => `${sentence.head(word)} ${sentence.label(word)}`;
const changesOf = ({ a, b }) => words(a).filter((word) => arcOf(a, word) !== arcOf(b, word));
const agreeing = (own, other) => words(own).filter((word) => arcOf(own, word) === arcOf(other, word)).length;
const certaintyOf = (sentence) => words(sentence).reduce((sum, word) => sum + sentence.certainty(word), 0);

function showComparison(pairs, { before, after }) {
  const total = pairs.reduce((sum, { own }) => sum + own.length, 0);
  const moved = pairs.reduce((sum, pair) => sum + changesOf(pair).length, 0);
  const sure = ["a", "b"].map((key) => pairs.reduce((sum, pair) => sum + certaintyOf(pair[key]), 0) / total);
  const ticked = pairs.filter(({ own }) => own.checked);
  const lines = [
    html("p", {}, `${moved} of ${total} words have another head or relation. The mean certainty went from ${percent(sure[0])} to ${percent(sure[1])}.`),
  ];
  if (ticked.length) {
    const n = ticked.reduce((sum, { own }) => sum + own.length, 0);
    const [x, y] = ["a", "b"].map((key) => ticked.reduce((sum, pair) => sum + agreeing(pair.own, pair[key]), 0));
    lines.push(
      html(
        "p",
        {},
        `Of the ${n} words of the trees that you ticked, ${before} has ${x} as you do (${percent(x / n)}), ${after} ${y} (${percent(y / n)}). `,
        html("strong", {}, "A parser that learned from these very trees proves nothing by that."),
      ),
    );
  }
  const picture = html("figure", { class: "picture", hidden: true });
  const rows = pairs.map((pair) => row(pair, { before, after, picture }));
  const columns = ["sentence", "words", "changed", "in doubt before", "in doubt after"];
  const head = html("tr", {}, ...columns.map((name) => html("th", { scope: "col" }, name)));
  const table = html("table", { class: "comparison" }, html("thead", {}, head), html("tbody", {}, ...rows));
  const open = pairs.filter(({ own, a, b }) => !own.checked && own.parser !== after && changesOf({ a, b }).length);
  const takeAll = () => {
    for (const { own, i, b } of open) replace(own, i, b, after);
    changed();
    say(`${open.length} trees taken from ${after}`);
    button.disabled = true;
  };
  const text = `Take ${after}'s trees where you ticked none (${open.length})`;
  const button = html("button", { type: "button", id: "take", disabled: !open.length, onclick: takeAll }, text);
  $("comparison").replaceChildren(...lines, html("div", { class: "line" }, button), picture, html("div", { class: "scroll" }, table));
  $("comparison").hidden = false;
  const most = pairs.reduce((best, pair) => (changesOf(pair).length > changesOf(best).length ? pair : best), pairs[0]);
  if (changesOf(most).length) showPicture(most, { before, after, picture });
  say(`${moved} of ${total} words changed`);
}

function replace(own, i, parsed, model) {
  if (store.sentences[i] !== own) return;
  store.sentences[i] = new Sentence({ ...parsed.toJSON(), comments: own.comments, parser: model });
}

function row(pair, { before, after, picture }) {
  const { own, i, a, b } = pair;
  const n = changesOf(pair).length;
  const see = () => showPicture(pair, { before, after, picture });
  const name = html("button", { type: "button", class: "link", dir: "auto", onclick: see }, `${i + 1}. ${own.text.slice(0, 60)}`);
  const counts = [own.length, n, a.doubts(store.threshold).length, b.doubts(store.threshold).length];
  return html("tr", {}, html("th", { scope: "row" }, name), ...counts.map((count) => html("td", {}, String(count))));
}

/** One sentence by both parsers: the tree after above the words, what it was before below them. */
function showPicture({ a, b, i }, { before, after, picture }) {
  const box = html("div", { class: "tree", tabindex: 0, role: "group", "aria-label": `Sentence ${i + 1} by both parsers` });
  const caption = html("figcaption", {}, `Sentence ${i + 1}. Above: ${after}, new arcs thick. Below, dotted: what ${before} had instead.`);
  picture.replaceChildren(box, caption);
  picture.hidden = false;
  drawTree(box, b, { before: words(a).map((word) => [a.head(word), a.label(word)]) });
}

/** Shows the section once there is something to compare. */
export function showCompare() {
  $("compare-section").hidden = store.models.length < 2 || !store.sentences.length;
}

export function setUp() {
  $("compare-form").onsubmit = (event) => {
    event.preventDefault();
    compare($("before").value, $("after").value);
  };
}
