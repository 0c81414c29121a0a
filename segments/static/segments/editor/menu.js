// A button that opens a menu, as the ARIA pattern of a menu button describes it.

import { el, icon, iconButton } from "./dom.js";

/** Return the button and its menu. An item is {symbol, label, keys, act}; `act` moves the focus. */
export function menuButton(label, items, attributes = {}) {
  const close = () => {
    menu.hidden = true;
    button.setAttribute("aria-expanded", "false");
  };
  const entries = items.map((item) =>
    el(
      "button",
      {
        type: "button",
        role: "menuitem",
        tabindex: -1,
        onclick: () => {
          close();
          button.focus(); // where the action does not move the focus, it stays here
          item.act();
        },
      },
      icon(item.symbol),
      el("span", {}, item.label),
      item.keys && el("kbd", {}, item.keys),
    ),
  );
  const menu = el("span", { class: "rule-menu", role: "menu", "aria-label": label, hidden: true }, entries);
  const button = iconButton(
    "more_vert",
    label,
    () => {
      menu.hidden = !menu.hidden;
      button.setAttribute("aria-expanded", String(!menu.hidden));
      if (menu.hidden) return;
      menu.scrollIntoView({ block: "nearest" });
      entries[0].focus({ preventScroll: true });
    },
    { "aria-haspopup": "menu", "aria-expanded": "false", ...attributes },
  );
  const around = el("span", { class: "rule-menu-button" }, button, menu);
  around.addEventListener("keydown", (event) => {
    if (menu.hidden) {
      if (event.key === "ArrowDown" && !event.altKey) {
        event.preventDefault();
        button.click();
      }
      return;
    }
    const place = entries.indexOf(document.activeElement);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") {
      close();
      button.focus();
    } else if (event.key === "Tab") {
      close();
      return;
    } else if (next === undefined || event.altKey) return;
    else entries.at(next % entries.length).focus();
    event.preventDefault();
    event.stopPropagation();
  });
  around.addEventListener("focusout", (event) => {
    if (!around.contains(event.relatedTarget)) close();
  });
  return around;
}
