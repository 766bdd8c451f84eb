// The page's beginning: what was kept is taken up, everything is wired, and drawn anew after each change.

import * as adapting from "./adapting.js";
import * as comparing from "./comparing.js";
import * as editor from "./editor.js";
import * as models from "./models.js";
import { changed, complain, onChange, restore } from "./store.js";
import { svg } from "./svg.js";
import * as text from "./text.js";

const LEGEND = [
  ["plain", "obj", "the parser's arc"],
  ["doubted", "obj?", "an arc that it doubts: dashed, its relation with a question mark"],
  ["corrected", "obj", "an arc that you corrected: thick"],
];

function legend() {
  const list = document.getElementById("legend");
  for (const [kind, label, meaning] of LEGEND) {
    const drawing = svg("svg", { width: 74, height: 34, "aria-hidden": true });
    drawing.append(
      svg(
        "g",
        { class: `arc ${kind}` },
        svg("path", { d: "M12 32V22q0-6 6-6h38q6 0 6 6v4", class: "stroke" }),
        svg("path", { d: "M62 33l-4.5-8h9z", class: "tip" }),
      ),
      svg("text", { class: `label ${kind}`, x: 37, y: 11, "font-size": 12 }, label),
    );
    const item = document.createElement("li");
    item.append(drawing, meaning);
    list.append(item);
  }
}

restore();
legend();
for (const part of [text, editor, adapting, comparing, models]) part.setUp();
for (const show of [models.showModel, text.showList, editor.show, adapting.showAdapt, comparing.showCompare]) onChange(show);
models
  .loadModels()
  .then(changed)
  .catch((fault) => complain(fault.message))
  .finally(() => document.body.classList.add("ready"));
