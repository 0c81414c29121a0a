// The rule editor: shows the rule of a text area as groups and conditions, keeps both in step, and counts who matches.

import { afterwards, el, icon, iconButton, number, select } from "./dom.js";
import { drawParams } from "./fields.js";
import { menuButton } from "./menu.js";
import { openPicker } from "./picker.js";
import { startingParams } from "./schema.js";
import * as tree from "./tree.js";
import { ShopValues } from "./values.js";

const PAUSE = 400; // ms after the last change, before a count is requested
const POLL = 1000;
const FIRST = ["country", "order_count", "total_spent", "last_activity", "newsletter", "open_cart"];
const AHEAD = "ahead";
const EMPTY_GROUP = ".rule-group:has(> .empty)";
const WORDS = { all: "all of these", any: "any of these", none: "none of these" };
const JOINS = { all: "and", any: "or", none: "nor" };

class RuleEditor {
  constructor(host) {
    this.area = host.querySelector("textarea");
    this.knowledge = JSON.parse(host.querySelector("script").textContent);
    this.filters = Object.fromEntries(this.knowledge.filters.map((one) => [one.name, one]));
    this.form = this.area.form;
    this.values = new ShopValues(this.knowledge.urls);
    this.counts = {};
    this.everybody = null;
    this.error = null;
    this.isInsisting = false; // after an attempt to save, errors do not wait
    this.unvisited = new Set(); // the ids of conditions that were added
    this.visited = new Set(); // the keys of their inputs that were left
    this.past = [];
    this.future = [];
    this.build(host);
    this.readArea({ isFirst: true });
    this.area.addEventListener("input", () => this.readArea({}));
    this.form.addEventListener("reset", () => setTimeout(() => this.readArea({})));
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.form.querySelector("[autofocus]")?.focus(); // the browser gives up while the page is being built
  }

  // -- Frame

