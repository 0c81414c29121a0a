// The inputs of a condition, created from the JSON Schema of its filter's parameters.

import { el, icon, iconButton, select } from "./dom.js";

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
  top_percent: "in the top %",
  bottom_percent: "in the bottom %",
};
// Operators with true or false are shown as two options.
const PAIRS = { exists: ["is given", "is missing"], ever: ["ever", "never"] };
const NAMES = {
  during: "during",
  product: "of a product whose",
  coupon: "with a coupon that",
  where: "whose",
  value: "worth",
  older_than: "unchanged for",
  and_not_bought: "and has not bought it",
  entered: "entered",
  salt: "salt",
  event: "event",
  name: "name",
  property: "property",
};
const ADDS = {
  during: "period",
  product: "product",
  coupon: "coupon",
  where: "property",
  value: "value",
  older_than: "unchanged for",
  and_not_bought: "not bought",
  entered: "since when",
};
const UNITS = { m: "minutes", h: "hours", d: "days", w: "weeks" };
const SUGGESTED = ["country", "city", "language", "source"];
const SUGGESTED_PARTS = ["sku", "name", "category", "brand"];

/** Return the elements for the parameters of a condition. `scene` has the callbacks for changes. */
export function drawParams(schema, params, path, scene) {
  const { words, needed, optional } = sorted(schema);
  const parts = [];
  for (const name of needed)
    parts.push(drawNamed(name, schema.properties[name], params, path, scene, words.length > 0));
  if (words.length) parts.push(drawWords(words, schema, params, path, scene));
  for (const name of optional)
    if (name in params) parts.push(drawOptional(name, schema.properties[name], params, path, scene));
  const adds = optional.filter((name) => !(name in params));
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

/** Return the parameters of a new condition: the operators of the filter's example, without optional parameters. */
export function startingParams(schema, example) {
  const { words, needed, optional } = sorted(schema);
  const kept = [
    ...needed,
    ...words,
    ...optional.filter((name) => name === "event" || (name === "product" && !words.length)),
  ];
  const given = Object.entries(example);
  const first = given.filter(([name]) => kept.includes(name));
  return Object.fromEntries(
    (first.length ? first : given).map(([name, value]) => [name, cleared(schema.properties[name], value)]),
  );
}

/** Return a value of the example without its texts, which are never what somebody wants. */
function cleared(schema, value) {
  if (schema.type === "object")
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, cleared(schema.properties[name], one)]),
    );
  const kind = kindOf(schema);
  return kind === "text" || kind === "texts" || kind === "either" || kind === "segment"
    ? startOf(schema)
    : value;
}

/** Sort the parameters into operators, of which one is chosen, required parameters, and optional ones. */
function sorted(schema) {
  const names = Object.keys(schema.properties);
  const required = schema.required ?? [];
  let words = [];
  if (schema.oneOf) words = schema.oneOf.map((one) => one.required[0]);
  else if (schema.maxProperties === 1) words = names;
  else if (schema.maxProperties === required.length + 1)
    words = names.filter((name) => !required.includes(name));
  const needed = required.filter((name) => !words.includes(name));
  return { words, needed, optional: names.filter((name) => !words.includes(name) && !needed.includes(name)) };
}

function kindOf(schema) {
  if (schema.anyOf) return "either";
  if (schema.enum) return "choice";
  switch (schema.type) {
    case "boolean":
      return "flag";
    case "integer":
    case "number":
      return "number";
    case "object":
      return "object";
    case "array":
      return schema.items.format === "date" ? "dates" : schema.items.type === "string" ? "texts" : "numbers";
  }
  if (schema.format === "date") return "date";
  if (schema.examples) return "span";
  return schema.pattern ? "segment" : "text";
}

function startOf(schema) {
  const today = new Date();
  const day = (ago) => new Date(today - ago * 864e5).toISOString().slice(0, 10);
  switch (kindOf(schema)) {
    case "either":
      return startOf(schema.anyOf[0]);
    case "choice":
      return schema.enum[0];
    case "flag":
      return true;
    case "number":
      return 1;
    case "numbers":
      return [0, 10];
    case "date":
      return day(0);
    case "dates":
      return [day(30), day(0)];
    case "texts":
      return [];
    case "span":
      return "30d";
    case "object": {
      const { words, needed } = sorted(schema);
      const chosen = [
        ...needed,
        ...(words.length ? [words.includes("within_last") ? "within_last" : words[0]] : []),
      ];
      const names = chosen.length ? chosen : [Object.keys(schema.properties).at(-1)];
      return Object.fromEntries(names.map((name) => [name, startOf(schema.properties[name])]));
    }
    default:
      return "";
  }
}

