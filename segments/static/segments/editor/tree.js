// A rule as a tree of nodes that can be edited, read from JSON and written back.
//
// A group is {id, word, children}, a condition {id, filter, params, isNegated}. A negated condition is written as
// `none` with one condition. The root is always a group. If the rule is a single condition, the root is marked `isBare`,
// and it is not written to JSON while nothing is added.

export const GROUPS = ["all", "any", "none"];

let latest = 0;

export function group(word = "all", children = []) {
  return { id: ++latest, word, children };
}

export function condition(filter, params, isNegated = false) {
  return { id: ++latest, filter, params: structuredClone(params), isNegated };
}

/** Parse a rule. Throws an Error with a message for staff. */
export function fromJson(rule, filters) {
  const root = read(rule, filters);
  return root.word ? root : { ...group("all", [root]), isBare: true };
}

function read(rule, filters) {
  const keys = rule && typeof rule === "object" && !Array.isArray(rule) ? Object.keys(rule) : [];
  if (keys.length !== 1) throw new Error("A rule is an object with one key: all, any, none or a filter.");
  const [key] = keys;
  if (GROUPS.includes(key)) {
    if (!Array.isArray(rule[key])) throw new Error(`“${key}” needs a list of rules.`);
    const children = rule[key].map((one) => read(one, filters));
    const [only] = children;
    if (key === "none" && children.length === 1 && !only.word && !only.isNegated)
      return { ...only, isNegated: true };
    return group(key, children);
  }
  if (!filters[key]) throw new Error(`There is no filter “${key}”.`);
  const params = rule[key];
  if (!params || typeof params !== "object" || Array.isArray(params))
    throw new Error(`“${key}” needs an object.`);
  return condition(key, params);
}

export function toJson(node) {
  if (!node.word) {
    const written = { [node.filter]: node.params };
    return node.isNegated ? { none: [written] } : written;
  }
  if (node.isBare && node.word === "all" && node.children.length === 1 && !node.children[0].word)
    return toJson(node.children[0]);
  return { [node.word]: node.children.map(toJson) };
}

/** Yield each node with its path as in the server's errors, parents first. */
export function* paths(root) {
  const alone = root.isBare && root.word === "all" && root.children.length === 1 && !root.children[0].word;
  if (!alone) return yield* below(root, "rule");
  yield [root, "rule"];
  yield* below(root.children[0], "rule");
}

function* below(node, prefix) {
  const path = `${prefix}${node.isNegated ? ".none[0]" : ""}.${node.word ?? node.filter}`;
  yield [node, path];
  for (const [place, child] of (node.children ?? []).entries()) yield* below(child, `${path}[${place}]`);
}

/** Return the group of a node and the place in it, or undefined for the root. */
export function placeOf(root, node) {
  for (const [place, child] of root.children.entries()) {
    if (child === node) return { parent: root, place };
    const found = child.word && placeOf(child, node);
    if (found) return found;
  }
}

export function find(root, id) {
  for (const [node] of paths(root)) if (node.id === id) return node;
}

export function remove(root, node) {
  const { parent, place } = placeOf(root, node);
  parent.children.splice(place, 1);
}

/** Insert a copy after the node, and return the copy. */
export function duplicate(root, node) {
  const { parent, place } = placeOf(root, node);
  const copy = copied(node);
  parent.children.splice(place + 1, 0, copy);
  return copy;
}

function copied(node) {
  return node.word
    ? group(node.word, node.children.map(copied))
    : condition(node.filter, node.params, node.isNegated);
}

/** Replace the node with a group that contains it. */
export function wrap(root, node) {
  const { parent, place } = placeOf(root, node);
  const around = group(parent.word === "any" ? "all" : "any", [node]);
  parent.children[place] = around;
  return around;
}

/** Replace a group with its children. */
export function unwrap(root, node) {
  const { parent, place } = placeOf(root, node);
  parent.children.splice(place, 1, ...node.children);
}

/** Move a node one step up or down in reading order: past a neighbour, into a group, or out of one. */
export function step(root, node, by) {
  const { parent, place } = placeOf(root, node);
  const neighbour = parent.children[place + by];
  if (neighbour?.word) {
    parent.children.splice(place, 1);
    neighbour.children.splice(by > 0 ? 0 : neighbour.children.length, 0, node);
  } else if (neighbour) {
    parent.children.splice(place, 1);
    parent.children.splice(place + by, 0, node);
  } else if (parent !== root) {
    const outer = placeOf(root, parent);
    parent.children.splice(place, 1);
    outer.parent.children.splice(outer.place + (by > 0 ? 1 : 0), 0, node);
  } else return false;
  return true;
}

/** Move a node before another one in a group, or to its end. Returns false for a move into itself. */
export function move(root, node, target, before) {
  for (const [one] of paths(node.word ? node : group("all", [node]))) if (one === target) return false;
  if (before === node) return false;
  remove(root, node);
  const place = before ? target.children.indexOf(before) : target.children.length;
  target.children.splice(place, 0, node);
  return true;
}
