// The first call of a key, as soon as it arrives: <element data-first-call="tok_…"> with
// [data-first-call-words], on whatever page it stands. It follows what the key does; where that cannot
// be followed, it looks again now and then. In a list of steps the step is done then, and
// [data-next] is what comes next.

import { full, refresh } from "./time.js";

const FIRST_PAUSE = 2000;
const LAST_PAUSE = 15_000;
const PATIENCE = 15 * 60_000;

function say(place, ...parts) {
  place.querySelector("[data-first-call-words]").replaceChildren(...parts);
}

function time(at) {
  const element = document.createElement("time");
  element.dateTime = at;
  element.title = full(new Date(at));
  refresh(element);
  return element;
}

function arrived(place, at, { call, from, status }) {
  const what = document.createElement("strong");
  what.textContent = call;
  const answer = status ? ` was answered with ${status}` : "";
  const origin = from ? ` from ${from}.` : ".";
  if (call) say(place, "The first call arrived ", time(at), origin, " ", what, `${answer}.`);
  else say(place, "The first call arrived ", time(at), origin);
  place.classList.add("arrived");
  const step = place.closest(".step");
  step?.classList.replace("now", "done");
  for (const rest of step?.querySelectorAll("[data-until-call]") ?? []) rest.hidden = true;
  step?.querySelector("[data-next]")?.classList.add("primary");
}

/** Whether it has called: the key, `null` for not yet, `"ended"` for a session that is over. */
async function look(id) {
  const answer = await fetch(`/org/tokens/${encodeURIComponent(id)}`, { headers: { accept: "application/json" } });
  if (answer.status === 401) return "ended";
  const key = answer.ok ? await answer.json() : {};
  return key.last_used_at ? key : null;
}

function wait(place) {
  const id = place.dataset.firstCall;
  const until = Date.now() + PATIENCE;
  let timer;
  const source = new EventSource(`/org/tokens/${encodeURIComponent(id)}/activity/stream`);
  const stop = () => {
    clearTimeout(timer);
    source.close();
  };
  const found = (at, call) => {
    stop();
    arrived(place, at, call);
  };
  source.addEventListener("message", (event) => {
    let record;
    try {
      record = JSON.parse(event.data);
    } catch {
      return;
    }
    const { time: at, client: from, method, path, status } = record;
    if (at) found(at, { call: `${method} ${path}`, from, status });
  });
  const again = async (pause) => {
    // While the stream is open it says so itself.
    const isOpen = source.readyState === EventSource.OPEN;
    const key = isOpen ? null : await look(id).catch(() => null);
    if (key === "ended") {
      stop();
      say(place, "Your session has ended. Sign in again to see the call.");
    } else if (key) {
      found(key.last_used_at, { from: key.last_used_from });
    } else if (Date.now() < until) {
      timer = setTimeout(again, pause, Math.min(pause * 1.25, LAST_PAUSE));
    } else {
      stop();
      say(place, "Nothing has arrived so far. This page has stopped looking: load it again when the call is sent.");
    }
  };
  timer = setTimeout(again, FIRST_PAUSE, FIRST_PAUSE);
  addEventListener("pagehide", stop);
}

export function startFirstCalls() {
  document.querySelectorAll("[data-first-call]").forEach(wait);
}
