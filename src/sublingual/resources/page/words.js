// What relations and parts of speech of Universal Dependencies are called, for people who do not know them by heart.

export const RELATIONS = {
  acl: "clause that modifies a noun",
  advcl: "clause that modifies a predicate",
  advmod: "adverb that modifies",
  amod: "adjective that modifies",
  appos: "apposition",
  aux: "auxiliary",
  case: "adposition or case marker",
  cc: "coordinating conjunction",
  ccomp: "clause as object",
  clf: "classifier",
  compound: "part of a compound",
  conj: "further conjunct",
  cop: "copula",
  csubj: "clause as subject",
  dep: "not known which",
  det: "determiner",
  discourse: "interjection, particle of discourse",
  dislocated: "fronted or postposed element",
  expl: "expletive",
  fixed: "part of a fixed expression",
  flat: "part of a name or date",
  goeswith: "part of a word written apart",
  iobj: "indirect object",
  list: "item of a list",
  mark: "marker of a subordinate clause",
  nmod: "noun that modifies a noun",
  nsubj: "noun as subject",
  nummod: "numeral that modifies",
  obj: "object",
  obl: "oblique: noun that modifies a predicate",
  orphan: "dependent of something left out",
  parataxis: "clause beside, without a link",
  punct: "punctuation",
  reparandum: "what was corrected in speech",
  root: "root of the sentence",
  vocative: "person spoken to",
  xcomp: "clause without a subject of its own",
};

export const TAGS = {
  ADJ: "adjective",
  ADP: "adposition",
  ADV: "adverb",
  AUX: "auxiliary",
  CCONJ: "coordinating conjunction",
  DET: "determiner",
  INTJ: "interjection",
  NOUN: "noun",
  NUM: "numeral",
  PART: "particle",
  PRON: "pronoun",
  PROPN: "proper noun",
  PUNCT: "punctuation",
  SCONJ: "subordinating conjunction",
  SYM: "symbol",
  VERB: "verb",
  X: "other",
};

export const base = (label) => label.split(":")[0];

export function relations(known) {
  const names = new Set([...Object.keys(RELATIONS), ...known]);
  return [...names].map((value) => ({ value, gloss: RELATIONS[value] ?? `kind of ${base(value)}` }));
}

export const tags = () => Object.entries(TAGS).map(([value, gloss]) => ({ value, gloss }));
