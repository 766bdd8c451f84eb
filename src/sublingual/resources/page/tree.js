// The tree with arcs above the words: drawn, and changed by mouse or by keyboard.

import { layOut, path, SIZE } from "./layout.js";
import { html, measureIn, percent, svg } from "./svg.js";

/**
 * Draws a sentence into `box`. `state`: {threshold, selected, picking, candidate}; `act`: what the person does, by name. Without `act`
 * it is a picture. `before`: [head, label] of each word in another parse: arcs that differ from it have that parse's below.
 */
export function drawTree(box, sentence, { state, act = null, before = null }) {
  const words = sentence.forms.map((form, i) => ({ form, tag: tagOf(sentence, i + 1) }));
  const above = arcsOf(sentence, state?.threshold ?? 0, before);
  const below = before ? differing(sentence, before) : [];
  const layout = layOut({
    words,
    above,
    below,
    tokens: sentence.tokens,
    rtl: sentence.rtl,
    measure: measureIn(box),
  });
  const drawing = svg("svg", {
    class: "drawing",
    width: layout.width,
    height: layout.height,
    viewBox: `0 0 ${layout.width} ${layout.height}`,
    role: act ? "group" : "img",
    "aria-label": act ? `Tree of ${sentence.length} words. Arrow keys go from word to word.` : inWords(sentence),
  });
  const layer = (name) => drawing.appendChild(svg("g", { class: name, "aria-hidden": name !== "words" }));
  const [lines, names] = [layer("lines"), layer("labels")];
  for (const arc of layout.arcs) {
    lines.append(line(arc, state));
    names.append(label(arc, act));
  }
  for (const token of layout.tokens) names.append(bracket(token, layout));
  const group = layer("words");
  layout.words.forEach((place, i) => group.append(wordOf(sentence, i + 1, { place, layout, state, act })));
  if (act) listen(drawing, sentence, { layout, act });
  box.dir = sentence.rtl ? "rtl" : "ltr";
  box.replaceChildren(drawing);
  return drawing;
}

const tagOf = (sentence, word) => (sentence.tag(word) === "_" ? "" : sentence.tag(word));

function arcsOf(sentence, threshold, before) {
  const arcs = [];
  for (let word = 1; word <= sentence.length; word += 1) {
    const head = sentence.head(word);
    if (head === null || head === word) continue;
    const kind = before
      ? same(sentence, word, before)
        ? "plain"
        : "new"
      : sentence.corrected(word)
        ? "corrected"
        : sentence.doubted(word, threshold)
          ? "doubted"
          : "plain";
    arcs.push({ word, head, label: sentence.label(word), kind });
  }
  return arcs;
}

const same = (sentence, word, before) => {
  const [head, label] = before[word - 1];
  return head === sentence.head(word) && label === sentence.label(word);
};

function differing(sentence, before) {
  const arcs = before.map(([head, label], i) => ({ word: i + 1, head, label, kind: "old" }));
  return arcs.filter(({ word, head }) => head !== null && !same(sentence, word, before));
}

function line(place, state) {
  const { arc, end, foot, up } = place;
  const chosen = state?.selected === arc.word && place.up;
  const tip = `M${end} ${foot}l-4.5 ${up ? -8 : 8}h9z`;
  return svg(
    "g",
    { class: `arc ${arc.kind}${chosen ? " selected" : ""}`, "data-word": arc.word, "data-head": arc.head },
    svg("path", { d: path(place), class: "stroke" }),
    svg("path", { d: tip, class: "tip" }),
  );
}

/** The label on its arc; a question mark before one that is doubted, so that the mark needs no colour. */
function label(place, act) {
  const { arc, y, up } = place;
  const text = arc.kind === "doubted" ? `${arc.label}?` : arc.label;
  return svg(
    "text",
    {
      class: `label ${arc.kind}`,
      x: place.name,
      y: up ? y - 5 : y + SIZE.label + 3,
      "font-size": SIZE.label,
      "data-word": arc.word,
      onclick: act && up ? () => act.chooseLabel(arc.word) : null,
    },
    text,
  );
}

