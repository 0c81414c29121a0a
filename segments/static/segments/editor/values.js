// The values that the shop's records have, with how many customers have each: for suggestions and for notes.

import { fold, likeness, number } from "./dom.js";
import * as places from "./places.js";

const LEAST_LIKENESS = 0.4;
const NEAREST = 3;
const PLACES_AT_MOST = 300; // as many as the server returns; with fewer, they are all that the shop has
const SHOWN = 20;
const CHECKED_AT_MOST = 20;

export class ShopValues {
  constructor(urls) {
    this.urls = urls;
    this.places = {};
    this.loading = {};
    this.checked = new Map();
  }

  async fetch(url, query) {
    try {
      const response = await fetch(`${url}?${new URLSearchParams(query)}`);
      return response.ok && !response.redirected ? await response.json() : {};
    } catch {
      return {}; // suggestions are optional: the input accepts any value
    }
  }

  /** Load the countries or languages of the shop, once. */
  load(kind) {
    this.loading[kind] ??= this.fetch(this.urls.suggestions, { of: kind }).then(({ values = [] }) => {
      this.places[kind] = values;
    });
    return this.loading[kind];
  }

  /** Return the options for what is typed: {value, label, note}. */
  async suggest(kind, typed, name) {
    if (places.isPlace(kind)) {
      await this.load(kind);
      return this.suggestPlaces(kind, fold(typed.trim()));
    }
    const { values = [] } = await this.fetch(this.urls.suggestions, [
      ["of", kind],
      ["q", typed],
      ["name", name],
    ]);
    return values.map((one) => option(kind, one));
  }

  suggestPlaces(kind, part) {
    const own = this.places[kind];
    const known = new Set(own.map((one) => places.codeOf(kind, one.value)));
    const others =
      part.length > 2 && this.writesCodes(kind)
        ? places.allCodes(kind).filter((code) => !known.has(code))
        : [];
    return [...own, ...others.map((value) => ({ value, customers: 0 }))]
      .map((one) => [places.fit(kind, one.value, part), one])
      .filter(([how]) => how)
      .sort(([one], [other]) => other - one)
      .slice(0, SHOWN)
      .map(([, one]) => option(kind, one));
  }

  writesCodes(kind) {
    const values = this.places[kind] ?? [];
    return values.filter((one) => places.isCode(kind, one.value)).length * 2 >= values.length;
  }

  /** Return the value for what somebody typed: a country's name becomes what the shop writes for it. */
  resolve(kind, typed) {
    const text = typed.trim();
    if (!text || !places.isPlace(kind)) return text;
    const values = this.places[kind] ?? [];
    const same = values.find((one) => fold(one.value) === fold(text));
    if (same) return same.value;
    const code = places.codeOf(kind, text);
    const alike = code && values.find((one) => places.codeOf(kind, one.value) === code);
    if (alike) return alike.value;
    return code && this.writesCodes(kind) ? code : text;
  }

  /** Return those of the values that no record has, each with the options most like it, as [value, options]. */
  async unknown(kind, values, name) {
    const asked = values.filter(Boolean).slice(0, CHECKED_AT_MOST);
    if (places.isPlace(kind)) {
      await this.load(kind);
      return asked.flatMap((value) => this.unknownPlace(kind, value));
    }
    const key = (value) => JSON.stringify([kind, name, value]);
    const missing = asked.filter((value) => !this.checked.has(key(value)));
    if (missing.length) {
      const query = [["of", kind], ["name", name], ...missing.map((value) => ["value", value])];
      const request = this.fetch(this.urls.unknown_values, query);
      for (const value of missing) this.checked.set(key(value), request);
    }
    const found = await Promise.all(
      asked.map(async (value) => [value, (await this.checked.get(key(value))).unknown?.[value]]),
    );
    return found
      .filter(([, nearest]) => nearest)
      .map(([value, nearest]) => [value, nearest.map((one) => option(kind, one))]);
  }

  unknownPlace(kind, value) {
    const all = this.places[kind];
    if (!all.length || all.length >= PLACES_AT_MOST || all.some((one) => fold(one.value) === fold(value)))
      return [];
    const shown = (one) => fold(places.nameOf(kind, one));
    const like = (one) => likeness(shown(one.value), shown(value));
    const nearest = all
      .map((one) => [like(one), one])
      .filter(([how]) => how >= LEAST_LIKENESS)
      .sort(([one], [other]) => other - one)
      .slice(0, NEAREST);
    return [[value, nearest.map(([, one]) => option(kind, one))]];
  }
}

function option(kind, { value, customers }) {
  const label = places.nameOf(kind, value);
  const counted =
    customers === null ? "" : `${number.format(customers)} ${customers === 1 ? "customer" : "customers"}`;
  return { value, label, note: label === value ? counted : [value, counted].filter(Boolean).join(" · ") };
}
