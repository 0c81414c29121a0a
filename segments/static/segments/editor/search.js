// Finding filters by the words that staff use for them.

import { fold, likeness } from "./dom.js";

const NEGATIONS = new Set(
  "not no never without isnt arent dont doesnt didnt hasnt havent except exclude excluding".split(" "),
);
const FILLERS = new Set(
  "a an the of in on at by for from with who have has had is are was were be been do does to and or their they any least last days customers people".split(
    " ",
  ),
);
const LEAST_LIKENESS = 0.4;
const NEAREST = 3;
// What a typed word counts in each place, and what all of them count as one name, with and without “not” and “of”.
const WEIGHTS = { label: 10, synonyms: 8, segment: 6, help: 1, whole: 10, bare: 5 };

/** Split a text into folded words. “e-mail” is also “email”. */
function words(text) {
  return fold(text)
    .replace(/['’.]/g, "")
    .split(/[\s,:;/()“”]+/)
    .flatMap((word) => (word.includes("-") ? [word.replaceAll("-", ""), ...word.split("-")] : [word]))
    .filter(Boolean);
}

const phrases = (text) => text.split(",").map((one) => one.trim());

/** Return the entries of the catalogue: filters, common questions, and segments. */
export function catalogue({ filters, segments }) {
  const entries = filters.flatMap((filter) => [
    entry(filter, filter.label, filter.synonyms, filter.help),
    ...filter.presets.map((preset) => ({
      ...entry(filter, preset.label, preset.synonyms, ""),
      params: preset.parameters,
      isNegated: preset.is_negated,
    })),
  ]);
  const inSegment = filters.find((filter) => filter.name === "in_segment");
  const members = segments.map((one) => ({
    ...entry(inSegment, `${inSegment.label}: ${one.name}`, "", ""),
    params: { is: one.slug },
    indexed: words(one.name).map((word) => [word, WEIGHTS.segment]),
  }));
  return [...entries, ...(inSegment ? members : [])];
}

function entry(filter, label, synonyms, help) {
  const indexed = [
    ...words(label).map((word) => [word, WEIGHTS.label]),
    ...phrases(synonyms).flatMap((phrase, place) =>
      words(phrase).map((word) => [word, WEIGHTS.synonyms - place / 20]),
    ),
    ...words(help).map((word) => [word, WEIGHTS.help]),
  ];
  const whole = new Set([label, ...phrases(synonyms)].map((phrase) => words(phrase).join(" ")));
  return { filter, label, help: help.split("\n")[0], params: null, isNegated: false, indexed, whole };
}

/** Return how well a typed word fits a word of an entry, from 0 to 1. Descriptions need its beginning. */
function fit(typed, word, weight = WEIGHTS.label) {
  if (typed === word) return 1;
  if (typed.length > 1 && word.startsWith(typed)) return 0.8;
  if (weight === WEIGHTS.help) return 0;
  if (word.length > 3 && typed.startsWith(word)) return 0.6;
  let same = 0;
  while (same < typed.length && typed[same] === word[same]) same++;
  return same > 5 && same >= Math.max(typed.length, word.length) - 3 ? 0.5 : 0;
}

/**
 * Find entries. Returns {found, notes, isNearest}: the entries, the best one first, what is said of words that no filter
 * asks about, and whether the entries only look like what was typed. A negation in the words negates the entries.
 */
export function search(entries, unrecorded, text) {
  const typed = words(text);
  const isNegated = typed.some((word) => NEGATIONS.has(word));
  const bare = typed.filter((word) => !NEGATIONS.has(word) && !FILLERS.has(word));
  const asked = bare.length ? bare : typed;
  const notes = unrecorded.filter(({ words: listed }) =>
    phrases(listed).some((phrase) =>
      words(phrase).every((word) => typed.some((one) => fit(one, word) >= 0.6 && one.length > 3)),
    ),
  );
  let found = ranked(entries, asked, typed);
  if (notes.length) found = found.filter((one) => asked.some((word) => isOwnWord(one, word)));
  const isNearest = !found.length && !notes.length;
  if (isNearest) found = nearest(entries, asked);
  const known = new Set(found.map((one) => one.label));
  const near = notes
    .flatMap((note) => note.nearest)
    .map((name) => entries.find((one) => one.filter.name === name));
  found = [...found, ...near.filter((one) => one && !known.has(one.label))];
  return { found: isNegated ? found.flatMap((one) => negated(one, typed)) : found, notes, isNearest };
}

function ranked(entries, asked, typed) {
  const scored = entries.map((one) => {
    const fits = asked.map((word) =>
      Math.max(0, ...one.indexed.map(([indexed, weight]) => weight * fit(word, indexed, weight))),
    );
    const whole = one.whole.has(typed.join(" ")) ? WEIGHTS.whole : 0;
    const bare = one.whole.has(asked.join(" ")) ? WEIGHTS.bare : 0;
    const score = fits.reduce((sum, each) => sum + each, Math.max(whole, bare));
    return { one, score, matched: fits.filter(Boolean).length };
  });
  const most = Math.max(...scored.map((each) => each.matched));
  return scored
    .filter((each) => each.matched && each.matched === most)
    .sort((left, right) => right.score - left.score)
    .map((each) => each.one);
}

function nearest(entries, asked) {
  const text = asked.join(" ");
  return entries
    .map((one) => [Math.max(...one.indexed.map(([word]) => likeness(word, text))), one])
    .filter(([how]) => how >= LEAST_LIKENESS)
    .sort(([left], [right]) => right - left)
    .slice(0, NEAREST)
    .map(([, one]) => one);
}

/** Return an entry after its opposite, or alone if the negation is one of its own words, as in “Has never ordered”. */
function negated(one, typed) {
  if (typed.some((word) => NEGATIONS.has(word) && isOwnWord(one, word))) return [one];
  return [{ ...one, label: `Not: ${one.label}`, isNegated: !one.isNegated }, one];
}

/** Whether a word is in the label or the synonyms of an entry. */
function isOwnWord(one, word) {
  return one.indexed.some(([indexed, weight]) => indexed === word && weight > WEIGHTS.help);
}
