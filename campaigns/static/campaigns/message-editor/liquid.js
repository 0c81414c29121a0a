// Values and conditions in Liquid, and the words in which staff see them.

const TOKEN = /\{\{.*?\}\}|\{%.*?%\}/gs;
const VALUE = /^\{\{-?\s*(.*?)\s*-?\}\}$/s;
const TAG = /^\{%-?\s*(.*?)\s*-?%\}$/s;
const PATH = /^("now"|'now'|[A-Za-z_][\w.-]*(?:\[\d+\][\w.]*)*)$/;
const QUIET_FILTERS = ["default", "date", "money", "newline_to_br", "escape", "url_encode"];
const OPEN = "\ue000"; // characters without a meaning, around the number of a token
const CLOSE = "\ue001";
const PLACEHOLDER = /\ue000(\d+)\ue001/;

/** Split a text into pieces: `{ text }` or `{ token }`. */
export function split(source) {
  const pieces = [];
  let end = 0;
  for (const found of source.matchAll(TOKEN)) {
    if (found.index > end) pieces.push({ text: source.slice(end, found.index) });
    pieces.push({ token: found[0] });
    end = found.index + found[0].length;
  }
  if (end < source.length) pieces.push({ text: source.slice(end) });
  return pieces;
}

/** Replace the tokens by placeholders, so that the rest can be parsed as HTML. */
export function mask(source) {
  const tokens = [];
  const masked = source.replaceAll(/[\ue000\ue001]/g, "").replaceAll(TOKEN, (token) => {
    tokens.push(token);
    return `${OPEN}${tokens.length - 1}${CLOSE}`;
  });
  return { masked, tokens };
}

export function unmask(masked, tokens) {
  return masked.replaceAll(new RegExp(PLACEHOLDER, "g"), (_, number) => tokens[number]);
}

/** Split a masked text into pieces: `{ text }` or `{ token }`. */
export function splitMasked(masked, tokens) {
  return masked
    .split(new RegExp(PLACEHOLDER))
    .map((part, place) => (place % 2 ? { token: tokens[part] } : { text: part }))
    .filter(({ text, token }) => token || text);
}

/** Return the path, the filters and the fallback of a printed value; null for anything else. */
export function parseValue(token) {
  const inner = VALUE.exec(token)?.[1];
  if (inner === undefined) return null;
  const [path, ...filters] = splitFilters(inner);
  if (!PATH.test(path)) return null;
  const fallbacks = filters.map((filter) => /^default:\s*(["'])(.*)\1$/s.exec(filter)?.[2]);
  return {
    path: path.replaceAll("'", '"'),
    filters: filters.filter((_, place) => fallbacks[place] === undefined),
    fallback: fallbacks.find((fallback) => fallback !== undefined) ?? "",
  };
}

export function writeValue({ path, filters = [], fallback = "" }) {
  const fallbacks = fallback ? [`default: ${quote(fallback)}`] : [];
  // The fallback comes first, because no filter takes a value that is missing.
  return `{{ ${[path, ...fallbacks, ...filters].join(" | ")} }}`;
}

/** Return the words for a token: "first name, else: there". */
export function describe(token, values) {
  const value = parseValue(token);
  if (!value) {
    const tag = TAG.exec(token)?.[1];
    return tag === undefined ? token.replaceAll(/[{}]/g, "").trim() : tag.replace(/^end(\w)/, "end $1");
  }
  const more = value.filters.filter((filter) => !QUIET_FILTERS.includes(filter.split(":")[0].trim()));
  const words = [nameOf(value.path, values), ...more.map((filter) => `(${filter})`)].join(" ");
  return value.fallback ? `${words}, else: ${value.fallback}` : words;
}

/** Return the declared value of a path, if there is one. */
export function declaredValue(path, values) {
  return values.find((one) => (one.is_open ? path.startsWith(one.path) : one.path === path));
}

function nameOf(path, values) {
  const plain = path.replace(/^customer\./, "");
  const known = declaredValue(plain, values);
  if (!known) return plain.replaceAll(/[._]/g, " ");
  const label = known.label.charAt(0).toLowerCase() + known.label.slice(1);
  return known.is_open ? `${label.replace(/ …$/, "")} “${plain.slice(known.path.length)}”` : label;
}

function splitFilters(inner) {
  const parts = [""];
  let quoted = "";
  for (const sign of inner) {
    if (quoted ? sign === quoted : sign === '"' || sign === "'") quoted = quoted ? "" : sign;
    if (sign === "|" && !quoted) parts.push("");
    else parts[parts.length - 1] += sign;
  }
  return parts.map((part) => part.trim());
}

function quote(text) {
  const plain = text.replaceAll(/[{}\n\r]/g, "");
  if (!plain.includes('"')) return `"${plain}"`;
  return plain.includes("'") ? `"${plain.replaceAll('"', "”")}"` : `'${plain}'`;
}
