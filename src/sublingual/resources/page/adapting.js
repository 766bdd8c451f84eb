// The parser learns from the ticked sentences: a job of the service, watched by a bar.

import * as api from "./api.js";
import { compare } from "./comparing.js";
import { loadModels } from "./models.js";
import { changed, checkedOnes, complain, current, modelNamed, say, store } from "./store.js";
import { html, percent } from "./svg.js";
import { conllu } from "./text.js";

const $ = (id) => document.getElementById(id);
const PAUSE = 400; // milliseconds between two looks at a job
let running = "";

export function showAdapt() {
  const n = checkedOnes().length;
  const words = checkedOnes().reduce((sum, sentence) => sum + sentence.length, 0);
  $("adapt-off").hidden = store.adaptsTo !== null;
  $("adapt-form").hidden = store.adaptsTo === null;
  $("adapt").disabled = !n || running !== "";
  $("adapt-hint").textContent = n
    ? `${store.model} learns from the ${n} ${n === 1 ? "sentence" : "sentences"} (${words} words) that you ticked as right; ` +
      `twenty are usual, fewer work. The new parser joins the list above.`
    : "Tick trees as right (C): the parser learns from those, and only from those.";
  if (!$("new-name").value) $("new-name").value = proposed();
  const language = modelNamed(store.model)?.language;
  if (!$("language").value && language) $("language").value = language;
}

/** A name that no model has yet. */
function proposed() {
  const stem = store.model.toLowerCase().replace(/-\d+$/, "").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "parser";
  let k = 2;
  while (modelNamed(`${stem}-${k}`)) k += 1;
  return `${stem}-${k}`;
}

async function adapt() {
  const from = store.model;
  const wanted = {
    data: conllu(checkedOnes()),
    name: $("new-name").value.trim(),
    model: from,
    language: $("language").value.trim(),
    steps: Number($("steps").value),
    shared: $("shared").checked,
  };
  complain("");
  $("job-result").hidden = true;
  try {
    let job = await api.adapt(wanted);
    running = job.id;
    showAdapt();
    $("stop").hidden = false;
    while (!["done", "failed", "stopped"].includes(job.state)) {
      showJob(job);
      await new Promise((wake) => setTimeout(wake, PAUSE));
      job = await api.job(running);
    }
    showJob(job);
    await ended(job, from);
  } catch (fault) {
    complain(fault.message);
    $("job").hidden = true;
  } finally {
    running = "";
    $("stop").hidden = true;
    showAdapt();
  }
}

function showJob({ state, step, steps, seconds }) {
  const left = step ? Math.ceil((seconds / step) * (steps - step)) : null;
  const texts = {
    waiting: "Waiting for its turn",
    running: step ? `Step ${step} of ${steps}, about ${left} s left` : "Reading the parser",
    saving: "Saving the new parser",
    done: `Done in ${Math.round(seconds)} s`,
    failed: "Failed",
    stopped: "Stopped; nothing was saved",
  };
  $("job").hidden = false;
  $("progress").max = steps;
  $("progress").value = state === "done" ? steps : step;
  $("progress-text").textContent = texts[state];
}

async function ended(job, from) {
  if (job.state === "failed") complain(`The adaptation failed: ${job.fault}`);
  if (job.state !== "done") return;
  const { model, folder, before, after, right_before: right, words, new_labels: labels, subnetwork, in_full: full } = job.result;
  const lines = [
    `The loss per word of your sentences fell from ${before.toFixed(2)} to ${after.toFixed(2)}.`,
    `Before, ${from} agreed with your trees on ${right} of ${words} words (${percent(right / words)}); how the new parser does must be seen on ` +
      "sentences that it did not learn from.",
    after >= before ? "The steps did not lower the loss: this is no adaptation. Try more steps." : "",
    labels.length ? `New relations, each started from its universal one: ${labels.join(", ")}.` : "",
    subnetwork ? `It runs in the subnetwork of ${subnetwork}.` : "",
    full ? `It runs in the full encoder: which of ${from}'s subnetworks is near its language is not known.` : "",
  ];
  $("job-result").replaceChildren(
    html("p", {}, html("strong", {}, model), " is ready. ", lines.filter(Boolean).join(" ")),
    html("p", { class: "soft" }, "On the command line: ", html("code", {}, `sublingual parse ${folder} IN.conllu OUT.conllu`)),
  );
  $("job-result").hidden = false;
  say(`${model} is ready`);
  await loadModels();
  store.model = model;
  $("new-name").value = "";
  changed();
  if (current()) await compare(from, model);
}

export function setUp() {
  $("adapt-form").onsubmit = (event) => {
    event.preventDefault();
    adapt();
  };
  $("stop").onclick = () => running && api.stop(running).catch((fault) => complain(fault.message));
}