  build(host) {
    this.undoButton = iconButton("undo", "Undo (Ctrl+Z)", () => this.travel(this.past, this.future));
    this.redoButton = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.travel(this.future, this.past));
    this.jsonButton = el(
      "button",
      {
        type: "button",
        class: "rule-add",
        "aria-expanded": "false",
        "aria-controls": this.area.id,
        onclick: () => this.showJson(this.area.hidden),
      },
      icon("data_object"),
      "JSON",
    );
    this.sentence = el("p", { class: "sentence rule-sentence" });
    this.problem = el("p", { class: "rule-error", role: "alert", hidden: true });
    this.canvas = el("div", { class: "rule-tree" });
    this.count = el("div", { class: "rule-count", "aria-live": "polite" });
    this.sample = el("div", { class: "rule-sample" });
    this.status = el("div", { class: "rule-status", "aria-live": "polite" });
    const editor = el(
      "div",
      { class: "rule-frame", role: "group", "aria-label": "Rule" },
      el("div", { class: "rule-bar" }, this.undoButton, this.redoButton, this.jsonButton),
      el("div", { class: "rule-main" }, this.problem, this.canvas, this.sentence),
      el("aside", { class: "rule-side panel", "aria-label": "Who matches now" }, this.count, this.sample),
      this.status,
    );
    editor.addEventListener("keydown", (event) => this.onKey(event));
    editor.addEventListener("copy", (event) => this.onCopy(event));
    editor.addEventListener("paste", (event) => this.onPaste(event));
    editor.addEventListener("focusout", (event) => this.onLeave(event));
    host.prepend(editor);
    this.showJson(false);
  }

  showJson(isShown) {
    this.area.hidden = !isShown;
    this.jsonButton.setAttribute("aria-expanded", String(isShown));
    if (isShown) this.area.focus();
  }

  say(words) {
    this.status.textContent = words;
  }

  // -- One rule, two views: the text and the tree

  readArea({ isFirst }) {
    const text = this.area.value.trim();
    try {
      const root = text && text !== "null" ? tree.fromJson(JSON.parse(text), this.filters) : tree.group();
      if (!isFirst) this.remember();
      this.unvisited.clear();
      this.root = root;
      this.text = this.written();
      this.showProblem(null);
      this.draw();
      this.ask();
    } catch (error) {
      this.root ??= tree.group();
      if (isFirst) {
        this.text = this.written();
        this.draw();
      }
      this.showProblem(
        error instanceof SyntaxError ? `The text is not JSON: ${error.message}` : error.message,
      );
      this.showJson(true);
    }
  }

  written() {
    return this.root.children.length ? JSON.stringify(tree.toJson(this.root)) : "";
  }

  /** Write a change of the tree to the text area. */
  commit({ typed = null } = {}) {
    const text = this.written();
    if (text === this.text) return;
    if (!typed || typed !== this.typing) this.remember(); // one undo step for a word, not for each letter
    this.typing = typed;
    this.isInsisting = false;
    this.text = text;
    this.area.value = text && JSON.stringify(JSON.parse(text), null, 2);
    this.area.dispatchEvent(new Event("change", { bubbles: true })); // for the script that warns of unsaved changes
    this.showTools();
    this.ask();
  }

  remember() {
    this.past.push(this.text ?? "");
    this.future = [];
    this.typing = null;
    this.showTools();
  }

  travel(from, to) {
    if (!from.length) return;
    to.push(this.text);
    this.text = from.pop();
    this.typing = null;
    this.root = this.text ? tree.fromJson(JSON.parse(this.text), this.filters) : tree.group();
    this.area.value = this.text && JSON.stringify(JSON.parse(this.text), null, 2);
    const hadFocus = this.canvas.contains(document.activeElement);
    this.draw();
    if (hadFocus) this.undoButton.focus(); // the focused element was removed
    this.ask();
    this.say(from === this.past ? "Undone" : "Redone");
  }

  showTools() {
    // Not `disabled`: a disabled button would lose the focus after it was pressed.
    this.undoButton.setAttribute("aria-disabled", String(!this.past.length));
    this.redoButton.setAttribute("aria-disabled", String(!this.future.length));
  }

  onKey(event) {
    if (event.key === "Enter" && event.target.matches("input")) event.preventDefault(); // it would submit the form
    if (
      (event.ctrlKey || event.metaKey) &&
      event.key.toLowerCase() === "z" &&
      !event.target.matches("input, textarea")
    ) {
      event.preventDefault();
      if (event.shiftKey) this.travel(this.future, this.past);
      else this.travel(this.past, this.future);
    }
    const item =
      event.altKey &&
      (event.key === "ArrowUp" || event.key === "ArrowDown") &&
      event.target.closest("[data-node]");
    if (item) {
      event.preventDefault();
      this.step(tree.find(this.root, Number(item.dataset.node)), event.key === "ArrowUp" ? -1 : 1);
    }
  }

  /** Copy the condition or group that has the focus, as JSON. */
  onCopy(event) {
    const node = focusedNode(event, this.root);
    if (!node || node === this.root || !getSelection().isCollapsed) return;
    event.preventDefault();
    event.clipboardData.setData("text/plain", JSON.stringify(tree.toJson(node), null, 2));
    this.say("Copied");
  }

  /** Add a rule from the clipboard after the condition that has the focus, or to the group. */
  onPaste(event) {
    const node = focusedNode(event, this.root);
    if (!node) return;
    event.preventDefault();
    try {
      const given = tree.fromJson(JSON.parse(event.clipboardData.getData("text/plain")), this.filters);
      this.change(() => tree.insert(this.root, given, node), {
        focus: (made) => `${made.id}:menu`,
        words: "Added from the clipboard",
      });
    } catch {
      this.say("The clipboard has no rule.");
    }
  }

  /** Show the error of an input once it is left. */
  onLeave(event) {
    const { key } = event.target.dataset;
    if (!key || this.visited.has(key)) return;
    this.visited.add(key);
    afterwards(() => this.error && this.showError(this.error));
  }

  /** Keep a rule with an empty field from being saved, and show the field. */
  onSubmit(event) {
    if (!this.error) return;
    this.isInsisting = true;
    this.showError(this.error);
    const field =
      this.canvas.querySelector("[aria-invalid]") ??
      this.canvas.querySelector(`${EMPTY_GROUP} > .rule-foot > .rule-add`);
    if (!field || field.value) return; // the server decides
    event.preventDefault();
    field.focus();
  }

  // -- Changes of structure

  change(act, { focus = null, words = "" } = {}) {
    const result = act();
    if (result === false) return;
    this.draw(typeof focus === "function" ? focus(result) : focus);
    this.commit();
    if (words) this.say(words);
  }

  add(parent, button) {
    openPicker(this.offered(), button, (entry) => this.append(parent, entry));
  }

  append(parent, entry) {
    const made = this.made(entry);
    this.unvisited.add(made.id);
    this.change(() => parent.children.push(made), { words: `${entry.label} added` });
    this.focusInto(made);
  }

  exchange(node, button) {
    openPicker(this.offered(), button, (entry) => {
      if (entry.filter.name === node.filter && !entry.params) return;
      this.unvisited.add(node.id);
      this.change(() => Object.assign(node, this.made(entry), { id: node.id }), {
        words: `Changed to ${entry.label}`,
      });
      this.focusInto(node);
    });
  }

  /** Return what conditions can be made of: a segment cannot refer to itself. */
  offered() {
    return { ...this.knowledge, segments: this.otherSegments() };
  }

  otherSegments() {
    return this.knowledge.segments.filter((one) => one.slug !== this.slug());
  }

  /** Return the condition of an entry of the catalogue. */
  made({ filter, params, isNegated }) {
    const given = params ?? startingParams(filter.parameters, filter.example[filter.name]);
    return tree.condition(filter.name, given, this.filters, isNegated);
  }

  /** Ask a condition or a group in the future. */
  nest(node) {
    const filter = this.filters[AHEAD];
    const params = startingParams(filter.parameters, filter.example[AHEAD]);
    this.change(() => tree.nest(this.root, node, AHEAD, params, this.filters), {
      words: "Asked in the future",
    });
    this.focusInto(tree.ownerOf(this.root, node));
  }

  step(node, by) {
    if (!tree.placeOf(this.root, node)) return;
    const focus = document.activeElement?.dataset.key ?? `${node.id}:menu`;
    this.change(() => tree.step(this.root, node, by), { focus, words: by < 0 ? "Moved up" : "Moved down" });
  }

  remove(node) {
    const { parent } = tree.placeOf(this.root, node);
    this.change(() => tree.remove(this.root, node), {
      focus: `${parent.id}:add`,
      words: "Removed. Use Undo to bring it back.",
    });
  }

  // -- Drawing

  draw(focus = document.activeElement?.dataset?.key) {
    this.paths = new Map([...tree.paths(this.root)].map(([node, path]) => [node, path]));
    this.canvas.replaceChildren(this.drawGroup(this.root, null));
    this.showTools();
    this.showCounts();
    if (focus) this.focusOn(focus);
  }

  focusOn(key) {
    this.canvas.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  focusInto(node) {
    const item = this.canvas.querySelector(`[data-node="${node.id}"]`);
    const inputs = [...(item?.querySelectorAll(".rule-params :is(input, select)[data-path]") ?? [])];
    const first =
      inputs.find((input) => !input.value) ?? inputs[0] ?? item?.querySelector(".rule-params button");
    first?.focus();
    if (first?.matches("input")) first.select();
  }

  focusWithin(node, path) {
    const wanted = `${this.paths.get(node)}${path}`;
    const input = this.canvas.querySelector(
      `[data-node="${node.id}"] :is(input, select)[data-path^="${CSS.escape(wanted)}"]`,
    );
    input?.focus();
    if (input?.matches("input")) input.select();
  }

  /** Draw a group. The root of the rule, and that of a nested rule, has no parent. */
  drawGroup(node, parent) {
    const path = this.paths.get(node) ?? "rule";
    const isRoot = node === this.root;
    const isInner = Boolean(parent);
    const choose = (word) =>
      this.change(
        () => {
          node.word = word;
        },
        { focus: `${node.id}:word` },
      );
    const head = el(
      "div",
      { class: "rule-head" },
      isInner ? this.handle(node) : null,
      el("span", { class: "rule-name" }, isRoot ? "Customers who match" : "match"),
      select(Object.entries(WORDS), node.word, choose, {
        "aria-label": isRoot ? "Customers who match" : "Group matches",
        data: { key: `${node.id}:word` },
      }),
      isInner ? this.actions(node, parent) : null,
    );
    const items = node.children.map((child, place) =>
      el(
        "li",
        { class: "rule-item" },
        place ? el("span", { class: "rule-join" }, JOINS[node.word]) : null,
        child.word ? this.drawGroup(child, node) : this.drawCondition(child, node),
      ),
    );
    const list = node.children.length
      ? el("ol", { class: "rule-list" }, items)
      : el(
          "p",
          { class: "empty" },
          isRoot
            ? "There is no condition yet. Add the first one: who should be in this segment?"
            : isInner
              ? "This group is empty. Add a condition, or remove the group."
              : "Add a condition: what will they be then?",
          isRoot && this.drawFirst(node),
        );
    const addCondition = el(
      "button",
      {
        type: "button",
        class: "rule-add",
        data: { key: `${node.id}:add` },
        onclick: (event) => this.add(node, event.currentTarget),
      },
      icon("add"),
      "Condition",
    );
    const addGroup = el(
      "button",
      {
        type: "button",
        class: "rule-add",
        data: { key: `${node.id}:add-group` },
        onclick: () =>
          this.change(
            () => {
              const made = tree.group(node.word === "any" ? "all" : "any");
              node.children.push(made);
              return made;
            },
            { focus: (made) => `${made.id}:add`, words: "Group added" },
          ),
      },
      icon("add"),
      "Group",
    );
    const box = el(
      "section",
      {
        class: "rule-group",
        role: "group",
        "aria-label": WORDS[node.word],
        data: { node: node.id, path, word: node.word },
      },
      head,
      list,
      el("div", { class: "rule-foot" }, addCondition, addGroup),
    );
    this.takeDrops(box, node);
    return box;
  }

  /** Return buttons for the filters that rules often begin with. */
  drawFirst(root) {
    const often = FIRST.map((name) => this.filters[name]).filter(Boolean);
    return el(
      "span",
      { class: "rule-first" },
      often.map((filter) =>
        el(
          "button",
          {
            type: "button",
            class: "rule-add",
            onclick: () => this.append(root, { filter, label: filter.label, params: null, isNegated: false }),
          },
          icon("add"),
          filter.label,
        ),
      ),
    );
  }

  drawCondition(node, parent) {
    const filter = this.filters[node.filter];
    const path = this.paths.get(node);
    const scene = {
      node,
      filter: node.filter,
      label: filter.label,
      unit: filter.unit,
      verbs: filter.verbs,
      currency: this.knowledge.currency,
      key: `${node.id}:`,
      segments: this.otherSegments(),
      values: this.values,
      drawParams,
      changed: ({ isStructure, isLeaving, key, focus, within }) => {
        this.commit({ typed: isStructure ? null : `${node.id}${key}` });
        if (isLeaving) afterwards(() => this.draw());
        else if (isStructure) this.draw(focus ?? document.activeElement?.dataset?.key);
        if (within) this.focusWithin(node, within);
      },
    };
    const params = el("div", { class: "rule-params" }, drawParams(filter.parameters, node.params, "", scene));
    for (const one of params.querySelectorAll("[data-path]")) one.dataset.path = path + one.dataset.path;
    const notes = [...params.querySelectorAll(".rule-note")]; // they stand below all fields
    const name = el(
      "button",
      {
        type: "button",
        class: "rule-filter",
        title: filter.help,
        "aria-label": `${filter.label}: choose another filter`,
        data: { key: `${node.id}:filter` },
        onclick: (event) => this.exchange(node, event.currentTarget),
      },
      filter.label,
      icon("expand_more"),
    );
    const box = el(
      "div",
      { class: "rule-condition", role: "group", "aria-label": filter.label, data: { node: node.id, path } },
      this.handle(node),
      el("div", { class: "rule-body" }, name, params, notes),
      el("span", { class: "rule-badge", data: { count: path, ...(node.isNegated && { negated: "" }) } }),
      this.actions(node, parent),
      node.nested && [
        el("p", { class: "rule-name rule-nested-head" }, "If nothing more is recorded, customers who then"),
        this.drawGroup(node.nested.root, null),
      ],
    );
    this.takeDrops(box, node);
    return box;
  }

  actions(node, parent) {
    const label = node.word ? "group" : this.filters[node.filter].label;
    const removal = { symbol: "delete", label: "Remove", act: () => this.remove(node) };
    const copying = {
      symbol: "content_copy",
      label: "Duplicate",
      act: () =>
        this.change(() => tree.duplicate(this.root, node), {
          focus: (copy) => `${copy.id}:menu`,
          words: "Duplicated",
        }),
    };
    const grouping = node.word
      ? {
          symbol: "select_all",
          label: "Dissolve the group",
          act: () =>
            this.change(() => tree.unwrap(this.root, node), {
              focus: `${parent.id}:add`,
              words: "Group dissolved",
            }),
        }
      : {
          symbol: "folder",
          label: "Put into a group",
          act: () =>
            this.change(() => tree.wrap(this.root, node), {
              focus: (made) => `${made.id}:word`,
              words: "Put into a group",
            }),
        };
    const asking = node.nested
      ? {
          symbol: "today",
          label: "Ask now",
          act: () =>
            this.change(() => tree.unnest(this.root, node), {
              focus: `${parent.id}:add`,
              words: "Asked now",
            }),
        }
      : {
          symbol: "event_upcoming",
          label: "Ask in the future",
          act: () => this.nest(node),
        };
    return menuButton(
      `Actions: ${label}`,
      [
        { symbol: "arrow_upward", label: "Move up", keys: "Alt+↑", act: () => this.step(node, -1) },
        { symbol: "arrow_downward", label: "Move down", keys: "Alt+↓", act: () => this.step(node, 1) },
        copying,
        grouping,
        asking,
        removal,
      ],
      { data: { key: `${node.id}:menu` } },
    );
  }

  // -- Dragging

  handle(node) {
    return el(
      "span",
      {
        class: "rule-handle",
        draggable: "true",
        "aria-hidden": "true",
        title: "Drag to move",
        ondragstart: (event) => {
          this.dragged = node;
          event.dataTransfer.effectAllowed = "move";
          event.dataTransfer.setData("text/plain", "rule");
          event.dataTransfer.setDragImage(event.target.closest("[data-node]"), 0, 0);
        },
        ondragend: () => {
          this.dragged = null;
          this.mark(null);
        },
      },
      icon("drag_indicator"),
    );
  }

  takeDrops(box, node) {
    box.addEventListener("dragover", (event) => {
      if (!this.dragged || this.dragged === node) return;
      event.preventDefault();
      event.stopPropagation();
      this.mark(box);
    });
    box.addEventListener("drop", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      event.stopPropagation();
      const dragged = this.dragged;
      const [target, before] = node.word ? [node, null] : [tree.placeOf(this.root, node).parent, node];
      this.change(() => tree.move(this.root, dragged, target, before), { words: "Moved" });
    });
  }

  mark(box) {
    for (const one of this.canvas.querySelectorAll(".is-target")) one.classList.remove("is-target");
    box?.classList.add("is-target");
  }

  // -- Requests

  slug() {
    return this.form.elements.slug?.value ?? "";
  }

  post(url) {
    return fetch(url, {
      method: "POST",
      signal: this.asked.signal,
      headers: {
        "Content-Type": "application/json",
        "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value,
      },
      body: `{"rule": ${this.text}, "slug": ${JSON.stringify(this.slug())}}`,
    }).then(answered);
  }

  /** Request a count when nothing has changed for a moment. An older request is cancelled. */
  ask() {
    clearTimeout(this.timer);
    this.asked?.abort();
    this.asked = new AbortController();
    this.count.classList.add("is-stale");
    this.canvas.classList.add("is-stale");
    this.error = null;
    if (!this.text) return this.showNothing();
    this.timer = setTimeout(
      () =>
        this.counted().catch((error) => {
          if (error.name !== "AbortError") this.showCount({ problem: error.message });
        }),
      PAUSE,
    );
  }

  async counted() {
    const answer = await this.post(this.knowledge.urls.count);
    this.showError(answer.error);
    if (answer.error) return this.showCount({ problem: "The number appears when the rule is complete." });
    this.sentence.textContent = answer.sentence;
    this.showCount(answer);
    if (answer.waiting) return this.wait(answer.waiting);
    if (answer.counted) this.showDetails(await this.post(this.knowledge.urls.details));
  }

  async wait(url) {
    const { signal } = this.asked;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL));
      const answer = await fetch(url, { signal }).then(answered);
      if (!answer.counted && !answer.problem) continue;
      this.showCount(answer);
      return this.showDetails(answer);
    }
  }

  // -- Results

  showNothing() {
    this.counts = {};
    this.sentence.textContent = "";
    this.showError(null);
    this.count.replaceChildren(
      el("p", { class: "muted" }, "The number of customers appears here while you build the rule."),
    );
    this.sample.replaceChildren();
  }

  showCount({ counted, waiting, problem }) {
    this.count.classList.toggle("is-stale", Boolean(waiting || problem));
    if (counted) {
      this.everybody = counted.everybody;
      const share = counted.everybody ? (100 * counted.matching) / counted.everybody : 0;
      const shown = share && share < 0.1 ? "under 0.1" : share.toFixed(1);
      this.count.replaceChildren(
        el("span", { class: "figure" }, number.format(counted.matching)),
        el(
          "p",
          {},
          `${counted.matching === 1 ? "customer" : "customers"}, ${shown} % of ${number.format(counted.everybody)}`,
        ),
        el(
          "p",
          { class: "muted" },
          `${number.format(counted.known)} known, ${number.format(counted.subscribed)} subscribed`,
        ),
        el("small", {}, `as of ${counted.at}`),
      );
    } else if (waiting) {
      this.count.replaceChildren(
        el("p", { class: "rule-waiting" }, "This takes longer. Counting in the background …"),
      );
    } else {
      this.count.replaceChildren(el("p", { class: "muted" }, problem));
    }
    if (!counted) this.sample.replaceChildren();
  }

  showDetails({ conditions, sample }) {
    this.counts = conditions ?? {};
    this.canvas.classList.remove("is-stale");
    this.showCounts();
    if (!sample) return;
    this.sample.replaceChildren(
      ...(sample.length
        ? [
            el("h4", {}, sample.length < 10 ? "Who matches" : "Ten who match"),
            el(
              "ul",
              { class: "plain" },
              sample.map((one) => el("li", {}, el("a", { href: one.url, target: "_blank" }, one.name))),
            ),
          ]
        : []),
    );
  }

  showCounts() {
    for (const badge of this.canvas.querySelectorAll("[data-count]")) {
      const alone = this.counts[badge.dataset.count];
      const isNegated = "negated" in badge.dataset && this.everybody !== null;
      const count = alone === undefined || !isNegated ? alone : this.everybody - alone;
      badge.textContent = count === undefined ? "" : number.format(count);
      badge.title = count === undefined ? "" : `${number.format(count)} customers match this condition alone`;
    }
  }

  showProblem(message) {
    this.problem.hidden = !message;
    this.problem.textContent = message ?? "";
  }

  /** Show an error of the server next to its input, but not before somebody has left the input. */
  showError(error) {
    this.error = error ?? null;
    for (const one of this.canvas.querySelectorAll(".rule-error")) one.remove();
    for (const one of this.canvas.querySelectorAll("[aria-invalid]")) {
      one.removeAttribute("aria-invalid");
      one.removeAttribute("aria-describedby");
    }
    this.showProblem(null);
    if (!error) return;
    const places = [...this.canvas.querySelectorAll("[data-path]")].filter(
      (one) => error.path.startsWith(one.dataset.path) || one.dataset.path.startsWith(`${error.path}.`),
    );
    const nearest = places.sort(
      (one, other) => shared(other.dataset.path, error.path) - shared(one.dataset.path, error.path),
    )[0];
    if (!nearest) return this.showProblem(error.message);
    if (this.isBeingWritten(nearest)) return;
    const id = `${this.area.id}-error`;
    const isBlank = nearest.matches("input, select") && !nearest.value;
    const asks = isBlank ? "Enter a value here." : nearest.matches(EMPTY_GROUP) && "Add a condition here.";
    const message = el("p", { class: "rule-error", id }, asks || error.message);
    if (nearest.matches("input, select")) {
      nearest.setAttribute("aria-invalid", "true");
      nearest.setAttribute("aria-describedby", id);
    }
    const box = nearest.closest(".rule-condition, .rule-group");
    const head = box?.querySelector(":scope > .rule-head");
    const nested = box?.querySelector(":scope > .rule-nested-head");
    if (head) head.after(message);
    else if (nested) nested.before(message);
    else (box ?? nearest).append(message);
  }

  /** Whether an input has the focus, or belongs to a new condition and was not left yet. An empty group says what it needs. */
  isBeingWritten(input) {
    if (this.isInsisting) return false;
    if (input.matches(EMPTY_GROUP)) return true;
    if (!input.matches("input, select")) return false;
    const id = Number(input.closest("[data-node]").dataset.node);
    return (
      document.activeElement === input || (this.unvisited.has(id) && !this.visited.has(input.dataset.key))
    );
  }
}

/** Return the condition or group that has the focus, if no text field has it. */
function focusedNode(event, root) {
  if (event.target.matches("input, textarea")) return null;
  const item = event.target.closest("[data-node]");
  return item && tree.find(root, Number(item.dataset.node));
}

/** Return how well the path of an input matches the path of an error. */
function shared(path, wanted) {
  return wanted.startsWith(path) ? path.length : wanted.length - (path.length - wanted.length) / 1000;
}

async function answered(response) {
  if (response.redirected || response.status === 403)
    throw new Error("You are logged out or do not have permission. Reload the page.");
  if (!response.ok) throw new Error("The server could not count the customers. Try again in a moment.");
  return response.json();
}

for (const host of document.querySelectorAll("[data-rule-editor]")) new RuleEditor(host);
