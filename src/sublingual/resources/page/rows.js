// The tree as a table: a row a word, arcs beside it, and plain controls for tag, head and relation. For long sentences, narrow
// screens and screen readers.

import { html, percent, svg } from "./svg.js";
import { TAGS } from "./words.js";

const ROW = 38;
const STEP = 13;
const EDGE = 12;
const LRM = "\u200e"; // keeps a number before its English word in a table that runs from right to left

export function drawRows(box, sentence, { state, act }) {
  const arcs = sentence.at
    .map((_, k) => ({ word: k + 1, head: sentence.head(k + 1) }))
    .filter(({ word, head }) => head && head !== word);
  const level = levels(arcs);
  const gutter = EDGE + STEP * (Math.max(0, ...level.values()) + 1);
  const body = html("tbody", {}, ...sentence.at.map((_, k) => row(sentence, k + 1, { state, act, gutter })));
  const head = ["", "", "word", "tag", "head", "relation", "sure"].map((name) => html("th", { scope: "col" }, name));
  const table = html("table", { class: "rows" }, html("thead", {}, html("tr", {}, ...head)), body);
  box.dir = sentence.rtl ? "rtl" : "ltr";
  box.replaceChildren(html("div", { class: "rows-box" }, gutterOf(sentence, arcs, { level, gutter, state }), table));
}

/** How far out each arc lies: further than all shorter ones that it overlaps. */
function levels(arcs) {
  const level = new Map();
  const span = ({ word, head }) => Math.abs(word - head);
  const [low, high] = [({ word, head }) => Math.min(word, head), ({ word, head }) => Math.max(word, head)];
  for (const arc of [...arcs].sort((a, b) => span(a) - span(b))) {
    const below = [...level].filter(([other]) => low(arc) < high(other) && low(other) < high(arc)).map(([, own]) => own);
    level.set(arc, 1 + Math.max(0, ...below));
  }
  return level;
}

function gutterOf(sentence, arcs, { level, gutter, state }) {
  const height = ROW * sentence.length;
  const drawing = svg("svg", { class: "gutter", width: gutter, height, "aria-hidden": true });
  const lines = svg("g", sentence.rtl ? { transform: `translate(${gutter} 0) scale(-1 1)` } : {});
  for (const arc of arcs) {
    const x = gutter - EDGE - STEP * level.get(arc);
    const down = arc.word > arc.head;
    const start = ROW * (arc.head - 0.5) + (down ? 4 : -4);
    const end = ROW * (arc.word - 0.5) + (down ? -3 : 3);
    const turn = down ? 5 : -5;
    const kind = kindOf(sentence, arc.word, state);
    const d = `M${gutter} ${start}H${x + 5}q-5 0 -5 ${turn}V${end - turn}q0 ${turn} 5 ${turn}H${gutter}`;
    lines.append(
      svg(
        "g",
        { class: `arc ${kind}${state.selected === arc.word ? " selected" : ""}` },
        svg("path", { d, class: "stroke" }),
        svg("path", { d: `M${gutter} ${end}l-8 -4.5v9z`, class: "tip" }),
      ),
    );
  }
  drawing.append(lines);
  return drawing;
}

const kindOf = (sentence, word, state) =>
  sentence.corrected(word) ? "corrected" : sentence.doubted(word, state.threshold) ? "doubted" : "plain";

function row(sentence, word, { state, act, gutter }) {
  const kind = kindOf(sentence, word, state);
  const name = `${word} ${sentence.form(word)}`;
  const certainty = sentence.certainty(word);
  const [, last, written] = sentence.tokens.find(([first]) => first === word) ?? [];
  const token = last ? html("small", { class: "soft" }, ` ${word}–${last} `, html("bdi", {}, written)) : "";
  const tags = Object.keys(TAGS);
  const tag = sentence.tag(word);
  if (!tags.includes(tag)) tags.unshift(tag);
  const marks = { corrected: "corrected", doubted: certainty === null ? "" : `${percent(certainty)}?` };
  const space = html("td", { class: "space" });
  space.style.width = `${gutter}px`;
  const cells = [
    space,
    html("td", { class: "number" }, String(word)),
    html("th", { scope: "row", class: "form" }, html("bdi", {}, sentence.form(word)), token),
    html("td", {}, select(`tag of ${name}`, tags, tag, (value) => act.setTag(word, value))),
    html("td", {}, heads(sentence, word, name, act)),
    html("td", {}, relation(sentence, word, name, act)),
    html("td", { class: "sure", dir: "ltr" }, marks[kind] ?? (certainty === null ? "" : percent(certainty))),
  ];
  return html("tr", { class: kind, "data-word": word, onfocusin: () => act.select(word, { quiet: true }) }, ...cells);
}

function select(name, values, chosen, change) {
  const options = values.map((value) => html("option", { value, selected: value === chosen }, value));
  return html("select", { "aria-label": name, onchange: (event) => change(event.target.value) }, ...options);
}

function heads(sentence, word, name, act) {
  const head = sentence.head(word);
  const options = [
    ...(head === null ? [html("option", { value: "", selected: true }, "–")] : []),
    html("option", { value: 0, selected: head === 0 }, `${LRM}0 root`),
    ...sentence.forms.flatMap((form, i) =>
      i + 1 === word ? [] : [html("option", { value: i + 1, selected: head === i + 1 }, `${i + 1} ${form}`)],
    ),
  ];
  const change = (event) => act.setHead(word, Number(event.target.value));
  return html("select", { "aria-label": `head of ${name}`, class: "head", onchange: change }, ...options);
}

function relation(sentence, word, name, act) {
  const text = sentence.label(word);
  return html(
    "button",
    { type: "button", class: "relation", "aria-label": `relation of ${name}: ${text}`, onclick: () => act.chooseLabel(word) },
    text,
  );
}
