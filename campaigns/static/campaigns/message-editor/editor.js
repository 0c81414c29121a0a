// The message editor: shows the blocks of a step, which are JSON in a text area, and keeps both in step.

import { el, icon, iconButton, select } from "../../segments/editor/dom.js";
import * as list from "./block-list.js";
import { chooseValue, withScheme } from "./dialogs.js";
import { History } from "./history.js";
import { Preview } from "./preview.js";
import { TextField } from "./text-field.js";

const PARTS = ["channel", "subject", "text", "html", "url", "blocks"];
const ONE_WAY =
  "This is the source that the blocks make, in Liquid. You can edit it instead: then the blocks are given up," +
  " and the text and the HTML are edited each on its own. There is no way back from the source to these blocks.";

export class MessageEditor {
  constructor(step, knowledge) {
    this.step = step;
    this.knowledge = knowledge;
    this.kinds = Object.fromEntries(knowledge.blocks.map((kind) => [kind.type, kind]));
    this.inputs = Object.fromEntries(PARTS.map((part) => [part, step.querySelector(`[name$="-${part}"]`)]));
    this.boxes = Object.fromEntries(PARTS.map((part) => [part, step.querySelector(`[data-part="${part}"]`)]));
    this.pool = document.getElementById("id_pool");
    this.history = new History();
    this.fields = new Map();
    this.problems = [];
    this.read();
    this.build();
    this.draw();
    this.showMode();
    this.watch();
  }

  // -- The form underneath

  read() {
    this.blocks = [];
    try {
      const written = JSON.parse(this.inputs.blocks.value || "[]") ?? [];
      this.blocks = list.fromJson(written, this.kinds);
      this.unreadable = "";
    } catch (error) {
      this.unreadable = error.message;
    }
    const isWritten = this.inputs.text.value.trim() || this.inputs.html.value.trim() || this.unreadable;
    this.isSource = !this.blocks.length && Boolean(isWritten);
    if (!this.blocks.length && !this.isSource) this.startWithText();
    this.state = this.snapshot();
  }

  /** Offer an empty text. It is no part of the message before somebody writes in it. */
  startWithText() {
    if (this.kinds.text) this.blocks = [{ ...list.makeBlock(this.kinds.text), isUntouched: true }];
  }

  snapshot() {
    return JSON.stringify({
      isSource: this.isSource,
      blocks: list.toJson(this.blocks, this.kinds),
      subject: this.inputs.subject.value,
      text: this.isSource ? this.inputs.text.value : "",
      html: this.isSource ? this.inputs.html.value : "",
    });
  }

  /** Write a change to the form. `typed` names the field in which somebody is typing. */
  commit({ typed = null } = {}) {
    const state = this.snapshot();
    if (state === this.state) return;
    this.history.record(this.state, typed);
    this.state = state;
    this.write();
  }

  write() {
    const written = list.toJson(this.blocks, this.kinds);
    this.inputs.blocks.value = this.isSource || !written.length ? "[]" : JSON.stringify(written, null, 1);
    this.inputs.blocks.dispatchEvent(new Event("change", { bubbles: true })); // for the warning of unsaved changes
    this.showTools();
    this.preview.refresh();
  }

  travel(direction) {
    const state = this.history[direction](this.state);
    if (!state) return;
    const { isSource, blocks, subject, text, html } = JSON.parse(state);
    const focus = this.focusedKey();
    this.state = state;
    this.isSource = isSource;
    const before = this.blocks;
    this.blocks = list.fromJson(blocks, this.kinds);
    for (const [place, block] of this.blocks.entries()) {
      if (before[place]?.type === block.type) block.id = before[place].id; // the focus finds it by its id
    }
    if (!this.blocks.length && !isSource) this.startWithText();
    this.inputs.subject.value = subject;
    this.subject.source = subject;
    if (isSource) Object.assign(this.inputs.text, { value: text });
    if (isSource) Object.assign(this.inputs.html, { value: html });
    this.draw();
    this.showMode();
    this.write();
    this.restoreFocus(focus);
    this.say(direction === "undo" ? "Undone" : "Redone");
  }

  // -- Frame

