// Where everything of a tree stands, without drawing it: arcs that overlap lie at different heights, and words stand far enough apart
// for the labels of the arcs between them. A label is in the middle of its arc, of a long one (`SIZE.long`) at its dependent's end,
// where the eye is. Words count from 1; lengths are CSS pixels.

export const SIZE = { word: 18, label: 13, tag: 11, token: 12, row: 25, first: 22, gap: 16, labelGap: 14, endGap: 8, margin: 14, long: 480 };

/** One side's arcs, each {word, head, label, kind}: level and offset of each. */
class Side {
  constructor(arcs, measure) {
    const span = (arc) => ends(arc)[1] - ends(arc)[0];
    this.arcs = [...arcs].sort((a, b) => span(a) - span(b) || a.word - b.word);
    this.measure = measure;
    this.level = this.#levels();
    this.depth = Math.max(0, ...this.level.values());
    this.offset = this.#offsets();
  }

  #levels() {
    const level = new Map();
    for (const arc of this.arcs) {
      if (!arc.head) continue;
      const below = [...level].filter(([other]) => overlap(arc, other)).map(([, own]) => own);
      level.set(arc, 1 + Math.max(0, ...below));
    }
    const top = 1 + Math.max(0, ...level.values());
    for (const arc of this.arcs) if (!arc.head) level.set(arc, top);
    return level;
  }

  /** Where arcs end at each word, from its middle: the longer an arc, the nearer to the middle. */
  #offsets() {
    const at = new Map();
    for (const arc of this.arcs) {
      const [left, right] = ends(arc);
      const sides = arc.head ? [[left, 1], [right, -1]] : [[left, 0]];
      for (const [word, side] of sides) {
        if (!at.has(word)) at.set(word, []);
        at.get(word).push([side / Math.max(right - left, 1), arc]);
      }
    }
    const offset = new Map();
    for (const [word, list] of at) {
      list.sort((a, b) => a[0] - b[0]);
      list.forEach(([, arc], place) => {
        if (!offset.has(arc)) offset.set(arc, new Map());
        offset.get(arc).set(word, (place - (list.length - 1) / 2) * SIZE.endGap);
      });
    }
    return offset;
  }

  width(word) {
    let n = 0;
    let room = 0;
    for (const arc of this.arcs) {
      const own = this.offset.get(arc).get(word);
      if (own === undefined) continue;
      n += 1;
      if (!arc.head) room = Math.max(room, this.measure(arc.label, SIZE.label) + 2 * Math.abs(own));
    }
    return Math.max(n * SIZE.endGap, room);
  }

  *distances() {
    for (const arc of this.arcs) {
      const [left, right] = ends(arc);
      if (left === right) continue;
      const own = this.offset.get(arc).get(left) - this.offset.get(arc).get(right);
      yield [left, right, this.measure(arc.label, SIZE.label) + SIZE.labelGap + own];
    }
  }
}

/**
 * Lays a sentence out. `words`: [{form, tag}], `above` and `below`: arcs, `tokens`: [first, last, form], `rtl`: from right to left,
 * `measure(text, size)`: the width of a text.
 */
export function layOut({ words, above, below = [], tokens = [], rtl = false, measure }) {
  const up = new Side(above, measure);
  const down = new Side(below, measure);
  const widths = words.map(({ form, tag }, i) =>
    Math.max(measure(form, SIZE.word), measure(tag, SIZE.tag), up.width(i + 1), down.width(i + 1)),
  );
  const middles = placeWords(widths, [...up.distances(), ...down.distances(), ...tokenDistances(tokens, widths, measure)]);
  const width = middles.at(-1) + widths.at(-1) / 2 + SIZE.margin;
  const x = (place) => (rtl ? width - place : place);
  const baseline = SIZE.margin + SIZE.first + SIZE.row * up.depth + SIZE.word;
  const tagline = baseline + SIZE.tag + 9;
  const underline = tagline + 7 + (tokens.length ? SIZE.token + 8 : 0);
  const height = underline + (down.arcs.length ? SIZE.first + SIZE.row * down.depth : 0) + SIZE.margin;
  const nameAt = (arc, start, end) => {
    if (Math.abs(start - end) < SIZE.long) return (start + end) / 2;
    return end + Math.sign(start - end) * (measure(arc.label, SIZE.label) / 2 + SIZE.labelGap + 6);
  };
  const place = (side, arc, isUp) => {
    const end = x(middles[arc.word - 1] + side.offset.get(arc).get(arc.word));
    const start = arc.head ? x(middles[arc.head - 1] + side.offset.get(arc).get(arc.head)) : end;
    const foot = isUp ? baseline - SIZE.word - 3 : underline;
    const y = foot + (isUp ? -1 : 1) * (SIZE.first + SIZE.row * (side.level.get(arc) - 1));
    return { arc, start, end, foot, y, up: isUp, name: nameAt(arc, start, end) };
  };
  return {
    width,
    height,
    baseline,
    tagline,
    underline,
    words: words.map((_, i) => ({ x: x(middles[i]), width: widths[i] })),
    arcs: [...up.arcs.map((arc) => place(up, arc, true)), ...down.arcs.map((arc) => place(down, arc, false))],
    tokens: tokens.map(([first, last, form]) => {
      const a = x(middles[first - 1] - widths[first - 1] / 2);
      const b = x(middles[last - 1] + widths[last - 1] / 2);
      return { form, from: Math.min(a, b), to: Math.max(a, b) };
    }),
  };
}

/** The line of an arc: from its head up to its height, along it, and down to its word. */
export function path({ start, end, foot, y }) {
  if (start === end) return `M${end} ${y}V${foot}`;
  const r = 7;
  const [along, rise] = [end > start ? r : -r, y < foot ? r : -r];
  return `M${start} ${foot}V${y + rise}q0 ${-rise} ${along} ${-rise}H${end - along}q${along} 0 ${along} ${rise}V${foot}`;
}

function placeWords(widths, distances) {
  const needed = new Map();
  for (const [left, right, far] of distances) {
    if (!needed.has(right)) needed.set(right, []);
    needed.get(right).push([left, far]);
  }
  const middles = [SIZE.margin + widths[0] / 2];
  for (let word = 2; word <= widths.length; word += 1) {
    const least = middles[word - 2] + (widths[word - 2] + widths[word - 1]) / 2 + SIZE.gap;
    const wanted = (needed.get(word) ?? []).map(([left, far]) => middles[left - 1] + far);
    middles.push(Math.max(least, ...wanted));
  }
  return middles;
}

function tokenDistances(tokens, widths, measure) {
  return tokens.map(([first, last, form]) => [
    first,
    last,
    measure(form, SIZE.token) + SIZE.labelGap - (widths[first - 1] + widths[last - 1]) / 2,
  ]);
}

function ends({ word, head }) {
  const other = head || word;
  return [Math.min(word, other), Math.max(word, other)];
}

function overlap(a, b) {
  return ends(a)[0] < ends(b)[1] && ends(b)[0] < ends(a)[1];
}
