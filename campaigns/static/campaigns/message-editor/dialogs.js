// The dialogs of the message editor: values to insert, the fallback of a value, a link, a customer.

import { el, icon } from "../../segments/editor/dom.js";
import { declaredValue, describe, parseValue, writeValue } from "./liquid.js";

/** Open a dialog, which is removed when it closes. The focus returns to where it was. */
function openDialog(title, content) {
  const close = el(
    "button",
    { type: "button", class: "message-icon", "aria-label": "Close", onclick: () => dialog.close() },
    icon("close"),
  );
  const dialog = el(
    "dialog",
    { class: "message-dialog", "aria-label": title, onclose: () => dialog.remove() },
    el("div", { class: "message-dialog-head" }, el("h3", {}, title), close),
    content,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

function button(label, onclick, attributes = {}) {
  return el("button", { type: "button", class: "message-button", onclick, ...attributes }, label);
}

/** Return a form for a dialog: Enter in a field is the same as its main button. */
function dialogForm(onsubmit, ...children) {
  return el(
    "form",
    {
      class: "message-dialog-form",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        event.stopPropagation();
        onsubmit();
      },
    },
    children,
  );
}

function labelled(label, input, help = "") {
  return el(
    "label",
    { class: "message-labelled" },
    el("span", {}, label),
    input,
    help && el("small", {}, help),
  );
}

/** Let staff choose a value. `onchoose` gets it in Liquid. */
export function chooseValue(values, onchoose) {
  const options = el("div", { class: "message-options" });
  const search = el("input", {
    type: "search",
    class: "message-input",
    "aria-label": "Search the values",
    placeholder: "Search, such as name or coupon",
    oninput: () => draw(),
    onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      options.querySelector("button")?.click();
    },
  });
  const dialog = openDialog("Insert a value", [search, options]);
  const choose = (value) => {
    if (value.is_open) return nameValue(value, onchoose, dialog);
    dialog.close();
    return onchoose(
      writeValue({
        path: value.path,
        filters: value.filters ? [value.filters] : [],
        fallback: value.fallback,
      }),
    );
  };
  const draw = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = values.filter((value) =>
      words.every((word) => `${value.group} ${value.label} ${value.help}`.toLowerCase().includes(word)),
    );
    const groups = [...new Set(found.map((value) => value.group))];
    options.replaceChildren(
      ...groups.flatMap((group) => [
        el("h4", {}, group),
        ...found
          .filter((value) => value.group === group)
          .map((value) =>
            el(
              "button",
              { type: "button", class: "message-option", onclick: () => choose(value) },
              el("span", {}, value.label),
              el("small", {}, value.help || (value.fallback && `else: ${value.fallback}`)),
            ),
          ),
      ]),
      ...(found.length ? [] : [el("p", { class: "empty" }, "No value has this name.")]),
    );
  };
  draw();
  search.focus();
}

function nameValue(value, onchoose, dialog) {
  const name = el("input", { class: "message-input", maxlength: 60, autocomplete: "off" });
  const fallback = el("input", { class: "message-input", maxlength: 200, autocomplete: "off" });
  const insert = () => {
    const plain = name.value.trim().replaceAll(/\s+/g, "_").replaceAll(/\W/g, "");
    if (!plain) return name.focus();
    dialog.close();
    return onchoose(writeValue({ path: value.path + plain, fallback: fallback.value.trim() }));
  };
  dialog
    .querySelector(".message-options")
    .replaceChildren(
      dialogForm(
        insert,
        labelled(`${value.label.replace(" …", "")}: name`, name, value.help),
        value.always_there ? null : labelled("If a customer lacks it, write", fallback),
        el("div", { class: "message-dialog-foot" }, el("button", { class: "message-button" }, "Insert")),
      ),
    );
  dialog.querySelector("input[type=search]").hidden = true;
  name.focus();
}

