// A form that mints, and the page that shows a secret once.
//
// <form data-summary> is sent as it is filled in; the server says in words what it comes to, in
// #summary. <element data-shown-once> holds a secret ([data-secret]): when the reader leaves, it goes,
// so that going back does not bring it back. <element data-first-call="tok_…"> waits for a key's first
// call.

import { refresh, full } from "./time.js";

const PAUSE = 300;
const LOOK_EVERY = 5000;
const LOOKS_MAX = 180;

const waiting = new WeakMap();

async function summarise(form) {
  const summary = form.querySelector("#summary");
  const values = new FormData(form);
  values.set("step", "summary");
  // What was asked before must not be answered after this.
  waiting.get(form)?.abort();
  const control = new AbortController();
  waiting.set(form, control);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { accept: "text/html" },
      body: new URLSearchParams(values),
      signal: control.signal,
    });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("summary");
    if (next && summary) summary.replaceChildren(...next.childNodes);
  } catch {
    // The words stay as they are; the server says them again when the form is sent.
  }
}

function startSummary(form) {
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(summarise, PAUSE, form);
  };
  form.addEventListener("input", (event) => {
    if (!event.target.name?.startsWith("find")) later();
  });
  later();
}

function startShown(page) {
  const saved = page.querySelector("[data-saved]");
  let leaves = false;
  page.querySelector("form")?.addEventListener("submit", () => (leaves = true));
  addEventListener("beforeunload", (event) => {
    if (!leaves && !saved?.checked && page.querySelector("[data-secret]")) event.preventDefault();
  });
  addEventListener("pagehide", () => {
    page.querySelector("[data-secret]")?.remove();
    const gone = page.querySelector("[data-secret-gone]");
    if (gone) gone.hidden = false;
  });
}

function arrived(place, at, from) {
  const words = place.querySelector("[data-first-call-words]");
  const time = document.createElement("time");
  time.dateTime = at;
  time.title = full(new Date(at));
  refresh(time);
  words.replaceChildren("The first call arrived ", time, from ? ` from ${from}.` : ".");
  place.classList.add("arrived");
}

async function look(id) {
  const answer = await fetch(`/org/tokens/${id}`, { headers: { accept: "application/json" } });
  if (!answer.ok) return null;
  const key = await answer.json();
  return key.last_used_at ? key : null;
}

/** Follows what the key does; where that cannot be followed, looks again now and then. */
function startFirstCall(place) {
  const id = place.dataset.firstCall;
  let timer;
  const source = new EventSource(`/org/tokens/${id}/activity/stream`);
  const done = (at, from) => {
    clearTimeout(timer);
    source.close();
    arrived(place, at, from);
  };
  source.addEventListener("message", (event) => {
    try {
      const record = JSON.parse(event.data);
      if (record.time) done(record.time, record.client);
    } catch {
      // What is no record says nothing.
    }
  });
  const again = async (left) => {
    // While the stream is open it says so itself.
    const key = source.readyState === EventSource.OPEN ? null : await look(id).catch(() => null);
    if (key) done(key.last_used_at, key.last_used_from);
    else if (left > 0) timer = setTimeout(again, LOOK_EVERY, left - 1);
  };
  timer = setTimeout(again, LOOK_EVERY, LOOKS_MAX);
  addEventListener("pagehide", () => {
    clearTimeout(timer);
    source.close();
  });
}

export function startMinting() {
  document.querySelectorAll("form[data-summary]").forEach(startSummary);
  document.querySelectorAll("[data-shown-once]").forEach(startShown);
  document.querySelectorAll("[data-first-call]").forEach(startFirstCall);
}
