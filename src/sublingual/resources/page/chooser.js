// A list to choose one value from by typing its beginning: arrows and Enter, or a click. Escape leaves all as it was.

import { html } from "./svg.js";

const SHOWN = 60;
const dialog = document.getElementById("chooser");
const input = document.getElementById("chooser-input");
const list = document.getElementById("chooser-list");
const fault = document.getElementById("chooser-fault");
let options = [];
let shown = [];
let active = -1;
let check = () => "";
let done = () => {};

/** Resolves to the chosen value, or null. `faultOf(value)` says why a typed value cannot be, if so. */
export function choose(title, { values, current, faultOf = () => "" }) {
  document.getElementById("chooser-title").textContent = title;
  options = values;
  check = faultOf;
  input.value = current === "_" ? "" : current;
  fault.hidden = true;
  fill("");
  active = shown.findIndex(({ value }) => value === current);
  dialog.showModal();
  mark();
  input.select();
  return new Promise((resolve) => {
    done = resolve;
  });
}

function fill(typed) {
  const key = typed.trim().toLowerCase();
  const rank = ({ value, gloss }) =>
    value.toLowerCase().startsWith(key) ? 0 : gloss.toLowerCase().includes(key) ? 1 : value.toLowerCase().includes(key) ? 2 : 3;
  shown = options.filter((option) => rank(option) < 3);
  shown = [0, 1, 2].flatMap((wanted) => shown.filter((option) => rank(option) === wanted)).slice(0, SHOWN);
  list.replaceChildren(
    ...shown.map(({ value, gloss }, i) =>
      html(
        "li",
        { role: "option", id: `chooser-${i}`, onclick: () => finish(value) },
        html("span", { class: "value" }, value),
        html("span", { class: "gloss" }, gloss),
      ),
    ),
  );
  active = key && shown.length ? 0 : -1;
  mark();
}

function mark() {
  [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
  if (active < 0) input.removeAttribute("aria-activedescendant");
  else {
    input.setAttribute("aria-activedescendant", `chooser-${active}`);
    list.children[active].scrollIntoView({ block: "nearest" });
  }
}

function finish(value) {
  const wrong = value === null ? "" : check(value);
  if (wrong) {
    fault.textContent = wrong;
    fault.hidden = false;
    return;
  }
  const tell = done;
  done = () => {};
  if (dialog.open) dialog.close();
  tell(value);
}

input.addEventListener("input", () => fill(input.value));
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && shown.length) {
    active = (active + step + shown.length) % shown.length;
    mark();
    event.preventDefault();
  } else if (event.key === "Enter") {
    event.preventDefault();
    const exact = options.some(({ value }) => value === input.value.trim());
    finish(active >= 0 && !exact ? shown[active].value : input.value.trim());
  }
});
dialog.addEventListener("close", () => finish(null));
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
