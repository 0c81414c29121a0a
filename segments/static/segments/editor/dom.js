// Functions that create elements.

/** Create an element. `on…` are listeners, `data` sets data attributes. Attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return made;
}

export function icon(name) {
  return el("span", { class: "material-symbols-outlined", "aria-hidden": "true" }, name);
}

/** Return a button that shows a symbol and has a label for screen readers. */
export function iconButton(name, label, onclick, attributes = {}) {
  return el(
    "button",
    { type: "button", class: "rule-icon", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );
}

/**
 * Return a select. An option is a key and a label, or a label with a list of options.
 *
 * While somebody types the beginning of an option, `onchange` is delayed, because it may redraw the page.
 */
export function select(options, value, onchange, attributes = {}) {
  const option = (one) =>
    Array.isArray(one)
      ? el("option", { value: one[0] }, one[1])
      : el("optgroup", { label: one.label }, one.options.map(option));
  const made = el("select", { class: "rule-input", ...attributes }, options.map(option));
  made.value = value;
  let typedAt = -Infinity;
  let timer = null;
  const notify = () => {
    clearTimeout(timer);
    timer = null;
    onchange(made.value);
  };
  made.addEventListener("keydown", (event) => {
    if (event.key.length === 1) typedAt = event.timeStamp;
    else if (timer) notify();
  });
  made.addEventListener("change", (event) => {
    clearTimeout(timer);
    if (event.timeStamp - typedAt < 100) timer = setTimeout(notify, 600);
    else notify();
  });
  made.addEventListener("blur", () => timer && notify());
  return made;
}

let isPressed = false;
let waiting = [];
document.addEventListener("pointerdown", () => {
  isPressed = true;
});
for (const end of ["pointerup", "pointercancel"])
  document.addEventListener(end, () => {
    isPressed = false;
    const acts = waiting;
    waiting = [];
    setTimeout(() => {
      for (const act of acts) act();
    });
  });

/** Act once the focus has moved and no pointer is pressed: what moves a pressed button away would take its click. */
export function afterwards(act) {
  if (isPressed) waiting.push(act);
  else setTimeout(act);
}

/** Return a text without case and accents, to be searched. */
export function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Return how alike two folded texts are, from 0 to 1, by their pairs of letters. */
export function likeness(one, other) {
  const pairs = (text) => Array.from({ length: text.length - 1 }, (_, place) => text.slice(place, place + 2));
  const left = pairs(one);
  const right = pairs(other);
  const total = left.length + right.length;
  let shared = 0;
  for (const pair of left) {
    const place = right.indexOf(pair);
    if (place < 0) continue;
    right.splice(place, 1);
    shared++;
  }
  return total ? (2 * shared) / total : 0;
}

export const number = new Intl.NumberFormat("en");
