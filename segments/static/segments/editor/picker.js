// The searchable catalogue of filters, as a dialog.

import { el } from "./dom.js";

/** Open the dialog. Afterwards the focus returns to `button`, unless `choose` moves it. */
export function openPicker(knowledge, button, choose) {
  const search = el("input", {
    type: "search",
    class: "rule-input",
    placeholder: "Search: orders, spent, country …",
    "aria-label": "Search the filters",
  });
  const entries = knowledge.filters.map((filter) => ({
    filter,
    label: filter.label.toLowerCase(),
    words: `${filter.label} ${filter.name} ${filter.help} ${filter.sentence}`.toLowerCase(),
    option: el(
      "button",
      {
        type: "button",
        class: "rule-option",
        onclick: () => {
          dialog.close();
          choose(filter);
        },
      },
      el("strong", {}, filter.label),
      el("span", { class: "muted" }, filter.help.split("\n")[0]),
    ),
  }));
  const nothing = el("p", { class: "empty" }, "No filter was found. Try another word.");
  const list = el("div", { class: "rule-options" });
  const dialog = el(
    "dialog",
    { class: "rule-picker", "aria-label": "Choose a filter" },
    el(
      "div",
      { class: "rule-search" },
      search,
      el("button", { type: "button", class: "rule-add", onclick: () => dialog.close() }, "Cancel"),
    ),
    list,
  );

  const shown = () => [...list.querySelectorAll(".rule-option")];
  const showAll = () =>
    list.replaceChildren(
      ...Object.entries(knowledge.groups).map(([group, label]) =>
        el(
          "section",
          {},
          el("h3", {}, label),
          entries.filter((one) => one.filter.group === group).map((one) => one.option),
        ),
      ),
    );
  // Filters with the words in their names come first, then those with the words in their descriptions.
  const showFound = (words) => {
    const rank = (one) => words.filter((word) => !one.label.includes(word)).length;
    const found = entries
      .filter((one) => words.every((word) => one.words.includes(word)))
      .sort((one, other) => rank(one) - rank(other));
    list.replaceChildren(...(found.length ? found.map((one) => one.option) : [nothing]));
  };
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) showFound(words);
    else showAll();
  });
  showAll();
  dialog.addEventListener("keydown", (event) => {
    const options = shown();
    const place = options.indexOf(document.activeElement);
    if (event.key === "Enter" && document.activeElement === search) {
      event.preventDefault();
      options[0]?.click();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = place + (event.key === "ArrowDown" ? 1 : -1);
      (next < 0 ? search : options[Math.min(next, options.length - 1)])?.focus();
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (document.activeElement === document.body) button.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  search.focus();
}
