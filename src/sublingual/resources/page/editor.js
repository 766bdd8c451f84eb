// The tree that is shown, and everything that a person can do to it.

import { choose } from "./chooser.js";
import { drawRows } from "./rows.js";
import { labelFault } from "./sentence.js";
import { changed, current, modelNamed, say, store } from "./store.js";
import { html, percent } from "./svg.js";
import { drawTree, said } from "./tree.js";
import { relations, tags } from "./words.js";

const WIDE = 2.2; // a tree that is wider than this many times its box is shown in rows
const $ = (id) => document.getElementById(id);
const box = $("tree");
const state = { selected: 1, picking: 0, candidate: 0 };
let shown = null;

/** Draws the present sentence anew. */
export function show() {
  const sentence = current();
  $("empty").hidden = Boolean(sentence);
  $("tree-area").hidden = $("tree-tools").hidden = !sentence;
  if (!sentence) return;
  if (sentence !== shown) Object.assign(state, { selected: 1, picking: 0, candidate: 0 });
  const inside = box.contains(document.activeElement) ? document.activeElement : null;
  const again = inside && { cell: inside.closest("td")?.cellIndex, word: inside.closest("[data-word]")?.dataset.word };
  const scrolled = sentence === shown ? box.scrollLeft : null;
  state.threshold = store.threshold;
  draw(sentence);
  if (scrolled !== null) box.scrollLeft = scrolled;
  shown = sentence;
  if (again) refocus(again);
  describe(sentence);
}

function draw(sentence) {
  const wanted = store.view || "arcs";
  if (wanted === "arcs") {
    const drawing = drawTree(box, sentence, { state, act });
    if (store.view || drawing.width.baseVal.value <= WIDE * box.clientWidth) return press("arcs");
  }
  drawRows(box, sentence, { state, act });
  press("rows");
}

function press(view) {
  box.dataset.view = view;
  for (const name of ["arcs", "rows"]) $(`view-${name}`).setAttribute("aria-pressed", String(name === view));
}

function refocus({ cell, word }) {
  const row = box.querySelector(`tr[data-word="${word}"]`);
  const control = row?.cells[cell]?.querySelector("select, button");
  (control ?? wordElement())?.focus({ preventScroll: !control });
}

const wordElement = () => box.querySelector('g.word[tabindex="0"]');

function describe(sentence) {
  $("sentence-text").textContent = sentence.text;
  const problems = sentence.problems();
  $("problems").hidden = !problems.length;
  $("problems").textContent = problems.length ? `No tree yet: ${problems.join("; ")}.` : "";
  $("checked").checked = sentence.checked;
  $("checked").disabled = problems.length > 0;
  $("undo").disabled = !sentence.undone.length;
  $("previous").disabled = store.at === 0;
  $("next").disabled = store.at >= store.sentences.length - 1;
  $("next-doubt").disabled = !store.sentences.some((each) => each.doubts(store.threshold).length);
  strip(sentence);
}

/** Buttons for the selected word: what it is, and other heads that the parser thought of. */
function strip(sentence) {
  const { selected, picking } = state;
  const name = html("bdi", { class: "form" }, sentence.form(selected));
  if (picking) {
    const cancel = html("button", { type: "button", onclick: act.cancel }, "Leave it");
    const root = html("button", { type: "button", onclick: () => act.setHead(picking, 0) }, "It is the root");
    $("strip").replaceChildren(html("span", {}, "Which word is the head of ", name, "?"), root, cancel);
    return;
  }
  const head = sentence.head(selected);
  const certainty = sentence.certainty(selected);
  const sure = sentence.corrected(selected) ? "corrected" : certainty === null ? "" : `${percent(certainty)} sure`;
  const of = head ? html("bdi", {}, sentence.form(head)) : "";
  const arc = head === null ? "has no head" : head ? `${sentence.label(selected)} of ` : "is the root";
  const button = (text, run, key) => html("button", { type: "button", "aria-keyshortcuts": key, onclick: run }, text);
  const others = sentence.others(selected).map(([other, share]) => {
    const form = other ? html("bdi", {}, sentence.form(other)) : "root";
    const give = { type: "button", class: "other", onclick: () => act.setHead(selected, other) };
    return html("button", give, other ? `${other} ` : "", form, ` · ${percent(share)}`);
  });
  $("strip").replaceChildren(
    html("span", { class: "what" }, name, ` ${arc}`, of, sure ? html("span", { class: "soft" }, ` · ${sure}`) : ""),
    button("Head…", () => act.pick(selected), "Enter"),
    button("Relation…", () => act.chooseLabel(selected), "L"),
    button("Tag…", () => act.chooseTag(selected), "P"),
    ...(others.length ? [html("span", { class: "soft or" }, "or the head is"), ...others] : []),
  );
}

function go(word) {
  const sentence = current();
  const to = Math.min(Math.max(word, 1), sentence.length);
  if (state.picking) state.candidate = to;
  else state.selected = to;
  show();
  wordElement()?.focus({ preventScroll: true });
  reveal(to);
}

function reveal(word) {
  const row = box.querySelector(`tr[data-word="${word}"]`);
  if (row) row.scrollIntoView({ block: "nearest" });
  const rect = box.querySelector(`g.word[data-word="${word}"] rect`)?.getBoundingClientRect();
  if (!rect) return;
  const frame = box.getBoundingClientRect();
  if (rect.left < frame.left + 40) box.scrollLeft -= frame.left + 80 - rect.left;
  else if (rect.right > frame.right - 40) box.scrollLeft += rect.right - frame.right + 80;
}

