// A text that is edited in place. Values in Liquid are chips in it: words that one can press, never code.

import { el } from "../../segments/editor/dom.js";
import { changeLink, changeValue } from "./dialogs.js";
import { describe, mask, split, splitMasked, unmask } from "./liquid.js";

const GAP = "\u200b"; // lets the cursor stand beside a chip
const ONE_LINE = ["insertParagraph", "insertLineBreak", "insertOrderedList", "insertUnorderedList"];
const EMPHASIS = { B: "strong", STRONG: "strong", I: "em", EM: "em" };
const LISTS = ["UL", "OL", "LI"];

export class TextField {
  /** `onchange` is called after each change, `onundo` and `onredo` instead of the browser's own. */
  constructor({ label, source, values, isFormatted = false, onchange, onundo, onredo, ...attributes }) {
    this.values = values;
    this.isFormatted = isFormatted;
    this.onchange = onchange;
    this.range = null;
    const { class: kind = "", data } = attributes;
    this.element = el("div", {
      class: `message-text-field ${kind}`,
      contenteditable: "true",
      role: "textbox",
      "aria-label": label,
      "aria-multiline": String(isFormatted),
      "data-placeholder": attributes.placeholder ?? label,
      data: data ?? {},
      onbeforeinput: (event) => this.onBeforeInput(event, onundo, onredo),
      oninput: () => {
        this.showTypedValues();
        this.changed();
      },
      onpaste: (event) => this.onPaste(event),
      onpointerdown: () => this.forgetRange(),
      onclick: (event) => this.press(event.target),
      onkeydown: (event) => this.onKey(event),
      onblur: () => this.keepRange(),
    });
    this.source = source;
  }

  // -- Source and view

  get source() {
    return this.isFormatted ? formattedSource(this.element) : lineSource(this.element).trim();
  }

  set source(source) {
    this.element.replaceChildren(...(this.isFormatted ? this.formatted(source) : this.line(source)));
    this.range = null;
    this.showEmptiness();
  }

  line(source) {
    return this.pieces(split(source));
  }

  pieces(parts) {
    const nodes = parts.map(({ text, token }) => (token ? this.chip(token) : document.createTextNode(text)));
    return nodes.length && nodes.at(-1).nodeType !== Node.TEXT_NODE ? [...nodes, GAP] : nodes;
  }

  formatted(source) {
    const { masked, tokens } = mask(source);
    const { body } = new DOMParser().parseFromString(masked, "text/html");
    const convert = (node) => {
      if (node.nodeType === Node.TEXT_NODE) return this.pieces(splitMasked(node.data, tokens));
      if (node.nodeType !== Node.ELEMENT_NODE) return [];
      const children = [...node.childNodes].flatMap(convert);
      if (node.tagName === "BR") return [el("br")];
      if (node.tagName === "A") return [this.link(unmask(node.getAttribute("href") ?? "", tokens), children)];
      if (EMPHASIS[node.tagName]) return [el(EMPHASIS[node.tagName], {}, children)];
      if (LISTS.includes(node.tagName)) return [el(node.tagName.toLowerCase(), {}, children)];
      return isParagraph(node) ? [el("p", {}, children)] : children;
    };
    const made = el("div", {}, [...body.childNodes].flatMap(convert));
    const paragraphs = [];
    for (const node of [...made.childNodes]) {
      if (isBlock(node)) paragraphs.push(node);
      else if (paragraphs.at(-1)?.isOpen) paragraphs.at(-1).append(node);
      else if (node.textContent.trim()) paragraphs.push(Object.assign(el("p", {}, node), { isOpen: true }));
    }
    return paragraphs.length ? paragraphs : [el("p", {}, el("br"))];
  }

  chip(token) {
    const words = describe(token, this.values);
    return el(
      "span",
      {
        class: `message-chip${token.startsWith("{%") ? " is-tag" : ""}`,
        contenteditable: "false",
        role: "button",
        tabindex: "0",
        "aria-label": `${words}: change`,
        data: { liquid: token },
      },
      words,
    );
  }

  link(url, children) {
    return el("a", { class: "message-link", title: url, data: { href: url } }, children);
  }

  // -- Changes

  changed() {
    this.forgetRange();
    this.showEmptiness();
    this.onchange(this.source);
  }

  showEmptiness() {
    this.element.classList.toggle("is-empty", !this.source);
    if (this.isFormatted && !this.element.firstElementChild) this.element.append(el("p", {}, el("br")));
  }

