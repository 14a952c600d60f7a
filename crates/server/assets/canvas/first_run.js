// The first call of a key, as soon as it arrives: from the stream of the trail, or where there is none
// by asking now and then.

import { words } from "./time.js";

const FIRST_PAUSE = 2000;
const LAST_PAUSE = 15_000;
const PATIENCE = 15 * 60_000;

const step = document.querySelector("[data-first-call]");
const waiting = step?.querySelector("[data-waiting]");

/** Shows the call: `GET /org/whoami` and the rest of the sentence. */
function arrived(call, rest) {
  waiting.hidden = true;
  const shown = step.querySelector("[data-arrived]");
  shown.querySelector("[data-arrived-call]").textContent = call;
  shown.querySelector("[data-arrived-words]").textContent = rest;
  shown.hidden = false;
  step.classList.replace("now", "done");
  step.querySelector("[data-next]").classList.add("primary");
}

function say(text) {
  waiting.querySelector("[data-waiting-words]").textContent = text;
}

async function ask(id, pause, until) {
  if (Date.now() > until) {
    say("Nothing has arrived so far. This page has stopped looking: load it again when the call is sent.");
    return;
  }
  try {
    const answer = await fetch(`/org/tokens/${encodeURIComponent(id)}`, { headers: { accept: "application/json" } });
    if (answer.status === 401) {
      say("Your session has ended. Sign in again to see the call.");
      return;
    }
    const key = answer.ok ? await answer.json() : {};
    if (key.last_used_at) {
      const from = key.last_used_from ? ` from ${key.last_used_from}` : "";
      arrived("It works.", `The first call arrived ${words(new Date(key.last_used_at), new Date())}${from}.`);
      return;
    }
  } catch {
    // The server may be restarting: the next time may do.
  }
  setTimeout(ask, pause, id, Math.min(pause * 1.25, LAST_PAUSE), until);
}

function wait(id) {
  const until = Date.now() + PATIENCE;
  const source = new EventSource(`/org/audit/stream?token=${encodeURIComponent(id)}`);
  source.addEventListener("open", () => say("Waiting for the first call."));
  source.addEventListener("message", (event) => {
    let call;
    try {
      call = JSON.parse(event.data);
    } catch {
      return;
    }
    // What was done to the key is not what it did.
    if (call.key !== id) return;
    source.close();
    const from = call.client ? ` from ${call.client}` : "";
    arrived(`${call.method} ${call.path}`, `was answered with ${call.status}${from}.`);
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    say("Waiting for the first call.");
    ask(id, FIRST_PAUSE, until);
  });
}

if (waiting) wait(step.dataset.firstCall);