function edited(word, what) {
  Object.assign(state, { selected: word, picking: 0, candidate: 0 });
  say(`${what}. ${said(current(), word, state)}`);
  changed();
}

export const act = {
  select(word, { quiet = false } = {}) {
    if (state.selected === word) return;
    state.selected = word;
    if (quiet) strip(current());
    else show();
  },
  click(word) {
    if (state.picking && state.picking !== word) act.setHead(state.picking, word);
    else if (state.picking || state.selected !== word) {
      state.picking = 0;
      go(word);
    } else act.pick(word);
  },
  pick(word) {
    Object.assign(state, { selected: word, picking: word, candidate: current().head(word) || (word > 1 ? word - 1 : 2) });
    if (state.candidate > current().length) state.candidate = word;
    if (box.dataset.view === "rows") {
      state.picking = 0;
      box.querySelector(`tr[data-word="${word}"] select.head`)?.focus();
      return;
    }
    go(state.candidate);
    say(`Head of ${current().form(word)}: arrow keys, then Enter; 0 for the root; Escape leaves it`);
  },
  cancel() {
    const word = state.picking || state.selected;
    state.picking = 0;
    go(word);
  },
  setHead(word, head) {
    const sentence = current();
    if (head === word) return say("A word is not its own head");
    const before = sentence.label(word);
    sentence.setHead(word, head);
    edited(word, "Head set");
    wordElement()?.focus({ preventScroll: true });
    if (sentence.label(word) === "dep" && before !== "dep") act.chooseLabel(word);
  },
  setTag(word, tag) {
    current().setTag(word, tag);
    edited(word, "Tag set");
  },
  async chooseLabel(word) {
    const sentence = current();
    const known = modelNamed(store.model)?.labels ?? [];
    const label = await choose(`Relation of ${sentence.form(word)}`, {
      values: relations(known),
      current: sentence.label(word),
      faultOf: (value) => labelFault(value, sentence.head(word)),
    });
    if (label !== null && label !== sentence.label(word)) {
      sentence.setLabel(word, label);
      edited(word, "Relation set");
    }
    back(word, ".relation");
  },
  async chooseTag(word) {
    const sentence = current();
    const faultOf = (value) => (/^\S+$/.test(value) ? "" : "a tag is one word");
    const tag = await choose(`Part of speech of ${sentence.form(word)}`, { values: tags(), current: sentence.tag(word), faultOf });
    if (tag !== null && tag !== sentence.tag(word)) act.setTag(word, tag);
    back(word, "select");
  },
  undo() {
    const word = current().undo();
    if (word) edited(word, "Undone");
  },
  check(right) {
    const sentence = current();
    if (right && sentence.problems().length) return say("This is no tree yet");
    sentence.checked = right;
    say(right ? "Ticked as right" : "No longer ticked");
    changed();
  },
  turn(by) {
    const to = store.at + by;
    if (to < 0 || to >= store.sentences.length) return;
    store.at = to;
    changed();
    if (box.dataset.view === "arcs") wordElement()?.focus({ preventScroll: true });
    say(`Sentence ${to + 1} of ${store.sentences.length}: ${current().text}`);
  },
  nextDoubt() {
    const n = store.sentences.length;
    const after = current().doubts(store.threshold).find((word) => word > state.selected);
    if (after) return go(after);
    for (let k = 1; k <= n; k += 1) {
      const at = (store.at + k) % n;
      const [first] = store.sentences[at].doubts(store.threshold);
      if (first) {
        store.at = at;
        changed();
        return go(first);
      }
    }
    say("Nothing is doubted");
  },
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ahead = current().rtl ? -1 : 1;
    const place = state.picking ? state.candidate : state.selected;
    const keys = {
      ArrowRight: () => go(place + ahead),
      ArrowLeft: () => go(place - ahead),
      Home: () => go(1),
      End: () => go(current().length),
      Enter: () => (state.picking ? act.setHead(state.picking, state.candidate) : act.pick(state.selected)),
      " ": () => keys.Enter(),
      Escape: () => act.cancel(),
      0: () => act.setHead(state.picking || state.selected, 0),
      ...letters,
    };
    const run = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!run) return;
    event.preventDefault();
    run();
  },
};

const letters = {
  l: () => act.chooseLabel(state.selected),
  p: () => act.chooseTag(state.selected),
  d: () => act.nextDoubt(),
  u: () => act.undo(),
  c: () => act.check(!current().checked),
  PageDown: () => act.turn(1),
  PageUp: () => act.turn(-1),
};

function back(word, control) {
  const cell = box.querySelector(`tr[data-word="${word}"] ${control}`);
  (cell ?? wordElement())?.focus({ preventScroll: true });
}

/** Wires the buttons around the tree. */
export function setUp() {
  $("previous").onclick = () => act.turn(-1);
  $("next").onclick = () => act.turn(1);
  $("next-doubt").onclick = () => act.nextDoubt();
  $("undo").onclick = () => act.undo();
  $("checked").onchange = (event) => act.check(event.target.checked);
  for (const view of ["arcs", "rows"]) {
    $(`view-${view}`).onclick = () => {
      store.view = view;
      state.picking = 0;
      changed();
    };
  }
  $("threshold").oninput = (event) => {
    store.threshold = event.target.value / 100;
    $("threshold-value").textContent = percent(store.threshold);
    changed();
  };
  $("threshold").value = String(100 * store.threshold);
  $("threshold-value").textContent = percent(store.threshold);
  box.addEventListener("keydown", (event) => {
    if (box.dataset.view === "rows" && !event.target.matches("input, select")) {
      const run = letters[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (run && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        run();
      }
    }
  });
  new ResizeObserver(() => shown && !store.view && show()).observe($("tree-section"));
}
