"use strict";
(() => {
  const link = document.getElementById("link");
  const answer = document.getElementById("answer");
  // The server says something every five seconds.
  const PATIENCE = 12000;
  // The newest text of parts in which the reader marks something: one each at most.
  const held = new Map();
  let source = null;
  let heard = Date.now();
  let tried = 0;
  let over = false;

  const say = (text, bad) => {
    if (link.textContent !== text) link.textContent = text;
    link.className = bad ? "bad" : "";
  };

  const marks = (part) => {
    const selection = getSelection();
    return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  };

  // What a fold is about, without the counts in its title.
  const about = (fold) => {
    const place = fold.closest("figure,section");
    const heading = place && place.querySelector("h2,h3");
    const title = fold.querySelector("summary").textContent.replace(/\([0-9,]+\)/, "");
    return (heading ? heading.textContent : "") + "|" + title;
  };

  const alike = (here, made) => here.nodeType === made.nodeType && here.nodeName === made.nodeName;

  // What the reader has opened or shut is no news.
  const READERS = "open";

  const attributes = (here, made) => {
    for (const { name } of Array.from(here.attributes)) {
      if (name !== READERS && !made.hasAttribute(name)) here.removeAttribute(name);
    }
    for (const { name, value } of made.attributes) {
      if (name !== READERS && here.getAttribute(name) !== value) here.setAttribute(name, value);
    }
  };

  // Turns what is here into what was made, in its place: what stays keeps its scroll bars, its focus and its memory.
  // Were all of it replaced several times a second, Chromium would need some 50 KB more for each time.
  const become = (here, made) => {
    let old = here.firstChild;
    let next = made.firstChild;
    while (next) {
      const then = next.nextSibling;
      const after = old && old.nextSibling;
      if (!old) {
        here.append(next);
      } else if (!alike(old, next)) {
        old.replaceWith(next);
      } else if (old.nodeType === Node.ELEMENT_NODE) {
        attributes(old, next);
        become(old, next);
      } else if (old.data !== next.data) {
        old.data = next.data;
      }
      old = after;
      next = then;
    }
    while (old) {
      const after = old.nextSibling;
      old.remove();
      old = after;
    }
  };

  // Puts a part in the place of what was there: nothing is ever added. The text comes from the run's own server, which
  // has made all markup in it harmless; the page's policy runs nothing but this script.
  const put = (name, text) => {
    const part = document.getElementById("part-" + name);
    if (!part) return;
    if (marks(part)) {
      held.set(name, text);
      return;
    }
    held.delete(name);
    const folds = new Map();
    for (const fold of part.querySelectorAll("details")) folds.set(about(fold), fold.open);
    const made = document.createElement("template");
    made.innerHTML = text;
    const wished = Array.from(made.content.querySelectorAll("details"), (fold) => fold.open);
    become(part, made.content);
    // Folds move where others come before them; new ones are as they were made.
    part.querySelectorAll("details").forEach((fold, place) => {
      fold.open = folds.get(about(fold)) ?? wished[place];
    });
    if (name === "head") document.title = part.querySelector("h1").textContent;
  };

  const listen = () => {
    if (source) source.close();
    tried = Date.now();
    source = new EventSource("events");
    source.onmessage = (event) => {
      heard = Date.now();
      const told = JSON.parse(event.data);
      for (const [name, text] of Object.entries(told.parts)) put(name, text);
      document.body.dataset.version = told.version;
    };
    source.addEventListener("beat", () => { heard = Date.now(); });
    source.addEventListener("over", () => {
      over = true;
      source.close();
      say("the run has ended: this is its last state", false);
      for (const button of document.querySelectorAll("button")) button.disabled = true;
    });
  };

  setInterval(() => {
    for (const [name, text] of Array.from(held)) put(name, text);
    if (over) return;
    const silent = Date.now() - heard;
    const lost = source.readyState !== EventSource.OPEN;
    if (!lost && silent < PATIENCE) {
      say("live", false);
      return;
    }
    say("no news for " + Math.round(silent / 1000) + " s, trying again", true);
    // The browser tries again by itself, but not after an error of the server or a connection that fell silent.
    const given_up = source.readyState === EventSource.CLOSED || silent >= PATIENCE;
    if (given_up && Date.now() - tried > 3000) listen();
  }, 1000);

  const ask = async (path, wish) => {
    answer.textContent = "asked ...";
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(wish),
        cache: "no-store",
      });
      const text = (await response.text()).slice(0, 2000);
      answer.textContent = (response.ok ? "" : "not done: ") + text;
    } catch (error) {
      answer.textContent = "not done: the run does not answer";
    }
  };

  document.getElementById("stop").addEventListener("submit", (event) => {
    event.preventDefault();
    if (confirm("End this run? Verdict and reports come first, then everything is removed.")) ask("stop", {});
  });
  document.getElementById("fault").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    ask("fault", { kind: form.get("kind"), target: form.get("target"), lasts: form.get("lasts") });
  });
  listen();
})();
