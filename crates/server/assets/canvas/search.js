// Search as you type. A field marked `data-search="id"` filters the rows (`data-rows`) inside the
// element of that id. When the list is longer than the page (`data-partial` on that element) the
// server is asked as well, and its answer takes the place of the element. Without scripts the form
// is sent.
//
// A select, or a field with suggestions, in a form marked `data-auto` sends the form when it changes.

import { busy } from "./busy.js";

const PAUSE = 250;
const waiting = new WeakMap();

function filter(list, text) {
  // What is chosen to be acted on must be seen; what is filled in stays, seen or not.
  const isChoosing = list.closest("form[data-select]") !== null;
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of list.querySelectorAll("[data-rows] > *")) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
    if (row.hidden && isChoosing) {
      for (const box of row.querySelectorAll("input:checked")) box.checked = false;
    }
    if (!row.hidden) shown += 1;
  }
  const none = list.querySelector("[data-none]");
  if (none) none.hidden = shown > 0;
  list.dispatchEvent(new CustomEvent("list-changed", { bubbles: true }));
}

function addressOf(form) {
  const address = new URL(form.action);
  const values = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...values]) if (value === "") values.delete(name);
  address.search = values.toString();
  return address;
}

async function ask(field) {
  const address = addressOf(field.form);
  const before = waiting.get(field);
  before?.abort();
  const control = new AbortController();
  waiting.set(field, control);
  const over = busy(document.getElementById(field.dataset.search));
  try {
    const answer = await fetch(address, { signal: control.signal, headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error("not the list");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById(field.dataset.search);
    const list = document.getElementById(field.dataset.search);
    if (!next || !list) throw new Error("not the list");
    list.replaceWith(next);
    history.replaceState(null, "", address);
    next.dispatchEvent(new CustomEvent("list-changed", { bubbles: true }));
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  } finally {
    over();
  }
}

/** Leads to the list as a form wants it; the one that is shown waits for it. */
function go(form) {
  const list = document.querySelector("main [data-rows]")?.closest(".table-frame, form, section");
  if (list) busy(list);
  location.assign(addressOf(form));
}

export function startSearch() {
  const timers = new WeakMap();
  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-search]");
    if (!field) return;
    const list = document.getElementById(field.dataset.search);
    if (!list) return;
    filter(list, field.value);
    clearTimeout(timers.get(field));
    // What the server has filtered lacks rows that a shorter text would find.
    if ("partial" in list.dataset || field.defaultValue !== "") {
      timers.set(field, setTimeout(ask, PAUSE, field));
    }
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto]");
    if (form && event.target.matches("select, input[list], input[type=checkbox]")) {
      go(form);
    }
  });
  document.addEventListener("submit", (event) => {
    // Fields that were left empty make no address longer.
    if (!event.target.matches("form[data-auto]")) return;
    event.preventDefault();
    go(event.target);
  });
}
