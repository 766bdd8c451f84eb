// A sentence as the page holds it: the ten columns as the service gave them, what was changed in them, and what was there before.
// Nothing but UPOS, HEAD and DEPREL is ever written. The service reads and checks files; here lines are only joined.

import { base, RELATIONS } from "./words.js";

const [ID, FORM, UPOS, HEAD, LABEL] = [0, 1, 3, 6, 7];

export class Sentence {
  constructor({ comments, rows, rtl, sure, first, checked = false, parser = "" }) {
    this.comments = comments;
    this.rows = rows;
    this.rtl = rtl;
    this.sure = sure; // {heads, labels, others} by word, or null where no parser made the tree
    this.checked = checked;
    this.parser = parser;
    this.at = rows.flatMap((row, i) => (/^\d+$/.test(row[ID]) ? [i] : []));
    this.first = first ?? this.at.map((i) => [rows[i][UPOS], rows[i][HEAD], rows[i][LABEL]]);
    this.undone = [];
  }

  get length() {
    return this.at.length;
  }

  get forms() {
    return this.at.map((i) => this.rows[i][FORM]);
  }

  form(word) {
    return word ? this.rows[this.at[word - 1]][FORM] : "root";
  }

  tag(word) {
    return this.rows[this.at[word - 1]][UPOS];
  }

  head(word) {
    const cell = this.rows[this.at[word - 1]][HEAD];
    return cell === "_" ? null : Number(cell);
  }

  label(word) {
    return this.rows[this.at[word - 1]][LABEL];
  }

  get text() {
    const line = this.comments.find((comment) => /^#\s*text\s*=/.test(comment));
    return line ? line.replace(/^#\s*text\s*=\s*/, "") : this.forms.join(" ");
  }

  /** Multiword tokens as [first word, last word, form]. */
  get tokens() {
    const place = new Map(this.at.map((i, k) => [this.rows[i][ID], k + 1]));
    return this.rows
      .filter((row) => row[ID].includes("-"))
      .map((row) => {
        const [first, last] = row[ID].split("-");
        return [place.get(first), place.get(last), row[FORM]];
      });
  }

  /** How sure the parser is of head and label together; null where it did not make them, or a person changed them. */
  certainty(word) {
    if (!this.sure || this.corrected(word)) return null;
    return this.sure.heads[word - 1] * this.sure.labels[word - 1];
  }

  corrected(word) {
    const [, head, label] = this.first[word - 1];
    const row = this.rows[this.at[word - 1]];
    return this.sure !== null && (row[HEAD] !== head || row[LABEL] !== label);
  }

  doubted(word, threshold) {
    const certainty = this.certainty(word);
    return !this.checked && certainty !== null && certainty < threshold;
  }

  doubts(threshold) {
    return this.at.map((_, k) => k + 1).filter((word) => this.doubted(word, threshold));
  }

  changes() {
    return this.at.filter((_, k) => this.corrected(k + 1)).length;
  }

  /** Other heads that the parser thought of, as [head, probability]. */
  others(word) {
    if (!this.sure) return [];
    const first = [Number(this.first[word - 1][1]), this.sure.heads[word - 1]];
    const all = [first, ...this.sure.others[word - 1]];
    return all.filter(([head]) => head !== this.head(word));
  }

  setHead(word, head) {
    const label = head === 0 ? "root" : this.label(word) === "root" || this.label(word) === "_" ? "dep" : this.label(word);
    this.#write(word, this.tag(word), String(head), label);
  }

  setLabel(word, label) {
    this.#write(word, this.tag(word), this.rows[this.at[word - 1]][HEAD], label);
  }

  setTag(word, tag) {
    this.#write(word, tag, this.rows[this.at[word - 1]][HEAD], this.label(word));
  }

  #write(word, tag, head, label) {
    const row = this.rows[this.at[word - 1]];
    this.undone.push([word, row[UPOS], row[HEAD], row[LABEL]]);
    [row[UPOS], row[HEAD], row[LABEL]] = [tag, head, label];
    if (this.problems().length) this.checked = false;
  }

  /** Takes the last change back; returns its word, 0 where there is none. */
  undo() {
    const last = this.undone.pop();
    if (!last) return 0;
    const row = this.rows[this.at[last[0] - 1]];
    [row[UPOS], row[HEAD], row[LABEL]] = last.slice(1);
    return last[0];
  }

  /** Why this is no tree yet, in words; empty where it is one. */
  problems() {
    const words = this.at.map((_, k) => k + 1);
    const name = (word) => `${word} ${this.form(word)}`;
    const found = [];
    const bare = words.filter((word) => this.head(word) === null);
    if (bare.length) found.push(`no head yet: ${bare.map(name).join(", ")}`);
    const roots = words.filter((word) => this.head(word) === 0);
    if (roots.length > 1) found.push(`more than one root: ${roots.map(name).join(", ")}`);
    if (!roots.length && !bare.length) found.push("no word is the root");
    const cycle = this.#cycle(words);
    if (cycle.length) found.push(`a circle: ${[...cycle, cycle[0]].map(name).join(" → ")}`);
    for (const word of words) {
      const fault = this.head(word) === null ? "" : labelFault(this.label(word), this.head(word));
      if (fault) found.push(`${name(word)}: ${fault}`);
    }
    return found;
  }

  #cycle(words) {
    const done = new Set();
    for (const start of words) {
      const path = [];
      let word = start;
      while (word && !done.has(word)) {
        if (path.includes(word)) return path.slice(path.indexOf(word));
        path.push(word);
        word = this.head(word);
      }
      path.forEach((each) => done.add(each));
    }
    return [];
  }

  conllu() {
    return [...this.comments, ...this.rows.map((row) => row.join("\t")), "", ""].join("\n");
  }

  toJSON() {
    const { comments, rows, rtl, sure, first, checked, parser } = this;
    return { comments, rows, rtl, sure, first, checked, parser };
  }
}

/** What is wrong with a label on an arc from that head (null: whichever), in words; empty where nothing is. */
export function labelFault(label, head = null) {
  if (!label || label === "_") return "no relation yet";
  if (/\s/.test(label)) return "a relation has no spaces";
  if (!(base(label) in RELATIONS)) return `${base(label)} is not one of the universal relations`;
  if (head === 0 && label !== "root") return "the root's relation is root";
  if (head && label === "root") return "only the root's relation is root";
  return "";
}