  build() {
    const values = this.knowledge.values;
    const label = this.boxes.subject.querySelector("label")?.textContent.trim() || "Subject";
    this.subject = new TextField({
      label,
      source: this.inputs.subject.value,
      values,
      class: "message-input",
      placeholder: "What is the message about?",
      data: { key: "subject" },
      onchange: (source) => {
        this.inputs.subject.value = source;
        this.commit({ typed: "subject" });
      },
      onundo: () => this.travel("undo"),
      onredo: () => this.travel("redo"),
    });
    const subject = el(
      "div",
      { class: "message-subject-field", data: { channels: this.boxes.subject.dataset.channels } },
      el("span", { class: "message-label", "aria-hidden": "true" }, label),
      this.subject.element,
    );
    this.subject.element.addEventListener("focus", () => this.enter(this.subject));
    this.giveUp(this.boxes.subject, subject);
    this.boxes.subject.before(subject);
    this.preview = new Preview({
      urls: this.knowledge.urls,
      draft: () => this.draft(),
      onresult: (answer) => this.onPreview(answer),
    });
    this.preview.element.dataset.channels = this.boxes.text.dataset.channels;
    this.buildBody();
    this.step.querySelector(".message").append(this.preview.element);
    this.step.querySelector(".message").classList.add("is-edited");
  }

  /** A field that is replaced gives up its label, and its errors are shown beside what replaces it. */
  giveUp(box, place) {
    box.querySelector("label")?.removeAttribute("for");
    this.moveErrors(box, place);
  }

  moveErrors(box, place) {
    for (const errors of box.querySelectorAll("div.text-red-600:has(ul)")) {
      errors.className = "message-problem";
      errors.setAttribute("role", "alert");
      place.append(errors);
    }
  }

  buildBody() {
    const tool = (symbol, words, act, isForText) =>
      iconButton(symbol, words, act, {
        class: "message-icon",
        onmousedown: (event) => event.preventDefault(), // the text keeps its selection
        data: isForText ? { formats: "" } : {},
      });
    this.undoButton = tool("undo", "Undo (Ctrl+Z)", () => this.travel("undo"));
    this.redoButton = tool("redo", "Redo (Ctrl+Shift+Z)", () => this.travel("redo"));
    const insert = el(
      "button",
      {
        type: "button",
        class: "message-button",
        "aria-haspopup": "dialog",
        onmousedown: (event) => event.preventDefault(),
        onclick: () => this.insertValue(),
      },
      icon("new_label"),
      "Insert …",
    );
    this.toolbar = el("div", { class: "message-toolbar", role: "toolbar", "aria-label": "Message" }, [
      this.undoButton,
      this.redoButton,
      insert,
      tool("format_bold", "Bold (Ctrl+B)", () => this.active.format("bold"), true),
      tool("format_italic", "Italic (Ctrl+I)", () => this.active.format("italic"), true),
      tool("format_list_bulleted", "List", () => this.active.format("insertUnorderedList"), true),
      tool("link", "Link (Ctrl+K)", () => this.active.editLink(), true),
    ]);
    this.canvas = el("ol", { class: "message-blocks", "aria-label": "Blocks" });
    this.palette = el(
      "div",
      { class: "message-palette", role: "group", "aria-label": "Add a block" },
      this.knowledge.blocks.map((kind) =>
        el(
          "button",
          { type: "button", class: "message-button", onclick: () => this.add(kind) },
          icon(kind.icon),
          kind.label,
        ),
      ),
    );
    this.status = el("p", { class: "unseen", role: "status" });
    const tab = (words, isSource) =>
      el(
        "button",
        {
          type: "button",
          class: "message-tab",
          "aria-pressed": "false",
          onclick: () => this.showTab(isSource),
        },
        words,
      );
    this.tabs = [tab("Blocks", false), tab("Advanced", true)];
    this.blocksTab = el(
      "div",
      { class: "message-blocks-tab" },
      this.canvas,
      el("p", { class: "message-label", "aria-hidden": "true" }, "Add a block"),
      this.palette,
    );
    this.toBlocks = el(
      "div",
      { class: "hint" },
      el("p", {}, "This message is written as source, in Liquid: see Advanced. It has no blocks."),
      el(
        "button",
        { type: "button", class: "message-button", onclick: () => this.buildFromText() },
        "Build it of blocks",
      ),
    );
    this.sources = el("div", { class: "message-sources" });
    this.advanced = el(
      "div",
      { class: "message-advanced" },
      el("p", { class: "muted" }, ONE_WAY),
      this.sources,
      el(
        "button",
        { type: "button", class: "message-button", onclick: () => this.editSource() },
        "Edit the source, and give up the blocks",
      ),
    );
    this.unreadableNote = el("p", { class: "message-problem", role: "alert", hidden: true });
    this.errors = el("div");
    this.body = el(
      "div",
      { class: "message-editor", data: { channels: this.boxes.blocks.dataset.channels } },
      el("div", { class: "message-tabs", role: "group", "aria-label": "Blocks or source" }, this.tabs),
      this.errors,
      this.toolbar,
      this.unreadableNote,
      this.blocksTab,
      this.toBlocks,
      this.advanced,
      this.status,
    );
    this.body.addEventListener("keydown", (event) => this.onKey(event));
    this.subject.element.addEventListener("keydown", (event) => this.onKey(event));
    this.giveUp(this.boxes.blocks, this.errors);
    for (const part of ["text", "html"]) this.moveErrors(this.boxes[part], this.errors);
    this.boxes.text.before(this.body);
  }