// -- Operators, of which one is chosen

function drawWords(words, schema, params, path, scene) {
  const options = words.flatMap((one) =>
    PAIRS[one]
      ? [
          [`${one}:true`, PAIRS[one][0]],
          [`${one}:false`, PAIRS[one][1]],
        ]
      : [[one, WORDS[one] ?? one.replaceAll("_", " ")]],
  );
  const word = words.find((one) => one in params) ?? words[0];
  const chosen = PAIRS[word] ? `${word}:${params[word] !== false}` : word;
  const choose = (option) => {
    const [next, fixed] = option.split(":");
    const before = params[word];
    for (const one of words) delete params[one];
    const isAlike = JSON.stringify(schema.properties[word]) === JSON.stringify(schema.properties[next]);
    params[next] = fixed ? fixed === "true" : isAlike ? before : startOf(schema.properties[next]);
    scene.changed({ isStructure: true });
  };
  const parts = [
    select(options, chosen, choose, {
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
        scene,
        `${scene.label}: ${WORDS[word] ?? word}`,
      ),
    );
  return el("span", { class: "rule-words" }, parts);
}

// -- Named parameters

function drawNamed(name, schema, params, path, scene, isBeforeWords) {
  const shown =
    name === "is" || name === "has" || name === "between"
      ? ""
      : (NAMES[name] ?? WORDS[name] ?? name.replaceAll("_", " "));
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
    el("span", { class: "rule-name" }, shown),
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

// -- Values

function drawValue(name, schema, owner, path, scene, label) {
  const common = { "aria-label": label, data: { path, key: `${scene.key}${path}` } };
  const set = (entered) => {
    owner[name] = entered;
    scene.changed({ key: path });
  };
  const value = owner[name];
  switch (kindOf(schema)) {
    case "object":
      return el(
        "span",
        { class: "rule-object", data: { path } },
        drawParams(schema, value, path, { ...scene, label }),
      );
    case "either":
      return drawEither(name, schema, owner, path, scene, label);
    case "flag":
      return select(
        [
          ["true", "yes"],
          ["false", "no"],
        ],
        String(value),
        (chosen) => set(chosen === "true"),
        common,
      );
    case "choice":
      return select(
        schema.enum.map((one) => [one, one]),
        value,
        set,
        common,
      );
    case "segment":
      return select(
        [["", "choose a segment"], ...scene.segments.map((one) => [one.slug, one.name])],
        value,
        set,
        common,
      );
    case "number":
      return numberInput(schema, value, set, common);
    case "numbers":
      return pair(value, (one, place) =>
        numberInput(schema.items, one, (next) => set(replaced(owner[name], place, next)), {
          ...common,
          "aria-label": `${label}: ${place ? "high" : "low"}`,
          data: { path, key: `${scene.key}${path}:${place}` },
        }),
      );
    case "date":
      return dateInput(value, set, common);
    case "dates":
      return pair(value, (one, place) =>
        dateInput(one, (next) => set(replaced(owner[name], place, next)), {
          ...common,
          "aria-label": `${label}: ${place ? "last" : "first"} day`,
          data: { path, key: `${scene.key}${path}:${place}` },
        }),
      );
    case "span":
      return spanInput(schema, value, set, common, label);
    case "texts":
      return tokens(name, owner, path, scene, label);
    default:
      return textInput(value, set, { ...common, ...suggesting(name, path, owner, scene) });
  }
}

function replaced(values, place, value) {
  return values.map((one, index) => (index === place ? value : one));
}

function pair(values, draw) {
  const both = Array.isArray(values) ? values : ["", ""];
  return el(
    "span",
    { class: "rule-pair" },
    draw(both[0], 0),
    el("span", { class: "rule-name" }, "and"),
    draw(both[1], 1),
  );
}

function numberInput(schema, value, set, attributes) {
  return el("input", {
    type: "number",
    step: schema.type === "integer" ? 1 : "any",
    class: "rule-input rule-number",
    value: value ?? "",
    ...attributes,
    oninput: (event) => set(event.target.value === "" ? null : Number(event.target.value)),
  });
}

function dateInput(value, set, attributes) {
  return el("input", {
    type: "date",
    class: "rule-input",
    value: value ?? "",
    ...attributes,
    oninput: (event) => set(event.target.value),
  });
}

function textInput(value, set, attributes) {
  return el("input", {
    type: "text",
    class: "rule-input",
    value: value ?? "",
    autocomplete: "off",
    ...attributes,
    oninput: (event) => set(event.target.value),
  });
}

function spanInput(schema, value, set, attributes, label) {
  const [, count, unit] = /^(\d*)([mhdw])$/.exec(value ?? "") ?? [null, "", "d"];
  const units = Object.entries(UNITS).filter(([letter]) => schema.pattern.includes(letter));
  const parts = { count, unit };
  const update = () => set(`${parts.count}${parts.unit}`);
  return el(
    "span",
    { class: "rule-span" },
    el("input", {
      type: "number",
      min: schema.examples.includes("0d") ? 0 : 1,
      step: 1,
      class: "rule-input rule-number",
      value: count,
      ...attributes,
      oninput: (event) => {
        parts.count = event.target.value;
        update();
      },
    }),
    select(
      units,
      unit,
      (chosen) => {
        parts.unit = chosen;
        update();
      },
      { "aria-label": `${label}: unit`, data: { key: `${attributes.data.key}:unit` } },
    ),
  );
}

/** Return the input for a value of one of two kinds: text or number, numbers or dates. */
function drawEither(name, schema, owner, path, scene, label) {
  const fits = (one, value) => {
    const sample = Array.isArray(value) ? value[0] : value;
    const isText = ["text", "date", "dates", "texts"].includes(kindOf(one));
    return isText === (typeof sample === "string");
  };
  const place = Math.max(
    0,
    schema.anyOf.findIndex((one) => fits(one, owner[name])),
  );
  const labels = { text: "text", number: "number", numbers: "numbers", dates: "dates" };
  const choose = (chosen) => {
    owner[name] = startOf(schema.anyOf[chosen]);
    scene.changed({ isStructure: true });
  };
  return el(
    "span",
    { class: "rule-span" },
    select(
      schema.anyOf.map((one, index) => [index, labels[kindOf(one)]]),
      place,
      choose,
      { "aria-label": `${label}: kind of value`, data: { key: `${scene.key}${path}:kind` } },
    ),
    drawValue(name, schema.anyOf[place], owner, path, scene, label),
  );
}

/** Return the input for a list of texts: a chip for each, which can be removed, and an input for the next one. */
function tokens(name, owner, path, scene, label) {
  const values = owner[name];
  const key = `${scene.key}${path}`;
  const addValues = (input) => {
    const given = input.value
      .split(/[,;\n]/)
      .map((one) => one.trim())
      .filter((one) => one && !values.includes(one));
    if (!given.length) return;
    owner[name] = [...values, ...given];
    scene.changed({ isStructure: true, focus: key });
  };
  const chips = values.map((value) =>
    el(
      "span",
      { class: "rule-chip" },
      value,
      iconButton("close", `Remove ${value}`, () => {
        owner[name] = values.filter((one) => one !== value);
        scene.changed({ isStructure: true, focus: key });
      }),
    ),
  );
  return el(
    "span",
    { class: "rule-tokens" },
    chips,
    el("input", {
      type: "text",
      class: "rule-input",
      autocomplete: "off",
      placeholder: values.length ? "add another" : "type a value, then press Enter",
      "aria-label": `${label}: add a value`,
      data: { path, key },
      ...suggesting(name, path, owner, scene),
      onkeydown: (event) => {
        if (event.key === "Enter" || (event.key === "," && event.target.value)) {
          event.preventDefault();
          addValues(event.target);
        } else if (event.key === "Backspace" && !event.target.value && values.length) {
          owner[name] = values.slice(0, -1);
          scene.changed({ isStructure: true, focus: key });
        }
      },
      onchange: (event) => addValues(event.target),
    }),
  );
}

// -- Suggestions

/** Return the attributes of an input that suggests values of the shop. */
function suggesting(name, path, owner, scene) {
  const of = suggestedKind(name, path, scene);
  if (!of) return {};
  const list = `values-${scene.key}${path}`.replace(/[^\w-]/g, "-");
  const ask = async (event) => {
    const found = await scene.suggest(of, event.target.value, owner.name ?? "");
    let options = document.getElementById(list);
    if (!options) {
      options = el("datalist", { id: list });
      event.target.after(options);
    }
    options.replaceChildren(...found.map((value) => el("option", { value })));
  };
  let timer;
  return {
    list,
    onfocus: ask,
    onkeyup: (event) => {
      clearTimeout(timer);
      if (event.key.length === 1 || event.key === "Backspace") timer = setTimeout(() => ask(event), 200);
    },
  };
}

function suggestedKind(name, path, scene) {
  const around = path.split(".").at(-2);
  if (name === "event") return "event";
  if (name === "property") return "property";
  if (scene.filter === "attribute") return name === "name" ? "attribute" : "attribute_value";
  if (SUGGESTED.includes(scene.filter)) return scene.filter;
  if (around === "coupon") return "coupon";
  return SUGGESTED_PARTS.includes(around) ? around : null;
}