/** Let staff change or remove a value in a text. */
export function changeValue(token, values, { onchange, onremove }) {
  const value = parseValue(token);
  const declared = value && declaredValue(value.path, values);
  const input = el("input", {
    class: "message-input",
    autocomplete: "off",
    maxlength: 400,
    value: value ? value.fallback : token,
    spellcheck: value ? null : "false",
  });
  const apply = () => {
    dialog.close();
    const text = input.value.trim();
    if (value) onchange(writeValue({ ...value, fallback: text }));
    else if (text) onchange(text);
    else onremove();
  };
  const help = value
    ? "If it is empty, customers who lack the value do not get the message."
    : "A condition or a loop, in Liquid.";
  const field = declared?.always_there
    ? el("p", { class: "muted" }, "Every customer has this value.")
    : labelled(value ? "If a customer lacks it, write" : "Liquid", input, help);
  const remove = button("Remove", () => {
    dialog.close();
    onremove();
  });
  const form = dialogForm(
    declared?.always_there ? () => dialog.close() : apply,
    field,
    el("div", { class: "message-dialog-foot" }, el("button", { class: "message-button" }, "Done"), remove),
  );
  const dialog = openDialog(describe(token, values), form);
  if (!declared?.always_there) input.select();
}

/** Ask where a link leads. `onchange` gets the address; an empty one removes the link. */
export function changeLink(url, onchange) {
  const input = el("input", {
    class: "message-input",
    autocomplete: "off",
    inputmode: "url",
    maxlength: 500,
    value: url || "https://",
  });
  const problem = el("small", { class: "message-problem", role: "alert" });
  const apply = () => {
    const written = withScheme(input.value.trim());
    if (written && !isLink(written)) {
      problem.textContent =
        "Write a web address, such as https://shop.example/sale, or mailto: and an address.";
      return input.focus();
    }
    dialog.close();
    return onchange(written);
  };
  const remove = button("Remove the link", () => {
    dialog.close();
    onchange("");
  });
  const form = dialogForm(
    apply,
    labelled("Leads to", input),
    problem,
    el(
      "div",
      { class: "message-dialog-foot" },
      el("button", { class: "message-button" }, "Done"),
      url ? remove : null,
    ),
  );
  const dialog = openDialog("Link", form);
  input.select();
}

/** Return whether a message may link to an address: the server checks the same. */
export function isLink(url) {
  return /^(https?:\/\/[^/\\]|mailto:\S|tel:\S|\{\{-?\s*[a-z])/i.test(url);
}

/** Return an address with https:// before a bare domain. */
export function withScheme(url) {
  if (/^[\w.+-]+@[\w-]+(\.[\w-]+)+$/.test(url)) return `mailto:${url}`;
  return /^[\w-]+(\.[\w-]+)+(:\d+)?(\/|$)/.test(url) ? `https://${url}` : url;
}

/** Let staff choose the customer for whom the message is shown. */
export function chooseCustomer(find, onchoose) {
  const options = el("div", { class: "message-options", "aria-live": "polite" });
  const search = el("input", {
    type: "search",
    class: "message-input",
    "aria-label": "Search for a customer",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(draw, 250);
    },
    onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      options.querySelector("button")?.click();
    },
  });
  let timer = null;
  let asked = 0;
  const dialog = openDialog("Show the message for", [search, options]);
  const draw = async () => {
    asked += 1;
    const number = asked;
    const { customers, help } = await find(search.value.trim());
    if (number !== asked) return;
    search.placeholder = help;
    const heading = search.value.trim() ? "Found" : "Who would get it";
    options.replaceChildren(
      el("h4", {}, heading),
      ...customers.map((customer) =>
        el(
          "button",
          {
            type: "button",
            class: "message-option",
            onclick: () => {
              dialog.close();
              onchoose(customer);
            },
          },
          el("span", {}, customer.name),
          el("small", {}, customer.id),
        ),
      ),
      ...(customers.length ? [] : [el("p", { class: "empty" }, "No customer was found.")]),
    );
  };
  draw();
  search.focus();
}