  /** Insert a value where the cursor was. */
  insert(token) {
    this.restoreRange();
    const range = getSelection().getRangeAt(0);
    range.deleteContents();
    const chip = this.chip(token);
    range.insertNode(chip);
    const parent = chip.parentElement;
    if (parent !== this.element) parent.querySelector(":scope > br:only-of-type")?.remove();
    const gap = document.createTextNode(GAP);
    chip.after(gap);
    getSelection().collapse(gap, 1);
    this.changed();
  }

  /** Apply a command of the browser's editor, such as "bold", to the selected text. */
  format(command) {
    this.restoreRange();
    document.execCommand("defaultParagraphSeparator", false, "p");
    document.execCommand("styleWithCSS", false, "false");
    document.execCommand(command);
    this.changed();
  }

  /** Link the selected text, or change the link at the cursor. */
  editLink() {
    this.restoreRange();
    const range = getSelection().getRangeAt(0);
    const present = (
      range.startContainer.nodeType === Node.TEXT_NODE
        ? range.startContainer.parentElement
        : range.startContainer
    ).closest("a.message-link");
    this.keepRange();
    changeLink(present?.dataset.href ?? "", (url) => {
      this.restoreRange();
      if (present && url) Object.assign(present.dataset, { href: url });
      else if (present) present.replaceWith(...present.childNodes);
      else if (url) this.linkSelection(url);
      this.changed();
    });
  }

  linkSelection(url) {
    if (getSelection().isCollapsed) {
      const range = getSelection().getRangeAt(0);
      range.insertNode(this.link(url, [url.replace(/^(https?:\/\/|mailto:|tel:)/i, "")]));
      return;
    }
    const range = getSelection().getRangeAt(0);
    const [first, last] = [range.startContainer, range.endContainer].map((node) =>
      (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest("p, li"),
    );
    if (first && first === last) {
      const link = this.link(url, []);
      link.append(range.extractContents());
      range.insertNode(link);
      return;
    }
    document.execCommand("createLink", false, "https://link.invalid/");
    for (const made of this.element.querySelectorAll("a:not(.message-link)")) {
      made.replaceWith(this.link(url, [...made.childNodes]));
    }
  }

  onBeforeInput(event, onundo, onredo) {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault();
      if (event.inputType === "historyUndo") onundo();
      else onredo();
    } else if (event.inputType === "insertFromDrop" || event.inputType === "formatUnderline") {
      event.preventDefault();
    } else if (
      !this.isFormatted &&
      (ONE_LINE.includes(event.inputType) || event.inputType.startsWith("format"))
    ) {
      event.preventDefault();
    }
  }

  onPaste(event) {
    event.preventDefault();
    const text = event.clipboardData.getData("text/plain");
    const plain = this.isFormatted ? text : text.replaceAll(/\s+/g, " ");
    document.execCommand("insertText", false, plain);
    this.showTypedValues();
  }

  onKey(event) {
    this.forgetRange();
    const chip = event.target.closest(".message-chip");
    if (!chip) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.press(chip);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.replaceChip(chip, null);
    }
  }

  press(target) {
    const chip = target.closest(".message-chip");
    if (!chip) return;
    changeValue(chip.dataset.liquid, this.values, {
      onchange: (token) => this.replaceChip(chip, token),
      onremove: () => this.replaceChip(chip, null),
    });
  }

  replaceChip(chip, token) {
    const place = document.createRange();
    place.setStartBefore(chip);
    place.collapse(true);
    if (token) {
      const made = this.chip(token);
      chip.replaceWith(made);
      made.focus();
    } else {
      chip.remove();
      this.element.focus();
      getSelection().removeAllRanges();
      getSelection().addRange(place);
    }
    this.changed();
  }

  /** Show values that somebody has typed as Liquid as chips. */
  showTypedValues() {
    const walker = document.createTreeWalker(this.element, NodeFilter.SHOW_TEXT);
    const typed = [];
    while (walker.nextNode()) {
      const isInChip = walker.currentNode.parentElement.closest(".message-chip");
      if (!isInChip && split(walker.currentNode.data).some(({ token }) => token))
        typed.push(walker.currentNode);
    }
    for (const node of typed) {
      const pieces = this.pieces(split(node.data));
      const holdsCursor = getSelection().anchorNode === node;
      node.replaceWith(...pieces);
      if (!holdsCursor) continue;
      const gap = document.createTextNode(GAP);
      pieces.findLast((piece) => piece instanceof HTMLElement).after(gap);
      getSelection().collapse(gap, 1);
    }
  }

  // -- The cursor

  keepRange() {
    const selection = getSelection();
    if (selection.rangeCount && this.element.contains(selection.anchorNode)) {
      this.range = selection.getRangeAt(0).cloneRange();
    }
    this.showTypedValues();
  }

  /** Forget where the cursor was when the field lost the focus: somebody moves it. */
  forgetRange() {
    this.range = null;
  }

  restoreRange() {
    const selection = getSelection();
    const isHere = selection.rangeCount && this.element.contains(selection.anchorNode);
    const kept = this.range && this.element.contains(this.range.startContainer) ? this.range : null;
    this.element.focus();
    if (isHere && !kept) return;
    selection.removeAllRanges();
    selection.addRange(kept ?? this.end());
    this.range = null;
  }

  end() {
    const range = document.createRange();
    const last = this.isFormatted ? (this.element.lastElementChild ?? this.element) : this.element;
    const inside = LISTS.includes(last.tagName) ? (last.lastElementChild ?? last) : last;
    range.selectNodeContents(inside);
    range.collapse(false);
    return range;
  }
}

