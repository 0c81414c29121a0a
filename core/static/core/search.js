// The search of every page: "/" or Ctrl+K opens it, arrow keys choose a result, Enter opens it.

(() => {
  const DELAY = 150; // milliseconds after the last letter
  let timer;
  let request;

  const part = (name) => document.getElementById(`search-${name}`);
  const options = () => [...part("results").querySelectorAll("[role=option]")];
  const chosen = () => part("results").querySelector("[aria-selected=true]");

  function open() {
    if (!part("dialog").open) {
      part("dialog").showModal();
    }
    part("field").select();
  }

  function choose(option) {
    chosen()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    part("field").setAttribute("aria-activedescendant", option?.id ?? "");
  }

  function show(html) {
    part("results").innerHTML = html;
    const status = part("results").querySelector("[data-status]");
    part("status").textContent = status?.content.textContent.trim() ?? "";
    status?.remove();
    part("field").setAttribute("aria-expanded", String(options().length > 0));
    choose(options()[0]);
  }

  async function find() {
    request?.abort();
    const term = part("field").value.trim();
    if (!term) {
      show("");
      return;
    }
    request = new AbortController();
    const { signal } = request;
    try {
      const url = `${part("field").dataset.url}?${new URLSearchParams({ s: term })}`;
      const response = await fetch(url, { signal });
      if (!response.ok || response.redirected) {
        throw new Error(String(response.status));
      }
      const html = await response.text();
      if (!signal.aborted) {
        show(html);
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        show("");
        part("status").textContent = "The search is not available now. Try again.";
      }
    }
  }

  function isTyping(target) {
    return target.isContentEditable || target.matches?.("input, textarea, select");
  }

  // Before all other listeners: the lists of the admin have a shortcut "/" for their own search.
  document.addEventListener(
    "keydown",
    (event) => {
      if (!part("dialog")) {
        return;
      }
      const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
      const isShortcut = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
      if ((isSlash && !isTyping(event.target) && !document.querySelector("dialog[open]")) || isShortcut) {
        event.preventDefault();
        event.stopPropagation();
        open();
      } else if (event.target === part("field") && ["ArrowDown", "ArrowUp"].includes(event.key)) {
        event.preventDefault();
        const all = options();
        const step = event.key === "ArrowDown" ? 1 : -1;
        choose(all[(all.indexOf(chosen()) + step + all.length) % all.length]);
      } else if (event.key === "Escape" && part("dialog").open) {
        event.preventDefault(); // otherwise the first one only empties the field
        part("dialog").close();
      } else if (event.target === part("field") && event.key === "Enter") {
        event.preventDefault();
        chosen()?.click();
      }
    },
    true,
  );

  document.addEventListener("input", (event) => {
    if (event.target === part("field")) {
      clearTimeout(timer);
      timer = setTimeout(find, DELAY);
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-opens-search]")) {
      open();
    } else if (event.target === part("dialog")) {
      event.target.close(); // a click beside the dialog
    }
  });
})();
