// The parameters of a condition as fields in a sentence, created from the JSON Schema of its filter.

import { el, icon, iconButton, select } from "./dom.js";
import { drawValue } from "./inputs.js";
import { exclusive, kindOf, sorted, startOf } from "./schema.js";

const WORDS = {
  is: "is",
  is_not: "is not",
  in: "is one of",
  not_in: "is none of",
  contains: "contains",
  starts_with: "starts with",
  has: "has",
  has_any: "has any of",
  has_all: "has all of",
  at_least: "at least",
  more_than: "more than",
  at_most: "at most",
  less_than: "less than",
  between: "between",
  within_last: "in the last",
  not_within_last: "longer ago than",
  within_next: "in the next",
  before: "before",
  on_or_after: "on or after",
  above: "above the",
  below: "below the",
  top_percent: "in the top",
  bottom_percent: "in the bottom",
};
// The opposites of operators that the rule language has no word for: the condition is written in `none`.
const OPPOSITES = {
  contains: "does not contain",
  starts_with: "does not start with",
  has: "does not have",
  has_any: "has none of",
  has_all: "does not have all of",
};
const COMPLEMENTS = { is: "is_not", is_not: "is", in: "not_in", not_in: "in" };
// The verbs of a condition that is asked for a later instant.
const FUTURE = { is: "will be", "is not": "will not be" };
// Of exclusive parameters, such as “in” and “entered”, one is chosen, or none.
const NONE = "now";
const CHOICES = { in: "in the future, in", entered: "who entered" };
// Operators with true or false are shown as two options.
const PAIRS = { exists: ["is given", "is missing"], ever: ["ever", "never"] };
const POPULATION = ["above", "below", "top_percent", "bottom_percent"];
const NAMES = {
  during: "during",
  product: "of a product whose",
  coupon: "with a coupon that",
  where: "whose",
  value: "worth",
  older_than: "unchanged for",
  and_not_bought: "and has not bought it",
  entered: "entered",
  in: "in",
  salt: "salt",
  event: "event",
  name: "name",
  property: "property",
};
const UNLABELLED = ["is", "has", "between", "during"];
const ADDS = {
  during: "period",
  product: "product",
  coupon: "coupon",
  where: "property",
  value: "value",
  older_than: "unchanged for",
  and_not_bought: "not bought",
};

/** Return the elements for the parameters of a condition. `scene` has the condition and the callbacks for changes. */
export function drawParams(schema, params, path, scene) {
  const { words, needed, optional } = sorted(schema);
  const [first] = needed;
  const rivals = exclusive(schema);
  const isFlag = Boolean(scene.node) && first === "is" && kindOf(schema.properties.is) === "flag";
  const inner = { ...scene, node: null }; // only the operator of the condition itself has an opposite
  const parts = [];
  if (scene.node && !words.length) parts.push(drawVerbs(scene, isFlag ? params : null, "in" in params));
  for (const name of needed)
    if (!isFlag && kindOf(schema.properties[name]) !== "rule")
      parts.push(drawNamed(name, schema.properties[name], params, path, inner, words.length > 0));
  if (words.length) parts.push(drawWords(words, schema, params, path, scene));
  if (rivals.length) parts.push(drawExclusive(rivals, schema, params, path, inner));
  const others = optional.filter((name) => !rivals.includes(name));
  for (const name of others)
    if (name in params) parts.push(drawOptional(name, schema.properties[name], params, path, inner));
  const adds = others.filter((name) => !(name in params));
  if (adds.length)
    parts.push(
      el(
        "span",
        { class: "rule-adds" },
        adds.map((name) => addButton(name, schema, params, path, scene)),
      ),
    );
  return parts;
}

/** Return the choice between a condition and its opposite. With `flags`, it also stands for their `is`. */
function drawVerbs(scene, flags, isFuture) {
  const isOpposite = scene.node.isNegated !== (flags?.is === false);
  const choose = (wanted) => {
    if (wanted === isOpposite) return;
    scene.node.isNegated = wanted;
    if (flags) flags.is = true;
    scene.changed({ isStructure: true });
  };
  return el(
    "span",
    { class: "rule-verbs", role: "group", "aria-label": `${scene.label}: ${scene.verbs.join(" or ")}` },
    scene.verbs.map((verb, place) =>
      el(
        "button",
        {
          type: "button",
          class: "rule-verb",
          "aria-pressed": String(Boolean(place) === isOpposite),
          data: { key: `${scene.key}verb:${place}` },
          onclick: () => choose(Boolean(place)),
        },
        (isFuture && FUTURE[verb]) || verb,
      ),
    ),
  );
}

