// The few scripts of Rollcall: theme, copy, keys, live parts, kept text. Every page works without them.
(() => {
  "use strict";
  const root = document.documentElement;
  const remembered = {
    get(name) { try { return localStorage.getItem(name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem(name, value); } catch { /* private windows may refuse: then it lasts for this page */ } },
  };

  // Theme, before the first paint. The same name as in Django's admin.
  const themes = ["auto", "light", "dark"];
  const theme = () => (themes.includes(remembered.get("theme")) ? remembered.get("theme") : "auto");
  root.dataset.theme = theme();
  root.classList.add("has-script");

  const typing = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

  function themeToggle() {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      const word = button.querySelector("[data-theme-word]");
      word.textContent = theme();
      button.hidden = false;
      button.addEventListener("click", () => {
        const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
        remembered.set("theme", next);
        root.dataset.theme = next;
        word.textContent = next;
      });
    }
  }

  function copyButtons(within) {
    if (!navigator.clipboard) return;
    for (const button of within.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const words = button.firstChild, before = words.textContent;
        try { await navigator.clipboard.writeText(button.dataset.copy); words.textContent = "Copied"; }
        catch { words.textContent = "Select and copy it"; }
        setTimeout(() => { words.textContent = before; }, 2000);
      });
    }
  }

  function menus() {
    for (const button of document.querySelectorAll("[data-menu]")) {
      button.addEventListener("click", () => {
        const open = button.parentElement.classList.toggle("is-open");
        button.setAttribute("aria-expanded", String(open));
      });
    }
    document.addEventListener("click", (event) => {
      for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
    });
    for (const button of document.querySelectorAll("[data-open]")) {
      const dialog = document.getElementById(button.dataset.open);
      if (!dialog) continue;
      button.hidden = false;
      button.addEventListener("click", () => dialog.showModal());
    }
  }

  // A cards table is drawn with blocks on a phone, which would cost it its meaning for a screen reader.
  function tables() {
    for (const table of document.querySelectorAll("table.cards")) {
      table.setAttribute("role", "table");
      for (const part of table.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
      for (const row of table.querySelectorAll("tr")) row.setAttribute("role", "row");
      for (const cell of table.querySelectorAll("td")) cell.setAttribute("role", "cell");
      for (const cell of table.querySelectorAll("th")) cell.setAttribute("role", cell.scope === "row" ? "rowheader" : "columnheader");
    }
  }

  // What was typed outlives a session that ended meanwhile: kept in this tab alone, until the form is done.
  function keptText() {
    const name = (field) => `kept:${location.pathname}:${field.name}`;
    let store;
    try { store = sessionStorage; } catch { return; }
    if (document.querySelector("[data-message=success]")) {
      for (const key of Object.keys(store)) if (key.startsWith("kept:")) store.removeItem(key);
    }
    for (const field of document.querySelectorAll("[data-keep]")) {
      if (!field.value) field.value = store.getItem(name(field)) || "";
      field.addEventListener("input", () => store.setItem(name(field), field.value));
    }
  }

  // <div data-live-url="…" data-live-seconds="3">: replaced by what the address answers; rests while focused or hidden.
  // What it says of itself (data-live-said) is told to who can't see it, as are rests and faults: once in ten seconds.
  const LEAST_BETWEEN = 10_000;

  function teller(part) {
    const status = document.createElement("p");
    status.setAttribute("role", "status");
    part.after(status);
    let wanted = "", saidAt = -LEAST_BETWEEN, later = 0;
    const write = () => { status.textContent = wanted; saidAt = performance.now(); };
    // `seen`: also drawn; what the page shows anyway is only said.
    return (words, { seen }) => {
      if (words === wanted) return;
      wanted = words;
      clearTimeout(later);
      status.className = seen ? "quiet" : "hidden-words";
      const left = saidAt + LEAST_BETWEEN - performance.now();
      if (!words) status.textContent = "";
      else if (left <= 0) write();
      else { status.textContent = ""; later = setTimeout(write, left); }
    };
  }

  // Nobody presses what has just moved away, and a selection is not taken out of the hand.
  function isHeld(part) {
    const selected = getSelection();
    return Boolean(part.querySelector("a:hover, button:hover")) || (!selected.isCollapsed && part.contains(selected.anchorNode));
  }

  // The sentence of the page is that of its live part.
  function echo(words) {
    for (const place of words ? document.querySelectorAll("[data-live-echo]") : []) place.textContent = words;
  }

  function live() {
    for (const part of document.querySelectorAll("[data-live-url]")) {
      const wait = Math.max(1, Number(part.dataset.liveSeconds) || 5) * 1000;
      const said = () => part.querySelector("[data-live-said]")?.textContent || "";
      const before = said();
      const say = teller(part);
      const rests = () => document.hidden || part.contains(document.activeElement) || isHeld(part);
      const tick = async () => {
        if (rests()) say(document.hidden ? "" : "Live list: resting while you are in it.", { seen: true });
        else {
          try {
            const answer = await fetch(part.dataset.liveUrl, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
            if (!answer.ok) throw new Error(String(answer.status));
            const text = await answer.text();
            // Somebody may have come into it while it was asked: what they are on must not be taken from under them.
            if (!rests() && text !== part.dataset.last) { part.innerHTML = text; part.dataset.last = text; copyButtons(part); tables(); echo(said()); }
            say(said() === before ? "" : said(), { seen: false });
          } catch { say("Live list: no answer; trying again. What stands here is older.", { seen: true }); }
        }
        setTimeout(tick, wait);
      };
      setTimeout(tick, wait);
    }
  }

  // A secret that was shown once leaves the page with its reader, also from what the browser keeps for its back button.
  function secrets() {
    addEventListener("pagehide", () => { for (const part of document.querySelectorAll("[data-secret]")) part.remove(); });
  }

  function keys() {
    const help = document.getElementById("help");
    if (!help) return;
    const on = () => remembered.get("keys") !== "off";
    const box = help.querySelector("[data-keys-switch]");
    box.checked = on();
    box.addEventListener("change", () => remembered.set("keys", box.checked ? "on" : "off"));
    const rows = () => [...document.querySelectorAll("[data-rows] tbody tr, .rows[data-rows] > li")];
    let here = -1, afterG = false;
    const row = () => rows()[here];
    const go = (step) => {
      const all = rows();
      if (!all.length) return;
      row()?.classList.remove("is-here");
      here = Math.min(Math.max(here + step, 0), all.length - 1);
      all[here].classList.add("is-here");
      (all[here].querySelector("a, button, input") || all[here]).focus();
    };
    const act = (element) => {
      if (!element) return false;
      // A part of the page is gone to; what can be pressed is pressed.
      if (typing(element)) element.focus();
      else if (element.matches("a, button, input, summary")) element.click();
      else { element.scrollIntoView(); element.focus({ preventScroll: true }); }
      return true;
    };
    const keyed = (key) => row()?.querySelector(`[data-key="${key}"]`) || document.querySelector(`main [data-key="${key}"]`);
    const simple = {
      "?": () => { help.showModal(); return true; },
      "/": () => { const field = document.querySelector("[data-search], .filters input, .filters select"); field?.focus(); return Boolean(field); },
      j: () => { go(1); return true; },
      k: () => { go(-1); return true; },
      o: () => act(row()?.querySelector("a")),
      x: () => act(row()?.querySelector("input[type=checkbox]")),
      ".": () => { const verb = document.querySelector(".verbs a, .verbs button:not(:disabled)"); verb?.focus(); return Boolean(verb); },
    };
    document.addEventListener("keydown", (event) => {
      if (!on() || typing(event.target) || document.querySelector("dialog[open]")) return;
      if (event.ctrlKey && event.key === "k") { event.preventDefault(); help.showModal(); return; }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (afterG) {
        afterG = false;
        if (act(document.querySelector(`[data-go="${CSS.escape(event.key)}"]`))) event.preventDefault();
        return;
      }
      if (event.key === "g") { afterG = true; setTimeout(() => { afterG = false; }, 1500); return; }
      let done = false;
      if (Object.hasOwn(simple, event.key)) done = simple[event.key]();
      else if (event.key.length === 1 && "tefnwhu".includes(event.key)) done = act(keyed(event.key));
      if (done) event.preventDefault();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeToggle(); copyButtons(document); menus(); tables(); keptText(); live(); secrets(); keys();
    document.querySelector("[data-focus]")?.focus();
  });
})();
