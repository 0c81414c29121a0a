// The blocks of a message as a list: its changes, and its form in JSON. A block has `id`, `type` and `values`.

let lastId = 0;

export function makeBlock(kind, values = {}) {
  lastId += 1;
  const defaults = Object.fromEntries(kind.fields.map((field) => [field.name, field.default]));
  return { id: lastId, type: kind.type, values: { ...defaults, ...values } };
}

/** Read blocks from JSON. Throws an error for a kind that is not known. */
export function fromJson(list, kinds) {
  return list.map(({ type, ...values }) => {
    if (!kinds[type]) throw new Error(`There is no block of the kind “${type}”.`);
    return makeBlock(kinds[type], values);
  });
}

/** Return the blocks as JSON, without values that are their defaults. A block that nobody has touched is left out. */
export function toJson(blocks, kinds) {
  return blocks
    .filter((block) => !block.isUntouched)
    .map((block) => {
      const fields = Object.fromEntries(kinds[block.type].fields.map((field) => [field.name, field]));
      const written = Object.entries(block.values).filter(([name, value]) =>
        fields[name] ? value !== fields[name].default || fields[name].is_required : value,
      );
      return { type: block.type, ...Object.fromEntries(written) };
    });
}

/** Return the words of the first field that must be filled in and is empty, or an empty text. */
export function lackOf(block, kind) {
  const empty = kind.fields.find((field) => field.is_required && `${block.values[field.name] ?? ""}` === "");
  return empty ? empty.label : "";
}

/** Add a block at the end, but before a footer, and a preview text at the start. */
export function add(blocks, block) {
  if (block.type === "preheader") {
    blocks.unshift(block);
    return;
  }
  const isAboveFooter = blocks.at(-1)?.type === "footer" && block.type !== "footer";
  blocks.splice(isAboveFooter ? blocks.length - 1 : blocks.length, 0, block);
}

export function duplicate(blocks, block, kinds) {
  const copy = makeBlock(kinds[block.type], structuredClone(block.values));
  blocks.splice(blocks.indexOf(block) + 1, 0, copy);
  return copy;
}

export function remove(blocks, block) {
  blocks.splice(blocks.indexOf(block), 1);
}

/** Move a block by some places. Return whether it moved. */
export function step(blocks, block, by) {
  const place = blocks.indexOf(block);
  if (!blocks[place + by]) return false;
  blocks.splice(place, 1);
  blocks.splice(place + by, 0, block);
  return true;
}

/** Move a block before or after another one. Return whether it moved. */
export function moveTo(blocks, block, other, isAfter) {
  if (block === other) return false;
  remove(blocks, block);
  blocks.splice(blocks.indexOf(other) + (isAfter ? 1 : 0), 0, block);
  return true;
}
