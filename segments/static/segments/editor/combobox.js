// A text input with a list of options, as the ARIA pattern of a combobox describes it.

import { el } from "./dom.js";

const PAUSE = 150; // ms after the last letter, before options are requested

let latest = 0;

/**
 * Return the input with its list. `find` returns options ({value, label, note}) for what is typed, `pick` takes the value
 * of one. If `isFirstChosen` returns true for what is typed, Enter picks the first option.
 */
export function combobox(attributes, { find, pick, isFirstChosen = () => false }) {
  const id = `rule-options-${++latest}`;
  let options = [];
  let active = -1;
  let timer;
  let asked = 0;
  const list = el("ul", {
    id,
    class: "rule-list-box",
    role: "listbox",
    "aria-label": "Values",
    hidden: true,
  });
  const { onkeydown, onblur, ...others } = attributes;

  const mark = (place) => {
    active = place;
    for (const [index, item] of [...list.children].entries())
      item.setAttribute("aria-selected", String(index === place));
    const chosen = list.children[place];
    if (chosen) input.setAttribute("aria-activedescendant", chosen.id);
    else input.removeAttribute("aria-activedescendant");
    chosen?.scrollIntoView({ block: "nearest" });
  };
  const close = () => {
    clearTimeout(timer);
    asked++;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  };
  const choose = (value) => {
    close();
    pick(value, input);
  };
  const open = async () => {
    const request = ++asked;
    const found = await find(input.value);
    if (request !== asked || document.activeElement !== input) return;
    options = found;
    list.replaceChildren(
      ...options.map((one, place) =>
        el(
          "li",
          {
            id: `${id}-${place}`,
            role: "option",
            "aria-selected": "false",
            onmousedown: (event) => event.preventDefault(), // the focus stays in the input
            onclick: () => choose(one.value),
          },
          el("span", {}, one.label),
          one.note && el("small", {}, one.note),
        ),
      ),
    );
    list.hidden = !options.length;
    input.setAttribute("aria-expanded", String(options.length > 0));
    list.scrollIntoView({ block: "nearest" });
    mark(options.length && isFirstChosen(input.value) ? 0 : -1);
  };

  const input = el("input", {
    type: "text",
    class: "rule-input",
    autocomplete: "off",
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-controls": id,
    "aria-expanded": "false",
    ...others,
    onfocus: open,
    onclick: () => list.hidden && open(),
    onblur: (event) => {
      close();
      onblur?.(event);
    },
    onkeydown: (event) => {
      const isOpen = !list.hidden;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (!isOpen) open();
        else mark((active + (event.key === "ArrowDown" ? 1 : options.length)) % options.length);
      } else if (event.key === "Escape" && isOpen) {
        event.stopPropagation();
        event.preventDefault();
        close();
      } else if (event.key === "Enter" && isOpen && options[active]) {
        event.preventDefault();
        choose(options[active].value);
      } else onkeydown?.(event);
    },
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    asked++;
    mark(-1); // what was marked belongs to what was typed before
    timer = setTimeout(open, PAUSE);
  });
  return el("span", { class: "rule-combobox" }, input, list);
}
