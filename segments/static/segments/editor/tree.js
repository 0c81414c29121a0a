// A rule as a tree of nodes that can be edited, read from JSON and written back.
//
// A group is {id, word, children}, a condition {id, filter, params, isNegated, nested}. A negated condition is written as
// `none` with one condition. The root is always a group. If the rule is a single condition, the root is marked `isBare`,
// and it is not written to JSON while nothing is added. A parameter that is a rule has such a root of its own: it is
// `nested` of the condition, with its name, and not among the `params`.

import { nestedName } from "./schema.js";

export const GROUPS = ["all", "any", "none"];

let latest = 0;

export function group(word = "all", children = []) {
  return { id: ++latest, word, children };
}

/** Create a condition. Throws an Error with a message for staff if a rule among the parameters is invalid. */
export function condition(filter, given, filters, isNegated = false) {
  const params = structuredClone(given);
  const name = nestedName(filters[filter].parameters);
  const nested = name ? { name, root: rootOf(read(params[name], filters)) } : null;
  if (name) delete params[name];
  return { id: ++latest, filter, params, isNegated, nested };
}

/** Parse a rule. Throws an Error with a message for staff. */
export function fromJson(rule, filters) {
  return rootOf(read(rule, filters));
}

function rootOf(node) {
  return node.word ? node : { ...group("all", [node]), isBare: true };
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
  return condition(key, params, filters);
}

export function toJson(node) {
  if (!node.word) {
    const { nested } = node;
    const params = nested ? { ...node.params, [nested.name]: toJson(nested.root) } : node.params;
    const written = { [node.filter]: params };
    return node.isNegated ? { none: [written] } : written;
  }
  if (isAlone(node)) return toJson(node.children[0]);
  return { [node.word]: node.children.map(toJson) };
}

/** Whether a root stands for the one condition in it. */
function isAlone(root) {
  return root.isBare && root.word === "all" && root.children.length === 1 && !root.children[0].word;
}

/** Yield each node with its path as in the server's errors, parents first. */
export function* paths(root, prefix = "rule") {
  if (!isAlone(root)) return yield* below(root, prefix);
  yield [root, prefix];
  yield* below(root.children[0], prefix);
}

function* below(node, prefix) {
  const path = `${prefix}${node.isNegated ? ".none[0]" : ""}.${node.word ?? node.filter}`;
  yield [node, path];
  for (const [place, child] of (node.children ?? []).entries()) yield* below(child, `${path}[${place}]`);
  if (node.nested) yield* paths(node.nested.root, `${path}.${node.nested.name}`);
}

/** Return the group of a node and the place in it, or undefined for the root and the roots of nested rules. */
export function placeOf(root, node) {
  for (const [place, child] of root.children.entries()) {
    if (child === node) return { parent: root, place };
    const inner = groupOf(child);
    const found = inner && placeOf(inner, node);
    if (found) return found;
  }
}

/** Return the group that a node is or contains, if any. */
function groupOf(node) {
  return node.word ? node : node.nested?.root;
}

/** Return the condition whose nested rule a group is, or the closest one around a node. */
export function ownerOf(root, node) {
  const inner = [...paths(root)].map(([one]) => one).filter((one) => one.nested && isWithin(one, node));
  return inner.at(-1);
}

function isWithin(around, node) {
  const inner = around.nested.root;
  return inner === node || Boolean(placeOf(inner, node));
}

/** Return the place of a group, or of the condition whose nested rule it is. */
function outerPlaceOf(root, node) {
  return placeOf(root, node) ?? placeOf(root, ownerOf(root, node));
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
  if (node.word) return { ...node, id: ++latest, children: node.children.map(copied) };
  const nested = node.nested && { ...node.nested, root: copied(node.nested.root) };
  return { ...node, id: ++latest, params: structuredClone(node.params), nested };
}

/** Insert a rule, read as a root, to the end of a group or after a condition. Return its node. */
export function insert(root, given, node) {
  const made = isAlone(given) ? given.children[0] : given;
  const { parent, place } = node.word
    ? { parent: node, place: node.children.length - 1 }
    : placeOf(root, node);
  parent.children.splice(place + 1, 0, made);
  return made;
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

/** Replace a node with a condition that asks it as a nested rule. */
export function nest(root, node, filter, params, filters) {
  const { parent, place } = placeOf(root, node);
  const around = condition(filter, params, filters);
  around.nested.root = rootOf(node);
  parent.children[place] = around;
}

/** Replace a condition with the rule that is nested in it. */
export function unnest(root, node) {
  const { parent, place } = placeOf(root, node);
  const inner = { ...node.nested.root, isBare: false };
  const isOne = inner.children.length === 1 && inner.word !== "none";
  const rule = isOne ? inner.children[0] : inner;
  parent.children[place] = node.isNegated ? group("none", [rule]) : rule;
}

/** Move a node one step up or down in reading order: past a neighbour, into a group, or out of one. */
export function step(root, node, by) {
  const { parent, place } = placeOf(root, node);
  const neighbour = parent.children[place + by];
  const inner = neighbour && groupOf(neighbour);
  if (inner) {
    parent.children.splice(place, 1);
    inner.children.splice(by > 0 ? 0 : inner.children.length, 0, node);
  } else if (neighbour) {
    parent.children.splice(place, 1);
    parent.children.splice(place + by, 0, node);
  } else if (parent !== root) {
    const outer = outerPlaceOf(root, parent);
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
