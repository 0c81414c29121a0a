// What the JSON Schema of a filter's parameters means for the editor: kinds of values, and what they start with.

/** Sort the parameters into operators, of which one is chosen, required parameters, and optional ones. */
export function sorted(schema) {
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

const isRule = (schema) => schema.title === "Rule";

/** Return the name of the parameter that is a rule, or undefined. */
export function nestedName(schema) {
  return Object.keys(schema.properties).find((name) => isRule(schema.properties[name]));
}

/** Return the optional parameters of which at most one is given. */
export const exclusive = (schema) => schema.not?.required ?? [];

export function kindOf(schema) {
  if (isRule(schema)) return "rule";
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

export function startOf(schema) {
  const today = new Date();
  const day = (ago) => new Date(today - ago * 864e5).toISOString().slice(0, 10);
  switch (kindOf(schema)) {
    case "rule":
      return { all: [] };
    case "either":
      return startOf(schema.anyOf[0]);
    case "choice":
      return schema.enum[0];
    case "flag":
      return true;
    case "number":
      return isPercentage(schema) ? 10 : 1;
    case "numbers":
      return isShare(schema.items) ? [0, 1] : [0, 10];
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
  if (isRule(schema)) return startOf(schema);
  if (schema.type === "object")
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, cleared(schema.properties[name], one)]),
    );
  const kind = kindOf(schema);
  return kind === "text" || kind === "texts" || kind === "either" || kind === "segment"
    ? startOf(schema)
    : value;
}

/** Whether a number is a share from 0 to 1, which is shown as a percentage. */
export const isShare = (schema) => schema.type === "number" && schema.minimum === 0 && schema.maximum === 1;

export const isPercentage = (schema) => schema.type === "number" && "exclusiveMinimum" in schema;