  watch() {
    for (const part of ["text", "html", "url"]) {
      this.inputs[part]?.addEventListener("input", () => {
        if (part === "url") this.preview.refresh();
        else this.commit({ typed: part });
      });
    }
    this.inputs.channel.addEventListener("change", () => this.showMode());
    this.pool?.addEventListener("change", () => {
      for (const mirror of this.canvas.querySelectorAll("[data-pool]")) mirror.value = this.pool.value;
      this.preview.refresh();
    });
    // Campaigns can have many steps: a preview is loaded when its step comes into view.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.preview.refresh(0);
    }).observe(this.preview.element);
  }

  draft() {
    const data = new FormData();
    for (const part of PARTS) data.set(part, this.inputs[part]?.value ?? "");
    data.set("pool", this.pool?.value ?? "");
    data.set("csrfmiddlewaretoken", this.step.closest("form").elements.csrfmiddlewaretoken.value);
    return data;
  }

  say(words) {
    this.status.textContent = words;
  }

  // -- Blocks or source

  takesBlocks() {
    return this.body.dataset.channels.split(" ").includes(this.inputs.channel.value);
  }

  showTab(isAdvanced) {
    this.isAdvanced = isAdvanced;
    this.showMode();
  }

  showMode() {
    this.isAdvanced ??= this.isSource;
    const isBlocks = this.takesBlocks() && !this.isSource;
    const showsSource = this.isSource && this.isAdvanced;
    for (const part of ["text", "html"]) {
      this.boxes[part].classList.toggle("is-replaced", this.takesBlocks() && !showsSource);
    }
    this.boxes.subject.classList.add("is-replaced");
    this.boxes.blocks.classList.add("is-replaced");
    this.tabs[0].setAttribute("aria-pressed", String(!this.isAdvanced));
    this.tabs[1].setAttribute("aria-pressed", String(this.isAdvanced));
    this.toolbar.hidden = !isBlocks || this.isAdvanced;
    this.blocksTab.hidden = !isBlocks || this.isAdvanced;
    this.toBlocks.hidden = !this.isSource || this.isAdvanced;
    this.advanced.hidden = this.isSource || !this.isAdvanced;
    this.unreadableNote.hidden = !this.unreadable;
    this.unreadableNote.textContent = this.unreadable;
    this.showTools();
    this.preview.refresh();
  }

  /** Give up the blocks for their source. One can undo it until the form is saved. */
  editSource() {
    const { text, html } = this.preview.answer?.source ?? {};
    if (text === undefined) return;
    this.inputs.text.value = text;
    this.inputs.html.value = html;
    this.isSource = true;
    this.blocks = [];
    this.commit();
    this.showMode();
    this.inputs.html.focus();
    this.say("The source can be edited now.");
  }

  /** Begin with a text block of the present text. */
  buildFromText() {
    const paragraphs = this.inputs.text.value
      .trim()
      .split(/\n\s*\n/)
      .filter(Boolean);
    const escaped = paragraphs.map((text) => {
      const sheet = el("p");
      for (const [place, line] of text.split("\n").entries())
        sheet.append(...(place ? [el("br"), line] : [line]));
      return sheet.outerHTML.replaceAll(/\{[{%].*?[%}]\}/gs, (token) => decode(token));
    });
    this.isSource = false;
    this.unreadable = "";
    this.blocks = paragraphs.length ? [list.makeBlock(this.kinds.text, { content: escaped.join("\n") })] : [];
    if (!this.blocks.length) this.startWithText();
    this.commit();
    this.draw();
    this.showMode();
    this.focusFirst(this.blocks[0]);
  }

  // -- Changes of the blocks

  change(act, { focus = null, words = "" } = {}) {
    if (act() === false) return;
    this.draw();
    this.commit();
    if (focus) this.canvas.querySelector(`[data-key="${focus}"]`)?.focus();
    if (words) this.say(words);
  }

  add(kind) {
    if (this.blocks.length >= this.knowledge.maxBlocks) {
      this.say(`A message has at most ${this.knowledge.maxBlocks} blocks.`);
      return;
    }
    const made = list.makeBlock(kind);
    this.change(
      () => {
        this.blocks = this.blocks.filter((block) => !block.isUntouched);
        list.add(this.blocks, made);
      },
      { words: `${kind.label} added` },
    );
    if (kind.type === "coupon") this.chooseOnlyPool();
    this.focusFirst(made);
  }

  /** Choose the pool of codes if there is only one. */
  chooseOnlyPool() {
    const pools = [...(this.pool?.options ?? [])].filter((option) => option.value);
    if (this.pool?.value || pools.length !== 1) return;
    this.pool.value = pools[0].value;
    this.pool.dispatchEvent(new Event("change", { bubbles: true }));
  }

  focusFirst(block) {
    const item = this.canvas.querySelector(`[data-block="${block.id}"]`);
    const first = item?.querySelector(".message-fields :is([role=textbox], input, select)");
    (first ?? item?.querySelector(".message-handle"))?.focus();
    item?.scrollIntoView({ block: "nearest" });
  }

  move(block, by) {
    const label = this.kinds[block.type].label;
    this.change(() => list.step(this.blocks, block, by), {
      focus: this.focusedKey() ?? `${block.id}:handle`,
      words: `${label} moved ${by < 0 ? "up" : "down"}, to place ${this.blocks.indexOf(block) + by + 1} of ${this.blocks.length}`,
    });
  }

  remove(block) {
    const place = this.blocks.indexOf(block);
    const next = this.blocks[place + 1] ?? this.blocks[place - 1];
    this.change(() => list.remove(this.blocks, block), {
      focus: next && `${next.id}:handle`,
      words: `${this.kinds[block.type].label} removed. Use Undo to bring it back.`,
    });
    if (!next) this.palette.querySelector("button").focus();
  }

  onKey(event) {
    const isCommand = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (isCommand && (key === "z" || key === "y")) {
      event.preventDefault();
      this.travel(key === "y" || event.shiftKey ? "redo" : "undo");
    } else if (isCommand && ["b", "i", "k"].includes(key) && this.active?.isFormatted) {
      event.preventDefault();
      if (key === "k") this.active.editLink();
      else this.active.format(key === "b" ? "bold" : "italic");
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const item = event.target.closest("[data-block]");
      if (!item) return;
      event.preventDefault();
      const block = this.blocks.find((one) => one.id === Number(item.dataset.block));
      this.move(block, event.key === "ArrowUp" ? -1 : 1);
    }
  }

  // -- Text fields

  /** A text field got the focus: values and formats go there. */
  enter(field) {
    this.active = field;
    this.showTools();
  }

  insertValue() {
    const first = this.canvas.querySelector("[role=textbox]");
    const field = this.active?.element.isConnected ? this.active : this.fields.get(first);
    if (!field) return;
    chooseValue(this.knowledge.values, (token) => {
      field.insert(token);
      if (/\bcoupon\b/.test(token)) this.chooseOnlyPool();
    });
  }

  showTools() {
    // Not `disabled`: a disabled button would lose the focus after it was pressed.
    this.undoButton.setAttribute("aria-disabled", String(!this.history.past.length));
    this.redoButton.setAttribute("aria-disabled", String(!this.history.future.length));
    const isFormatted = Boolean(this.active?.element.isConnected && this.active.isFormatted);
    for (const button of this.toolbar.querySelectorAll("[data-formats]")) button.disabled = !isFormatted;
  }

  focusedKey() {
    return document.activeElement?.closest("[data-key]")?.dataset.key ?? null;
  }

  /** Put the focus where it was, by the place of the block: blocks are made anew. */
  restoreFocus(key) {
    if (!key) return;
    const target = [...this.step.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    (target ?? this.undoButton).focus();
  }

  // -- Drawing

  draw() {
    this.fields.clear();
    this.canvas.replaceChildren(...this.blocks.map((block, place) => this.drawBlock(block, place)));
    this.showProblems();
  }

  drawBlock(block, place) {
    const kind = this.kinds[block.type];
    const name = `${kind.label}, block ${place + 1} of ${this.blocks.length}`;
    const action = (symbol, words, key, act) =>
      iconButton(symbol, `${words}: ${kind.label}`, act, {
        class: "message-icon",
        data: { key: `${block.id}:${key}` },
      });
    const handle = el(
      "button",
      {
        type: "button",
        class: "message-handle",
        draggable: "true",
        title: "Drag to move, or press Alt+↑ or Alt+↓",
        "aria-label": `${name}: drag to move, or press Alt and an arrow key`,
        data: { key: `${block.id}:handle` },
      },
      icon("drag_indicator"),
    );
    const item = el(
      "li",
      { class: `message-block is-${block.type}`, data: { block: block.id } },
      handle,
      el("span", { class: "message-kind" }, kind.label),
      el("span", { class: "message-actions" }, [
        action("arrow_upward", "Move up (Alt+↑)", "up", () => this.move(block, -1)),
        action("arrow_downward", "Move down (Alt+↓)", "down", () => this.move(block, 1)),
        action("content_copy", "Duplicate", "copy", () => {
          const made = list.duplicate(this.blocks, block, this.kinds);
          this.change(() => true, { focus: `${made.id}:copy`, words: `${kind.label} duplicated` });
        }),
        action("delete", "Remove", "remove", () => this.remove(block)),
      ]),
      el(
        "div",
        { class: "message-block-body" },
        this.drawFields(block, kind),
        el("p", { class: "message-problem", hidden: true }),
      ),
    );
    this.takeDrags(item, handle, block);
    item.addEventListener("focusout", () => setTimeout(() => this.showProblems()));
    return item;
  }

  takeDrags(item, handle, block) {
    const isBelow = (event) => {
      const box = item.getBoundingClientRect();
      return event.clientY > box.top + box.height / 2;
    };
    handle.addEventListener("dragstart", (event) => {
      this.dragged = block;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
      event.dataTransfer.setDragImage(item, 10, 10);
    });
    handle.addEventListener("dragend", () => {
      this.dragged = null;
      for (const one of this.canvas.children) one.classList.remove("is-above", "is-below");
    });
    item.addEventListener("dragover", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      item.classList.toggle("is-below", isBelow(event));
      item.classList.toggle("is-above", !isBelow(event));
    });
    item.addEventListener("dragleave", () => item.classList.remove("is-above", "is-below"));
    item.addEventListener("drop", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      const moved = this.dragged;
      this.dragged = null;
      this.change(() => list.moveTo(this.blocks, moved, block, isBelow(event)), {
        focus: `${moved.id}:handle`,
        words: `${this.kinds[moved.type].label} moved`,
      });
    });
  }

  drawFields(block, kind) {
    const isInPlace = (field) => field.name === "content" && field.kind !== "choice";
    const inPlace = kind.fields.filter(isInPlace);
    const others = kind.fields.filter((field) => !isInPlace(field));
    const shownTo = this.drawShownTo(block, kind);
    return el(
      "div",
      { class: "message-fields" },
      inPlace.map((field) => this.drawText(block, kind, field, "in-place")),
      block.type === "coupon" ? this.drawPool() : null,
      others.length
        ? el(
            "div",
            { class: "message-details" },
            others.map((field) => this.drawField(block, kind, field)),
          )
        : null,
      shownTo,
    );
  }

  set(block, name, value, { isTyped = true } = {}) {
    block.values[name] = value;
    block.isUntouched = false;
    this.commit({ typed: isTyped ? `${block.id}:${name}` : null });
  }

  drawText(block, kind, field, look) {
    const made = new TextField({
      label: look === "in-place" ? kind.label : `${kind.label}: ${field.label.toLowerCase()}`,
      source: `${block.values[field.name] ?? ""}`,
      values: this.knowledge.values,
      isFormatted: field.kind === "formatted",
      class: look === "in-place" ? `in-place as-${block.type}` : "message-input",
      placeholder: look === "in-place" ? `Write the ${kind.label.toLowerCase()} …` : " ",
      data: { key: `${block.id}:${field.name}` },
      onchange: (source) => this.set(block, field.name, source),
      onundo: () => this.travel("undo"),
      onredo: () => this.travel("redo"),
    });
    this.fields.set(made.element, made);
    made.element.addEventListener("focus", () => this.enter(made));
    if (field.kind === "url" || field.kind === "image") {
      made.element.addEventListener("blur", () => {
        const written = withScheme(made.source);
        if (written === made.source) return;
        made.source = written;
        this.set(block, field.name, written, { isTyped: false });
      });
    }
    return made.element;
  }

  drawField(block, kind, field) {
    const attributes = {
      class: "message-input",
      "aria-label": `${kind.label}: ${field.label.toLowerCase()}`,
      data: { key: `${block.id}:${field.name}` },
    };
    const value = block.values[field.name];
    const change = (written, isTyped) => this.set(block, field.name, written, { isTyped });
    let input;
    if (field.kind === "choice") {
      const options = field.choices.map(([key, label]) => [String(key), label]);
      const typed = (key) => field.choices.find(([choice]) => String(choice) === key)[0];
      input = select(options, String(value), (key) => change(typed(key), false), attributes);
    } else if (field.kind === "number") {
      input = el("input", {
        ...attributes,
        type: "number",
        min: field.minimum,
        max: field.maximum,
        value: String(value),
        oninput: ({ currentTarget }) => currentTarget.value && change(Number(currentTarget.value), true),
      });
    } else if (field.kind === "flag") {
      input = el("input", {
        ...attributes,
        class: "",
        type: "checkbox",
        checked: value,
        onchange: ({ currentTarget }) => change(currentTarget.checked, false),
      });
    } else {
      input = this.drawText(block, kind, field, "labelled");
    }
    return el(
      "div",
      { class: `message-labelled is-${field.kind}` },
      el("span", { class: "message-label", "aria-hidden": "true" }, field.label),
      input,
      field.help ? el("small", {}, field.help) : null,
    );
  }

  drawShownTo(block, kind) {
    const present = block.values.shown_if ?? "";
    const declared = this.knowledge.conditions;
    const isDeclared = declared.some(([key]) => key === present);
    const options = isDeclared ? declared : [...declared, [present, `customers with ${present}`]];
    return el(
      "div",
      { class: "message-labelled is-condition" },
      el("span", { class: "message-label", "aria-hidden": "true" }, "Shown to"),
      select(options, present, (key) => this.set(block, "shown_if", key, { isTyped: false }), {
        class: "message-input",
        "aria-label": `${kind.label}: shown to`,
        data: { key: `${block.id}:shown_if` },
      }),
    );
  }

  /** Return a choice of the campaign's pool of codes, which is a field of the campaign. */
  drawPool() {
    if (!this.pool) return null;
    const options = [...this.pool.options].map((option) => [option.value, option.text]);
    const mirror = select(
      options,
      this.pool.value,
      (key) => {
        this.pool.value = key;
        this.pool.dispatchEvent(new Event("change", { bubbles: true }));
      },
      { class: "message-input", "aria-label": "Coupon: pool of codes", data: { pool: "" } },
    );
    return el(
      "div",
      { class: "message-labelled" },
      el("span", { class: "message-label", "aria-hidden": "true" }, "Pool of codes"),
      mirror,
    );
  }

  // -- Problems

  onPreview({ problems, source }) {
    this.problems = problems;
    this.showProblems();
    this.sources.replaceChildren(
      ...[
        ["Text", source.text],
        ["HTML", source.html],
      ].flatMap(([label, code]) => [
        el("h4", {}, label),
        el("pre", { tabindex: "0", "aria-label": `${label} in Liquid` }, code),
      ]),
    );
  }

  /** Show what is wrong with each block, but not of one in which somebody is writing. */
  showProblems() {
    const written = this.blocks.filter((block) => !block.isUntouched);
    for (const [place, block] of written.entries()) {
      const item = this.canvas.querySelector(`[data-block="${block.id}"]`);
      const note = item?.querySelector(".message-problem");
      if (!note) continue;
      const lack = list.lackOf(block, this.kinds[block.type]);
      const found = this.problems.filter((problem) => problem.block === place).map(({ text }) => text);
      const words = lack ? `Write this: ${lack.toLowerCase()}. Or remove the block.` : found.join(" ");
      const isHidden = !words || item.contains(document.activeElement);
      if (note.textContent !== words) note.textContent = words;
      note.hidden = isHidden;
      item.classList.toggle("is-wrong", !isHidden);
    }
  }
}

function decode(token) {
  return token.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