/** Return the choice between parameters of which at most one is given, with the value of the one that is. */
function drawExclusive(names, schema, params, path, scene) {
  const given = names.find((name) => name in params);
  const choose = (chosen) => {
    for (const name of names) delete params[name];
    if (chosen) params[chosen] = startOf(schema.properties[chosen]);
    scene.changed({ isStructure: true, within: chosen && `${path}.${chosen}` });
  };
  return el(
    "span",
    { class: "rule-words" },
    select(
      [["", NONE], ...names.map((name) => [name, CHOICES[name] ?? NAMES[name] ?? name])],
      given ?? "",
      choose,
      {
        "aria-label": `${scene.label}: when`,
        data: { key: `${scene.key}${path}:exclusive` },
      },
    ),
    given &&
      drawValue(
        given,
        schema.properties[given],
        params,
        `${path}.${given}`,
        scene,
        `${scene.label}, ${NAMES[given] ?? given}`,
      ),
  );
}

// -- Operators, of which one is chosen. The key of an option is the operator, with its value if that is fixed, as in
// “ever:true”, and with “!” before it if the condition is negated.

function drawWords(words, schema, params, path, scene) {
  const shown = (one) => WORDS[one] ?? one.replaceAll("_", " ");
  const options = words.flatMap((one) =>
    PAIRS[one]
      ? [
          [`${one}:true`, PAIRS[one][0]],
          [`${one}:false`, PAIRS[one][1]],
        ]
      : [[one, shown(one)]],
  );
  const opposites = words
    .filter((one) => !PAIRS[one] && !words.includes(COMPLEMENTS[one]))
    .map((one) => [`!${one}`, OPPOSITES[one] ?? `not ${shown(one)}`]);
  if (scene.node) options.push({ label: "The opposite", options: opposites });
  const word = words.find((one) => one in params) ?? words[0];
  const choose = (option) => {
    const isNegated = option.startsWith("!");
    const [next, fixed] = option.replace("!", "").split(":");
    const before = params[word];
    for (const one of words) delete params[one];
    const isAlike = JSON.stringify(schema.properties[word]) === JSON.stringify(schema.properties[next]);
    params[next] = fixed ? fixed === "true" : isAlike ? before : startOf(schema.properties[next]);
    if (scene.node) scene.node.isNegated = isNegated;
    scene.changed({ isStructure: true });
  };
  const parts = [
    select(options, optionOf(word, words, params, scene), choose, {
      "aria-label": `${scene.label}: comparison`,
      data: { key: `${scene.key}${path}:word` },
    }),
  ];
  if (!PAIRS[word])
    parts.push(
      drawValue(
        word,
        schema.properties[word],
        params,
        `${path}.${word}`,
        { ...scene, node: null },
        `${scene.label}: ${shown(word)}`,
      ),
    );
  if (POPULATION.includes(word)) parts.push(el("span", { class: "rule-name" }, "of customers who bought"));
  return el("span", { class: "rule-words" }, parts);
}

/** Return the option for the stored operator. A negated one is shown as its complement if that is an operator. */
function optionOf(word, words, params, scene) {
  const isNegated = Boolean(scene.node?.isNegated);
  if (PAIRS[word]) return `${word}:${(params[word] !== false) !== isNegated}`;
  if (!isNegated) return word;
  return words.includes(COMPLEMENTS[word]) ? COMPLEMENTS[word] : `!${word}`;
}

// -- Named parameters

function drawNamed(name, schema, params, path, scene, isBeforeWords) {
  const shown = UNLABELLED.includes(name) ? "" : (NAMES[name] ?? WORDS[name] ?? name.replaceAll("_", " "));
  const value = drawValue(name, schema, params, `${path}.${name}`, scene, `${scene.label}: ${shown || name}`);
  return el(
    "span",
    { class: "rule-named" },
    shown && !(isBeforeWords && name === "name") ? el("span", { class: "rule-name" }, shown) : "",
    value,
  );
}

function drawOptional(name, schema, params, path, scene) {
  const shown = NAMES[name] ?? WORDS[name] ?? name.replaceAll("_", " ");
  const removal = iconButton("close", `Remove ${ADDS[name] ?? shown}`, () => {
    delete params[name];
    scene.changed({ isStructure: true, focus: `${scene.key}${path}:add-${name}` });
  });
  const isFlag = kindOf(schema) === "flag" && params[name] === true;
  const value = isFlag
    ? ""
    : drawValue(name, schema, params, `${path}.${name}`, scene, `${scene.label}, ${shown}`);
  const hasParts =
    schema.type === "object" && sorted(schema).words.length !== Object.keys(schema.properties).length;
  return el(
    "span",
    { class: "rule-optional" },
    UNLABELLED.includes(name) ? "" : el("span", { class: "rule-name" }, shown),
    hasParts ? [removal, value] : [value, removal],
  );
}

function addButton(name, schema, params, path, scene) {
  const label = ADDS[name] ?? name.replaceAll("_", " ");
  return el(
    "button",
    {
      type: "button",
      class: "rule-add",
      "aria-label": `${scene.label}: add ${label}`,
      data: { key: `${scene.key}${path}:add-${name}` },
      onclick: () => {
        params[name] = startOf(schema.properties[name]);
        scene.changed({ isStructure: true, within: `${path}.${name}` });
      },
    },
    icon("add"),
    label,
  );
}
