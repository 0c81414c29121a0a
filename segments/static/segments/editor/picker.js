// The searchable catalogue of filters, as a dialog.

import { el } from "./dom.js";
import { catalogue, search } from "./search.js";

/**
 * Open the dialog. `choose` takes an entry: {filter, params, isNegated}. Afterwards the focus returns to `button`, unless
 * `choose` moves it.
 */
export function openPicker(knowledge, button, choose) {
  const entries = catalogue(knowledge);
  const input = el("input", {
    type: "search",
    class: "rule-input",
    placeholder: "Search: VIP, unsubscribed, abandoned, country …",
    "aria-label": "Search the filters",
  });
  const list = el("div", { class: "rule-options" });
  const dialog = el(
    "dialog",
    { class: "rule-picker", "aria-label": "Choose a filter" },
    el(
      "div",
      { class: "rule-search" },
      input,
      el("button", { type: "button", class: "rule-add", onclick: () => dialog.close() }, "Cancel"),
    ),
    list,
  );

  const option = (entry) =>
    el(
      "button",
      {
        type: "button",
        class: "rule-option",
        onclick: () => {
          dialog.close();
          choose(entry);
        },
      },
      el("strong", {}, entry.label),
      el("span", { class: "muted" }, entry.params ? entry.filter.label : entry.help),
    );
  const shown = () => [...list.querySelectorAll(".rule-option")];
  const showAll = () =>
    list.replaceChildren(
      ...Object.entries(knowledge.groups).map(([group, label]) =>
        el(
          "section",
          {},
          el("h3", {}, label),
          entries.filter((one) => one.filter.group === group && !one.params).map(option),
        ),
      ),
    );
  const showFound = () => {
    const { found, notes, isNearest } = search(entries, knowledge.unrecorded, input.value);
    const said = isNearest
      ? [
          `No filter was found for “${input.value}”. ${found.length ? "These come nearest:" : "Try another word."}`,
        ]
      : notes.map((one) => one.note);
    list.replaceChildren(
      el(
        "div",
        { role: "status" },
        said.map((one) => el("p", { class: "rule-said" }, one)),
      ),
      ...found.map(option),
    );
  };
  input.addEventListener("input", () => (input.value.trim() ? showFound() : showAll()));
  showAll();
  dialog.addEventListener("keydown", (event) => {
    const options = shown();
    const place = options.indexOf(document.activeElement);
    if (event.key === "Enter" && document.activeElement === input) {
      event.preventDefault();
      options[0]?.click();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = place + (event.key === "ArrowDown" ? 1 : -1);
      (next < 0 ? input : options[Math.min(next, options.length - 1)])?.focus();
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
  input.focus();
}
