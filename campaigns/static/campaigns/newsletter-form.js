// A newsletter form for the shop's pages. It appears where the script is placed:
//
// <script src="https://segments.shop.example/static/campaigns/newsletter-form.js" data-key="the write key of a browser"
//     data-consent="Yes, send me the newsletter of the shop. I can end it at any time." defer></script>
//
// Visitors subscribe with the link in the e-mail that they get. Every text can be changed: data-label, data-consent,
// data-button, data-done, data-wrong, data-unchecked, data-failed. The page can override the styles of .newsletter-form.
(() => {
  // biome-ignore lint/suspicious/noRedundantUseStrict: shops load this as a classic script, not as a module
  "use strict";
  const script = document.currentScript;
  const text = (name, standard) => script.dataset[name] || standard;
  const origin = new URL(script.src).origin;
  const number = document.querySelectorAll(".newsletter-form").length + 1;

  const el = (name, attributes = {}, content = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = content;
    return element;
  };

  // The anonymous id of the tracking SDK on the shop's pages. Without one, create it under the same key.
  const KEY = "ajs_anonymous_id";
  const anonymousId = () => {
    let id = "";
    try {
      id = (localStorage.getItem(KEY) || "").replace(/^"|"$/g, "");
    } catch {
      /* storage is disabled */
    }
    if (!id) {
      const cookie = document.cookie.split("; ").find((pair) => pair.startsWith(`${KEY}=`));
      id = cookie ? decodeURIComponent(cookie.slice(KEY.length + 1)).replace(/^"|"$/g, "") : "";
    }
    if (id) return id;
    id = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(16).slice(2)}`;
    try {
      localStorage.setItem(KEY, JSON.stringify(id));
    } catch {
      /* the id is lost with the page */
    }
    return id;
  };

  const id = `newsletter-form-${number}`;
  const form = el("form", { class: "newsletter-form", novalidate: "" });
  const email = el("input", {
    id: `${id}-email`,
    type: "email",
    name: "email",
    autocomplete: "email",
    required: "",
    "aria-describedby": `${id}-error`,
  });
  const agree = el("input", {
    id: `${id}-agree`,
    type: "checkbox",
    name: "agree",
    required: "",
    "aria-describedby": `${id}-error`,
  });
  const agreement = el(
    "label",
    { for: agree.id },
    text("consent", "Yes, send me the newsletter. I can end it at any time."),
  );
  const consent = el("p", { class: "newsletter-form-consent" });
  consent.append(agree, agreement);
  const error = el("p", { id: `${id}-error`, class: "newsletter-form-error", role: "alert" });
  const done = el("p", {
    class: "newsletter-form-done",
    role: "status",
    tabindex: "-1",
    "aria-live": "polite",
  });
  const button = el("button", { type: "submit" }, text("button", "Subscribe"));
  form.append(
    el("label", { for: email.id }, text("label", "E-mail address")),
    email,
    consent,
    error,
    button,
    done,
  );

  const showError = (field, message) => {
    error.textContent = message;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    email.removeAttribute("aria-invalid");
    agree.removeAttribute("aria-invalid");
    email.value = email.value.trim();
    if (!email.value || !email.validity.valid) {
      return showError(email, text("wrong", "Please enter your e-mail address, such as name@example.com."));
    }
    if (!agree.checked)
      return showError(agree, text("unchecked", "Please tick the box if you want the newsletter."));
    button.disabled = true;
    try {
      const visitor = anonymousId();
      const response = await fetch(`${origin}/v1/identify`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          writeKey: script.dataset.key,
          messageId: `form-${visitor}-${Date.now()}`,
          anonymousId: visitor,
          traits: { email: email.value, newsletter: true },
          context: { page: { url: location.href.split("#")[0].slice(0, 1000) } },
        }),
      });
      if (!response.ok) throw new Error(response.status);
      for (const part of [...form.children]) if (part !== done) part.remove();
      done.textContent = text(
        "done",
        "Thank you! We have sent you a message: please confirm your address with the link in it.",
      );
      done.focus();
    } catch {
      showError(email, text("failed", "This did not work. Please try again in a moment."));
    } finally {
      button.disabled = false;
    }
  });

  if (number === 1) {
    document.head.prepend(
      el(
        "style",
        {},
        `
      .newsletter-form { display: grid; gap: .5rem; max-width: 28rem; }
      .newsletter-form input[type=email] { box-sizing: border-box; font: inherit; padding: .5rem; width: 100%; }
      .newsletter-form p { margin: 0; }
      .newsletter-form-consent { align-items: start; display: flex; gap: .5rem; }
      .newsletter-form-error { color: #b00020; }
      .newsletter-form-error:empty, .newsletter-form-done:empty { display: none; }
      .newsletter-form button { font: inherit; justify-self: start; padding: .5rem 1rem; }`,
      ),
    );
  }
  script.after(form);
})();
