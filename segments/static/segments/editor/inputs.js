// The inputs for the values of parameters, one for each kind.

import { combobox } from "./combobox.js";
import { el, iconButton, number, select } from "./dom.js";
import { codeOf, isPlace, nameOf } from "./places.js";
import { isPercentage, isShare, kindOf, startOf } from "./schema.js";
import { readSpan, UNITS, writeSpan } from "./spans.js";

const CHOICES = {
  never: "never subscribed",
  pending: "asked for, not confirmed",
  email: "an e-mail address",
  phone: "a phone number",
};
const SUGGESTED = ["country", "city", "language", "source"];
const SUGGESTED_PARTS = ["sku", "name", "category", "brand"];
// What is said of a value that no record has.
const UNKNOWN = {
  ...Object.fromEntries(SUGGESTED_PARTS.map((part) => [part, (value) => `No recent order has “${value}”.`])),
  coupon: (value) => `No recent order has the coupon “${value}”.`,
  event: (value) => `No recent event is called “${value}”.`,
  property: (value) => `No recent event has a property “${value}”.`,
  attribute: (value) => `No customer has an attribute “${value}”.`,
};

/** Return the input for `owner[name]`. */
export function drawValue(name, schema, owner, path, scene, label) {
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
        scene.drawParams(schema, value, path, { ...scene, label }),
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
        schema.enum.map((one) => [one, CHOICES[one] ?? one]),
        value,
        set,
        common,
      );
    case "segment":
      return select(
        [
          ["", "choose a segment"],
          ...scene.segments.map((one) => [one.slug, `${one.name} (${number.format(one.size)})`]),
        ],
        value,
        set,
        common,
      );
    case "number":
      return numberInput(schema, value, set, common, scene, path);
    case "numbers":
      return pair(value, (one, place) =>
        numberInput(
          schema.items,
          one,
          (next) => set(replaced(owner[name], place, next)),
          {
            ...common,
            "aria-label": `${label}: ${place ? "high" : "low"}`,
            data: { path, key: `${scene.key}${path}:${place}` },
          },
          scene,
          path,
        ),
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
      return textInput(name, owner, path, scene, common);
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

/** Return a number as text without the noise of binary fractions, or "". */
function scaled(value, factor) {
  return value === null || value === undefined || value === ""
    ? ""
    : Number((value * factor).toPrecision(12));
}

function numberInput(schema, value, set, attributes, scene, path) {
  const factor = isShare(schema) ? 100 : 1;
  const input = el("input", {
    type: "number",
    step: schema.type === "integer" ? 1 : "any",
    class: "rule-input rule-number",
    value: scaled(value, factor),
    ...attributes,
    oninput: (event) =>
      set(event.target.value === "" ? null : scaled(Number(event.target.value), 1 / factor)),
  });
  const unit = isShare(schema) || isPercentage(schema) ? "%" : unitOf(scene, path);
  return unit ? el("span", { class: "rule-unit" }, input, el("span", { class: "rule-name" }, unit)) : input;
}

/** Return the unit of the condition's own number: an amount has the currency, days have “days”. */
function unitOf(scene, path) {
  const isOwn = path.split(".").length === 2 || path.startsWith(".value.");
  if (!isOwn) return "";
  if (scene.unit === "amount" || path.startsWith(".value.")) return scene.currency;
  return scene.unit === "days" ? "days" : "";
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

function spanInput(schema, value, set, attributes, label) {
  const parts = readSpan(value);
  const allowed = Object.keys(UNITS).filter((unit) => unit.length > 1 || schema.pattern.includes(unit));
  const days = el("span", { class: "rule-name" });
  const update = () => {
    const written = writeSpan(parts);
    days.textContent =
      parts.unit.length > 1 && parts.count ? `= ${number.format(Number.parseInt(written, 10))} days` : "";
    return written;
  };
  const enter = (changes) => {
    Object.assign(parts, changes);
    set(update());
  };
  update();
  return el(
    "span",
    { class: "rule-span" },
    el("input", {
      type: "number",
      min: schema.examples.includes("0d") ? 0 : 1,
      step: 1,
      class: "rule-input rule-number",
      value: parts.count,
      ...attributes,
      oninput: (event) => enter({ count: event.target.value }),
    }),
    select(
      allowed.map((unit) => [unit, `${UNITS[unit]}${parts.count === "1" ? "" : "s"}`]),
      parts.unit,
      (unit) => enter({ unit }),
      { "aria-label": `${label}: unit`, data: { key: `${attributes.data.key}:unit` } },
    ),
    days,
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

// -- Texts, with the values of the shop

function textInput(name, owner, path, scene, attributes) {
  const kind = suggestedKind(name, path, scene);
  const set = (value) => {
    owner[name] = value;
    scene.changed({ key: path });
  };
  if (!kind)
    return el("input", {
      type: "text",
      class: "rule-input",
      autocomplete: "off",
      value: owner[name] ?? "",
      ...attributes,
      oninput: (event) => set(event.target.value),
    });
  const isWhole = path.endsWith(".is") || path.endsWith(".is_not") || !isPlace(kind);
  const read = (typed) => (isWhole ? scene.values.resolve(kind, typed) : typed);
  const input = combobox(
    {
      ...attributes,
      value: isWhole ? nameOf(kind, owner[name] ?? "") : (owner[name] ?? ""),
      oninput: (event) => set(read(event.target.value)),
      onchange: () => note.check([owner[name]]),
    },
    {
      find: (typed) => scene.values.suggest(kind, typed, owner.name ?? ""),
      pick: (value, typed) => {
        typed.value = isWhole ? nameOf(kind, value) : value;
        set(value);
        note.check([value]);
      },
    },
  );
  const note = unknownNote(kind, owner.name ?? "", scene, (_, value) => {
    owner[name] = value;
  });
  if (path.endsWith(".contains") || path.endsWith(".starts_with")) return input;
  note.check([owner[name]]);
  return [input, note];
}

/** Return the input for a list of texts: a chip for each, which can be removed, and an input for the next one. */
function tokens(name, owner, path, scene, label) {
  const values = owner[name];
  const key = `${scene.key}${path}`;
  const kind = suggestedKind(name, path, scene);
  const use = (given) => {
    owner[name] = given;
    scene.changed({ isStructure: true, focus: key });
  };
  const addValues = (field, focus) => {
    const given = field.value
      .split(/[,;\n]/)
      .map((one) => scene.values.resolve(kind, one))
      .filter((one, place, all) => one && !owner[name].includes(one) && all.indexOf(one) === place);
    field.value = "";
    if (!given.length) return;
    owner[name] = [...owner[name], ...given];
    scene.changed({ isStructure: true, focus, isLeaving: !focus });
  };
  const chips = values.map((value) => {
    const shown = nameOf(kind, value);
    return el(
      "span",
      { class: "rule-chip", title: shown === value ? null : value },
      shown,
      iconButton("close", `Remove ${shown}`, () => use(owner[name].filter((one) => one !== value))),
    );
  });
  const attributes = {
    placeholder: values.length ? "add another" : "type a value, then press Enter",
    "aria-label": `${label}: add a value`,
    data: { path, key },
    onkeydown: (event) => {
      if (event.key === "Enter" || (event.key === "," && event.target.value)) {
        event.preventDefault();
        addValues(event.target, key);
      } else if (event.key === "Backspace" && !event.target.value && owner[name].length)
        use(owner[name].slice(0, -1));
    },
    onchange: (event) => addValues(event.target, null),
  };
  const input = kind
    ? combobox(attributes, {
        find: async (typed) =>
          (await scene.values.suggest(kind, typed, owner.name ?? "")).filter(
            (one) => !owner[name].includes(one.value),
          ),
        pick: (value, typed) => {
          typed.value = "";
          use([...owner[name], value]);
        },
        isFirstChosen: (typed) => isPlace(kind) && typed.trim() && !codeOf(kind, typed),
      })
    : el("input", { type: "text", class: "rule-input", autocomplete: "off", ...attributes });
  const replace = (before, value) => {
    owner[name] = owner[name].map((one) => (one === before ? value : one));
  };
  const note = kind && unknownNote(kind, owner.name ?? "", scene, replace);
  note?.check(values);
  return [el("span", { class: "rule-tokens" }, chips, input), note];
}

/** Return a note that names the values that no record has. Its `check` takes the values. */
function unknownNote(kind, name, scene, replace) {
  const note = el("span", { class: "rule-note", role: "status", hidden: true });
  const instead = (value, one) =>
    el(
      "button",
      {
        type: "button",
        class: "rule-instead",
        onclick: () => {
          replace(value, one.value);
          scene.changed({ isStructure: true });
        },
      },
      one.note ? `${one.label} (${one.note})` : one.label,
    );
  const told = ([value, nearest]) =>
    el(
      "span",
      {},
      (UNKNOWN[kind] ?? ((one) => `No customer has “${one}”.`))(nameOf(kind, value)),
      nearest.length ? " Do you mean " : "",
      nearest.flatMap((one, place) => [place ? " or " : "", instead(value, one)]),
      nearest.length ? "?" : "",
    );
  note.check = async (values) => {
    const unknown = await scene.values.unknown(kind, values, name);
    note.hidden = !unknown.length;
    note.replaceChildren(...unknown.map(told));
  };
  return note;
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