function bracket({ form, from, to }, layout) {
  const y = layout.tagline + 5;
  return svg(
    "g",
    { class: "token" },
    svg("path", { d: `M${from} ${y}v4H${to}v-4` }),
    svg("text", { x: (from + to) / 2, y: y + SIZE.token + 6, "font-size": SIZE.token }, form),
  );
}

function wordOf(sentence, word, { place, layout, state, act }) {
  const [top, half] = [layout.baseline - SIZE.word - 2, place.width / 2 + 5];
  const picking = state?.picking === word;
  const at = (state?.picking ? state.candidate : state?.selected) === word;
  const kinds = ["word", state?.selected === word && "selected", picking && "picking", state?.picking && at && "candidate"];
  return svg(
    "g",
    {
      class: kinds.filter(Boolean).join(" "),
      "data-word": word,
      ...(act && { role: "button", tabindex: at ? 0 : -1, "aria-label": said(sentence, word, state) }),
    },
    svg("rect", { x: place.x - half, y: top, width: 2 * half, height: layout.tagline - top + 5, rx: 5 }),
    svg("text", { class: "form", x: place.x, y: layout.baseline, "font-size": SIZE.word }, sentence.form(word)),
    svg(
      "text",
      {
        class: "tag",
        x: place.x,
        y: layout.tagline,
        "font-size": SIZE.tag,
        onclick: act ? (event) => (event.stopPropagation(), act.chooseTag(word)) : null,
      },
      tagOf(sentence, word) || (act ? "·" : ""),
    ),
  );
}

/** A word as a screen reader says it. */
export function said(sentence, word, state) {
  const head = sentence.head(word);
  const certainty = sentence.certainty(word);
  const parts = [`${word} ${sentence.form(word)}`];
  if (tagOf(sentence, word)) parts.push(tagOf(sentence, word));
  if (head === null) parts.push("no head");
  else parts.push(head ? `${sentence.label(word)} of ${head} ${sentence.form(head)}` : "root");
  if (sentence.corrected(word)) parts.push("corrected");
  else if (certainty !== null) parts.push(`${percent(certainty)} sure`);
  if (sentence.doubted(word, state?.threshold ?? 0)) parts.push("doubted");
  return parts.join(", ");
}

export function inWords(sentence) {
  return sentence.at.map((_, k) => said(sentence, k + 1, null)).join("; ");
}

/** Clicks, and dragging a word onto its head. */
function listen(drawing, sentence, { layout, act }) {
  const wordAt = (target) => Number(target?.closest?.("g.word")?.dataset.word ?? 0);
  let from = 0;
  let trace = null;
  drawing.addEventListener("pointerdown", (event) => {
    from = event.target.closest(".tag") ? 0 : wordAt(event.target);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!from || !(event.buttons & 1)) return;
    const corner = drawing.getBoundingClientRect();
    const start = layout.words[from - 1].x;
    const [x, y] = [event.clientX - corner.left, event.clientY - corner.top];
    const top = Math.min(y, layout.baseline - SIZE.word) - 40;
    trace ??= drawing.appendChild(svg("path", { class: "trace" }));
    trace.setAttribute("d", `M${start} ${layout.baseline - SIZE.word - 3}C${start} ${top} ${x} ${top} ${x} ${y}`);
  });
  drawing.addEventListener("pointerup", (event) => {
    const to = wordAt(document.elementFromPoint(event.clientX, event.clientY));
    trace?.remove();
    trace = null;
    if (from && to && from !== to) act.setHead(from, to);
    else if (from && from === to) act.click(to);
    from = 0;
  });
  drawing.addEventListener("pointerleave", () => {
    trace?.remove();
    trace = null;
    from = 0;
  });
  drawing.addEventListener("keydown", (event) => act.key(event));
}
