// Names of countries and languages, in the languages of the browser.

import { fold } from "./dom.js";

// Staff also find a country by its name in these languages.
const ALSO = ["en", "fr", "it", "es", "de"];
const NOT_COUNTRIES = new Set(["AC", "CP", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"]);
const TYPES = { country: "region", language: "language" };
const FORMS = { country: /^[a-z]{2}$/i, language: /^[a-z]{2,3}([-_][a-z]{2,4})?$/i };
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

const namers = {};
const codes = {};

/** Whether values of a kind are known by a name. */
export const isPlace = (kind) => kind in TYPES;

function namersOf(kind) {
  namers[kind] ??= [[...navigator.languages], ...ALSO].map(
    (languages) => new Intl.DisplayNames(languages, { type: TYPES[kind], fallback: "none" }),
  );
  return namers[kind];
}

function namesOfCode(kind, code) {
  if (!FORMS[kind].test(code)) return [];
  const written = kind === "country" ? code.toUpperCase() : code.replace("_", "-");
  try {
    return namersOf(kind)
      .map((namer) => namer.of(written))
      .filter(Boolean);
  } catch {
    return []; // not the form of a code
  }
}

/** Whether a code is that of a country or language, and not an old one, as DD for DE. */
function isCurrent(kind, code) {
  const tag = kind === "country" ? `und-${code}` : code;
  return !(kind === "country" && NOT_COUNTRIES.has(code)) && Intl.getCanonicalLocales(tag)[0] === tag;
}

/** Return the codes by their folded names. */
function codesOf(kind) {
  if (!codes[kind]) {
    codes[kind] = new Map();
    for (const first of LETTERS)
      for (const second of LETTERS) {
        const code = kind === "country" ? (first + second).toUpperCase() : first + second;
        if (!isCurrent(kind, code)) continue;
        for (const name of namesOfCode(kind, code))
          if (!codes[kind].has(fold(name))) codes[kind].set(fold(name), code);
      }
  }
  return codes[kind];
}

/** Whether a value is a code, and not a name. */
export const isCode = (kind, value) => namesOfCode(kind, value).length > 0;

/** Return the name of a country or language in the browser's language; any other value is its own name. */
export function nameOf(kind, value) {
  const code = isPlace(kind) && codeOf(kind, value);
  return (code && namesOfCode(kind, code)[0]) || value;
}

/** Return the texts by which a value is found: the value and its names, folded. */
export function namesOf(kind, value) {
  const code = codeOf(kind, value);
  return [value, ...(code ? namesOfCode(kind, code) : [])].map(fold);
}

/** Return the code of a country or language from its name or code, or undefined. */
export function codeOf(kind, text) {
  const found = codesOf(kind).get(fold(text.trim()));
  if (found) return found;
  if (!namesOfCode(kind, text.trim()).length) return undefined;
  return kind === "country" ? text.trim().toUpperCase() : text.trim().toLowerCase();
}

/** Return how well a value fits the folded beginning or part of a name: 2, 1 or 0. Parts count in the browser's language. */
export function fit(kind, value, part) {
  if (namesOf(kind, value).some((name) => name.startsWith(part))) return 2;
  return fold(nameOf(kind, value)).includes(part) ? 1 : 0;
}

/** Return all codes of a kind. */
export const allCodes = (kind) => [...new Set(codesOf(kind).values())];