const plainText = (text) => text.replaceAll(GAP, "").replaceAll("\u00a0", " ");
const isParagraph = (node) =>
  node.nodeType === Node.ELEMENT_NODE && /^(P|DIV|H[1-6]|BLOCKQUOTE|PRE|TD|SECTION)$/.test(node.tagName);
const isBlock = (node) =>
  isParagraph(node) || (node.nodeType === Node.ELEMENT_NODE && LISTS.includes(node.tagName));
const escapeText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function lineSource(node) {
  return [...node.childNodes]
    .map((child) => {
      if (child.nodeType === Node.TEXT_NODE) return plainText(child.data).replaceAll(/\s/g, " ");
      return child.dataset?.liquid ?? lineSource(child);
    })
    .join("");
}

/** Return the HTML of formatted text: paragraphs, lists, links and emphasis. */
function formattedSource(root) {
  const paragraphs = [];
  let inline = "";
  const closeParagraph = () => {
    paragraphs.push(paragraph("p", inline));
    inline = "";
  };
  for (const child of root.childNodes) {
    if (!isBlock(child)) {
      inline += inlineSource(child);
      continue;
    }
    closeParagraph();
    const isList = child.tagName === "UL" || child.tagName === "OL";
    paragraphs.push(isList ? listSource(child) : blockSource(child));
  }
  closeParagraph();
  return paragraphs.filter(Boolean).join("\n");
}

function blockSource(node) {
  // Some browsers put a list into the paragraph that it was made from.
  if ([...node.children].some(isBlock)) return formattedSource(node);
  return paragraph("p", [...node.childNodes].map(inlineSource).join(""));
}

function listSource(list) {
  const tag = list.tagName.toLowerCase();
  const items = [...list.children].map((item) =>
    paragraph("li", [...item.childNodes].map(inlineSource).join("")),
  );
  const content = items.filter(Boolean).join("");
  return content && `<${tag}>${content}</${tag}>`;
}

function paragraph(tag, content) {
  const trimmed = content.replace(/^(\s|<br>)+|(\s|<br>)+$/g, "");
  // A paragraph of conditions alone would leave an empty line.
  const hasOnlyTags = trimmed && !trimmed.replaceAll(/\{%.*?%\}|\s/gs, "");
  return trimmed && !hasOnlyTags ? `<${tag}>${trimmed}</${tag}>` : trimmed;
}

function inlineSource(node) {
  if (node.nodeType === Node.TEXT_NODE) return escapeText(plainText(node.data));
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  if (node.dataset.liquid) return node.dataset.liquid;
  if (node.tagName === "BR") return "<br>";
  const content = [...node.childNodes].map(inlineSource).join("");
  if (node.tagName === "A" && node.dataset.href && content) {
    return `<a href="${attribute(node.dataset.href)}">${content}</a>`;
  }
  const tag = EMPHASIS[node.tagName];
  return tag && content ? `<${tag}>${content}</${tag}>` : content;
}

/** Escape a text for an attribute, apart from its values. */
function attribute(text) {
  return split(text)
    .map((part) => part.token ?? escapeText(part.text).replaceAll('"', "&quot;"))
    .join("");
}
