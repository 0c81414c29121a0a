// The message as a customer would get it, beside the editor: as HTML or text, wide or narrow, light or dark.

import { el, icon } from "../../segments/editor/dom.js";
import { chooseCustomer } from "./dialogs.js";

const PAUSE = 350; // ms after the last change, before a preview is requested
const LINKS_PAUSE = 1500;

export class Preview {
  /** `draft` returns the message as form data; `onresult` gets each answer of the server. */
  constructor({ urls, draft, onresult }) {
    this.urls = urls;
    this.draft = draft;
    this.onresult = onresult;
    this.customer = null;
    this.isDark = false;
    this.asked = 0;
    this.checkedLinks = null;
    this.linkChecks = [];
    this.element = this.build();
  }

  build() {
    this.subject = el("p", { class: "message-subject" });
    this.frame = el("iframe", {
      class: "message-frame",
      sandbox: "",
      referrerpolicy: "no-referrer",
      title: "The message as HTML",
    });
    this.text = el("pre", {
      class: "message-plain",
      tabindex: "0",
      hidden: true,
      "aria-label": "The message as plain text",
    });
    this.notice = el("p", { class: "empty", hidden: true });
    this.sheet = el("div", { class: "message-sheet" }, this.subject, this.frame, this.text);
    this.who = el(
      "button",
      { type: "button", class: "message-button message-who", onclick: () => this.choose() },
      icon("person"),
      el("span", {}, "…"),
    );
    this.checks = el("ul", { class: "checks", "aria-live": "polite" });
    this.sent = el("p", { class: "message-sent", role: "status" });
    const test = el(
      "button",
      { type: "button", class: "message-button", onclick: () => this.sendTest() },
      icon("send"),
      "Send it to me as a test",
    );
    this.sides = el("div", { class: "message-sides" }, [
      this.toggle(
        "Width",
        [
          ["wide", "Desktop", "desktop_windows"],
          ["narrow", "Phone", "smartphone"],
        ],
        (width) => {
          this.sheet.classList.toggle("is-narrow", width === "narrow");
        },
      ),
      this.toggle(
        "Colours",
        [
          ["light", "Light", "light_mode"],
          ["dark", "Dark", "dark_mode"],
        ],
        (theme) => {
          this.isDark = theme === "dark";
          this.sheet.classList.toggle("is-dark", this.isDark);
          this.show();
        },
      ),
      this.toggle(
        "Part",
        [
          ["html", "HTML", "image"],
          ["text", "Text", "notes"],
        ],
        (part) => {
          this.frame.hidden = part === "text";
          this.text.hidden = part !== "text";
        },
      ),
    ]);
    return el(
      "aside",
      { class: "message-preview", "aria-label": "Preview" },
      el("div", { class: "message-preview-bar" }, this.who, this.sides),
      this.notice,
      this.sheet,
      el("h4", {}, "Before you send it"),
      this.checks,
      el("div", { class: "message-test" }, test, this.sent),
    );
  }

  toggle(label, choices, onchoose) {
    const buttons = choices.map(([key, words, symbol]) =>
      el(
        "button",
        {
          type: "button",
          class: "message-toggle",
          "aria-pressed": String(key === choices[0][0]),
          "aria-label": words,
          title: words,
          onclick: ({ currentTarget }) => {
            for (const one of buttons) one.setAttribute("aria-pressed", String(one === currentTarget));
            onchoose(key);
          },
        },
        icon(symbol),
      ),
    );
    return el("div", { class: "message-toggles", role: "group", "aria-label": label }, buttons);
  }

  // -- Requests

  /** Ask for the preview soon. */
  refresh(pause = PAUSE) {
    this.element.classList.add("is-stale");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), pause);
  }

  async load() {
    this.asked += 1;
    const number = this.asked;
    const answer = await this.request(this.urls.preview);
    if (number !== this.asked) return;
    this.element.classList.remove("is-stale");
    if (!answer) {
      this.showNotice("The preview is not available now. The message can be edited and saved.");
      return;
    }
    this.answer = answer;
    this.show();
    this.onresult(answer);
    this.checkLinksLater();
  }

  checkLinksLater() {
    const links = JSON.stringify(this.answer.links ?? []);
    if (links === this.checkedLinks) return;
    clearTimeout(this.linksTimer);
    this.linksTimer = setTimeout(async () => {
      this.checkedLinks = links;
      const answer = await this.request(this.urls.links);
      this.linkChecks = answer?.checks ?? [];
      this.showChecks();
    }, LINKS_PAUSE);
  }

  async sendTest() {
    this.sent.textContent = "Sending …";
    const answer = await this.request(this.urls.test);
    this.sent.textContent = answer?.text ?? "The test was not sent. Try again in a moment.";
    this.sent.classList.toggle("is-wrong", !answer?.is_sent);
  }

  async request(url) {
    const body = this.draft();
    if (this.customer) body.set("customer", this.customer.key);
    try {
      const response = await fetch(url, { method: "POST", body });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  choose() {
    const find = async (term) => {
      const query = new URLSearchParams({ q: term, channel: this.draft().get("channel") });
      try {
        const response = await fetch(`${this.urls.recipients}?${query}`);
        return await response.json();
      } catch {
        return { customers: [], help: "" };
      }
    };
    chooseCustomer(find, (customer) => {
      this.customer = customer;
      this.refresh(0);
      this.who.focus();
    });
  }

  // -- View

  show() {
    if (!this.answer) return;
    const { message, customer, notice } = this.answer;
    this.who.hidden = !customer;
    if (customer) this.who.lastElementChild.textContent = customer.name;
    this.who.setAttribute("aria-label", `Shown for ${customer?.name}: choose another customer`);
    this.showNotice(message ? "" : (notice ?? "The message cannot be shown yet. See below what to do."));
    this.showChecks();
    if (!message) return;
    this.subject.textContent = message.subject;
    this.text.textContent = message.text;
    const html = themed(message.html, this.isDark);
    if (this.frame.srcdoc !== html) this.frame.srcdoc = html;
  }

  showNotice(words) {
    this.notice.textContent = words;
    this.notice.hidden = !words;
    this.sheet.hidden = Boolean(words);
  }

  showChecks() {
    const checks = [...(this.answer.checks ?? []), ...this.linkChecks];
    const key = JSON.stringify(checks);
    if (key === this.shownChecks) return;
    this.shownChecks = key;
    this.checks.replaceChildren(
      ...checks.map((check) =>
        el(
          "li",
          { class: check.is_passed ? "is-passed" : "is-failed" },
          icon(check.is_passed ? "check_circle" : "error"),
          el(
            "span",
            {},
            el("strong", {}, `${check.label}: `),
            el("span", { class: "unseen" }, check.is_passed ? "ready. " : "to mend. "),
            check.text,
            check.mend ? ` ${check.mend}` : null,
          ),
        ),
      ),
    );
  }
}

/** Let the message look as in a light or in a dark mail program, whatever the browser prefers. */
function themed(html, isDark) {
  return html
    .replaceAll(/\(\s*prefers-color-scheme:\s*dark\s*\)/g, isDark ? "(min-width: 0)" : "(max-width: 0)")
    .replaceAll(/\(\s*prefers-color-scheme:\s*light\s*\)/g, isDark ? "(max-width: 0)" : "(min-width: 0)");
}
