// The parsers of the service, and which one is in use.

import * as api from "./api.js";
import { drawMaps } from "./maps.js";
import { changed, complain, modelNamed, store } from "./store.js";
import { html } from "./svg.js";

const $ = (id) => document.getElementById(id);
let mapped = "";

export async function loadModels() {
  const { models, default: first, adapts_to: folder } = await api.models();
  Object.assign(store, { models, adaptsTo: folder });
  if (!modelNamed(store.model)) store.model = first;
  for (const id of ["model", "before", "after"]) {
    const kept = $(id).value;
    $(id).replaceChildren(...models.map(({ name }) => html("option", { value: name }, name)));
    if (modelNamed(kept)) $(id).value = kept;
  }
}

export function showModel() {
  $("model").value = store.model;
  const { language_name: language, trained_on: languages, note, licence } = modelNamed(store.model) ?? {};
  const parts = [
    language ? `adapted to ${language}` : "",
    languages?.length ? `trained on ${languages.join(", ")}` : "",
    licence && licence !== "unknown" ? licence : "",
  ];
  $("about-model").textContent = parts.filter(Boolean).join(" · ");
  $("about-model").title = note ?? "";
  if (mapped !== store.model) showMaps();
}

async function showMaps() {
  const model = (mapped = store.model);
  try {
    const found = await api.subnetworks(model);
    if (model === store.model) drawMaps($("subnetwork"), found, model);
  } catch (fault) {
    complain(fault.message);
  }
}

export function setUp() {
  $("model").onchange = (event) => {
    store.model = event.target.value;
    $("new-name").value = "";
    changed();
  };
}
