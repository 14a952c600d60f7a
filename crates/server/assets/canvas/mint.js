// A form that mints: <form data-summary> is sent as it is filled in; the server says in words what it
// comes to, in #summary.

import { busy } from "./busy.js";

const PAUSE = 300;

const waiting = new WeakMap();

async function summarise(form) {
  const summary = form.querySelector("#summary");
  const values = new FormData(form);
  values.set("step", "summary");
  // What was asked before must not be answered after this.
  waiting.get(form)?.abort();
  const control = new AbortController();
  waiting.set(form, control);
  const over = summary ? busy(summary) : () => {};
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
  } finally {
    over();
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

export function startMinting() {
  document.querySelectorAll("form[data-summary]").forEach(startSummary);
}
