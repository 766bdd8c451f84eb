// What the page works on, kept in this browser from visit to visit.

import { Sentence } from "./sentence.js";

const KEY = "sublingual-page-1";

export const store = {
  sentences: [],
  at: 0, // index of the sentence that is shown
  model: "",
  view: "", // "arcs", "rows", or "" for what fits
  threshold: 0.5,
  models: [], // as the service describes them
  adaptsTo: null,
};

const listeners = [];

/** Has `listener` called after every change. */
export const onChange = (listener) => listeners.push(listener);

/** Keeps what is there now, and tells everyone. */
export function changed() {
  const { sentences, at, model, view, threshold } = store;
  try {
    localStorage.setItem(KEY, JSON.stringify({ sentences, at, model, view, threshold }));
  } catch {
    say("This browser could not keep your work (its store is full or closed): download it before you leave.");
  }
  for (const listener of listeners) listener();
}

/** Takes up what was kept, if anything was. */
export function restore() {
  try {
    const { sentences, ...rest } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    Object.assign(store, rest, { sentences: (sentences ?? []).map((kept) => new Sentence(kept)) });
    store.at = Math.min(store.at, Math.max(0, store.sentences.length - 1));
  } catch {
    localStorage.removeItem(KEY);
  }
}

export const current = () => store.sentences[store.at];
export const checkedOnes = () => store.sentences.filter((sentence) => sentence.checked);
export const modelNamed = (name) => store.models.find((model) => model.name === name);

/** Says something to screen readers. */
export function say(text) {
  document.getElementById("status").textContent = text;
}

/** Shows a fault to everyone; an empty text takes it away. */
export function complain(text) {
  const box = document.getElementById("message");
  box.textContent = text;
  box.hidden = !text;
  if (text) box.scrollIntoView({ block: "nearest" });
}
