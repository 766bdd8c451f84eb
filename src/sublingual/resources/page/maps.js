// Subnetworks as maps: a row a layer, a column an attention head, full squares for what is on.

import { html, percent, svg } from "./svg.js";

const CELL = 15;
const LEFT = 24;
const TOP = 20;

/** Shows what the service says of a model's subnetworks. */
export function drawMaps(box, { layers, attention_heads: heads, own, neighbours, language }, model) {
  const all = layers * heads;
  if (!own && !neighbours.length) {
    box.replaceChildren(
      html(
        "p",
        { class: "soft" },
        `${model} uses all of its ${all} attention heads (${layers} layers of ${heads}). Parsers that were trained with subnetworks of `,
        "several languages show here which heads they use, beside those of the languages nearest to yours.",
      ),
    );
    return;
  }
  const figures = [];
  if (own) figures.push(figure({ gates: own, name: `this parser${language ? ` (${language})` : ""}`, own: null }));
  for (const { gates, name, similarity } of neighbours) figures.push(figure({ gates, name, own, similarity }));
  const notes = [
    html(
      "p",
      { class: "soft" },
      own ? "" : `${model} itself uses all of its ${all} attention heads; these are the subnetworks of the languages it was trained on. `,
      "Rows are layers, the first at the top; a full square is an attention head that is on",
      own ? ", a dot marks where a language differs from this parser." : ".",
    ),
  ];
  box.replaceChildren(html("div", { class: "maps" }, ...figures), ...notes);
}

function figure({ gates, name, own, similarity = null }) {
  const off = gates.flat().filter((gate) => gate === 0).length;
  const lines = [html("strong", {}, name), html("span", {}, `${off} of ${gates.flat().length} off`)];
  if (similarity !== null) lines.push(html("span", {}, `syntax ${percent(similarity)} alike`));
  if (own) lines.push(html("span", {}, `${percent(alike(gates, own))} of heads in common`));
  const spoken = gates.map((row, i) => `layer ${i + 1}: ${offIn(row)}`).join("; ");
  const caption = html("figcaption", {}, ...lines);
  return html("figure", { class: "map" }, drawing(gates, own, `${name}. Off in ${spoken}`), caption);
}

const offIn = (row) => row.flatMap((gate, j) => (gate === 0 ? [j + 1] : [])).join(" ") || "none";

/** The attention heads that are on in both, of those on in either. */
export function alike(a, b) {
  const pairs = a.flat().map((gate, i) => [gate > 0, b.flat()[i] > 0]);
  const either = pairs.filter(([one, other]) => one || other).length;
  return either ? pairs.filter(([one, other]) => one && other).length / either : 1;
}

function drawing(gates, own, name) {
  const [width, height] = [LEFT + CELL * gates[0].length + 2, TOP + CELL * gates.length + 2];
  const drawn = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  gates[0].forEach((_, j) => drawn.append(number(LEFT + CELL * (j + 0.5), TOP - 6, j + 1)));
  gates.forEach((row, i) => {
    drawn.append(number(LEFT - 11, TOP + CELL * (i + 0.72), i + 1));
    row.forEach((gate, j) => {
      const [x, y] = [LEFT + CELL * j + 1.5, TOP + CELL * i + 1.5];
      const cell = svg("rect", { class: "gate", x, y, width: CELL - 3, height: CELL - 3, rx: 2, "fill-opacity": gate });
      cell.append(svg("title", {}, `layer ${i + 1}, attention head ${j + 1}: ${gate === 0 ? "off" : gate === 1 ? "on" : gate}`));
      drawn.append(cell);
      const differs = own && gate > 0 !== own[i][j] > 0;
      if (differs) drawn.append(svg("circle", { class: gate > 0 ? "more" : "less", cx: x + 6, cy: y + 6, r: 2.6 }));
    });
  });
  return drawn;
}

const number = (x, y, value) => svg("text", { class: "number", x, y, "font-size": 9 }, String(value));
