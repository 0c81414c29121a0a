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
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
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

/** Return a select. While somebody types the beginning of an option, `onchange` is delayed, because it may redraw the page. */
export function select(options, value, onchange, attributes = {}) {
  const made = el("select", { class: "rule-input", ...attributes });
  for (const [key, label] of options) made.append(el("option", { value: key }, label));
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

export const number = new Intl.NumberFormat("en");
