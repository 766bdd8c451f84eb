// Text in, CoNLL-U out: the form on the left, the list of sentences below it.

import * as api from "./api.js";
import { Sentence } from "./sentence.js";
import { changed, checkedOnes, complain, say, store } from "./store.js";
import { html } from "./svg.js";

const $ = (id) => document.getElementById(id);
const LOOKS_LIKE_CONLLU = /^(#.*\n)*1(-\d+)?\t[^\t\n]+\t/m;
const SNIPPET = 80;

/** Sends the text; the sentences that come back are put after those that are there. */
export async function parse() {
  const data = $("text").value;
  if (!data.trim()) return complain("There is no text yet: paste some sentences, or open a file.");
  const form = $("form").value;
  const keep = form === "conllu" && $("keep").checked;
  $("parse").disabled = true;
  say("Parsing");
  try {
    const { sentences } = await api.parse({ data, form, model: store.model, keep });
    if (!sentences.length) return complain("There is no sentence in the text.");
    take(sentences, { keep });
    complain("");
  } catch (fault) {
    complain(fault.message);
  } finally {
    $("parse").disabled = false;
  }
}

function take(sentences, { keep }) {
  const fresh = sentences.map((given) => new Sentence({ ...given, parser: keep ? "" : store.model }));
  for (const sentence of fresh) sentence.checked = keep && !sentence.problems().length;
  store.at = store.sentences.length;
  store.sentences.push(...fresh);
  $("text").value = "";
  guess();
  changed();
  say(`${fresh.length} sentences`);
  $("tree").focus({ preventScroll: true });
}

/** Reads the form of the text off the text. */
function guess() {
  if (LOOKS_LIKE_CONLLU.test($("text").value)) $("form").value = "conllu";
  else if ($("form").value === "conllu") $("form").value = "text";
  $("keep-line").hidden = $("form").value !== "conllu";
}

async function open(file) {
  if (!file) return;
  try {
    $("text").value = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (fault) {
    const reason = fault instanceof TypeError ? "is not in UTF-8: convert it, e.g. iconv -f latin1 -t utf-8" : "cannot be read";
    return complain(`${file.name} ${reason}.`);
  }
  complain("");
  guess();
  $("text").focus();
}

export function showList() {
  const { sentences, at, threshold } = store;
  $("list-section").hidden = !sentences.length;
  const n = checkedOnes().length;
  const doubts = sentences.reduce((sum, sentence) => sum + sentence.doubts(threshold).length, 0);
  $("counts").textContent = `${sentences.length} in all, ${n} ticked as right, ${doubts} words in doubt.`;
  $("download-checked").disabled = !n;
  $("list").replaceChildren(...sentences.map((sentence, i) => item(sentence, i, i === at)));
  const now = $("list").children[at];
  if (now) $("list").scrollTop = now.offsetTop - $("list").offsetTop - ($("list").clientHeight - now.offsetHeight) / 2;
}

function item(sentence, i, now) {
  const doubts = sentence.doubts(store.threshold).length;
  const changes = sentence.changes();
  const marks = [
    sentence.checked && html("span", { class: "mark right" }, "✓ right"),
    doubts > 0 && html("span", { class: "mark doubt" }, `${doubts} in doubt`),
    changes > 0 && html("span", { class: "mark corrected" }, `${changes} corrected`),
  ];
  const text = sentence.text.length > SNIPPET ? `${sentence.text.slice(0, SNIPPET)}…` : sentence.text;
  const open = () => {
    store.at = i;
    changed();
  };
  return html(
    "li",
    {},
    html(
      "button",
      { type: "button", "aria-current": now, onclick: open },
      html("span", { class: "snippet", dir: "auto" }, text),
      html("span", { class: "marks" }, ...marks.filter(Boolean)),
    ),
  );
}

export const conllu = (sentences) => sentences.map((sentence) => sentence.conllu()).join("");

function download(sentences, name) {
  const url = URL.createObjectURL(new Blob([conllu(sentences)], { type: "text/plain;charset=utf-8" }));
  html("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  say(`${sentences.length} sentences in ${name}`);
}

export function setUp() {
  $("text-form").onsubmit = (event) => {
    event.preventDefault();
    parse();
  };
  $("text").oninput = guess;
  $("form").onchange = () => {
    $("keep-line").hidden = $("form").value !== "conllu";
  };
  $("file").onchange = (event) => {
    open(event.target.files[0]);
    event.target.value = "";
  };
  $("text").ondragover = (event) => event.preventDefault();
  $("text").ondrop = (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  };
  $("download").onclick = () => download(store.sentences, "trees.conllu");
  $("download-checked").onclick = () => download(checkedOnes(), "checked.conllu");
  $("clear").onclick = () => {
    if (!confirm(`Remove all ${store.sentences.length} sentences from this page? Download them first to keep them.`)) return;
    Object.assign(store, { sentences: [], at: 0 });
    changed();
  };
}
