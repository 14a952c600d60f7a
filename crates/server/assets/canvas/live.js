// A list that grows as things happen. Each event is JSON; a <template> says what a row shows.
//
//   <tbody data-rows data-live="/org/audit/stream?token=…" data-live-template="row" data-live-max="200">
//   <template id="row"><tr>
//     <td><time data-time="at"></time>
//     <td data-text="actor">                      the text of a member; `a.b` for a member of a member
//                                                 data-else: another member, where that is empty
//     <td><a data-href="/canvas/keys/{key}" data-text="prefix"></a>
//     <td><span class="status" data-code="status"></span>      a status of HTTP, with its tone
//     <td data-name="workspace" data-nameless="none">   the name of an id, from data-live-names='{"id": "name"}'
//                                                       of the list; data-name-with-id: the id as well
//     <td data-took="duration_us">                a duration in microseconds
//   </template>
//   <button type="button" data-live-toggle aria-pressed="true">Live</button>
//   <span data-live-state role="status"></span>               how it goes; where it ended, why
//
// Texts are set as text, never as HTML: what a caller sent cannot become part of the page.

import { busy } from "./busy.js";
import { full, words } from "./time.js";

const ROWS_MAX = 200;
/** After how many milliseconds a stream that the server ended is opened again. */
const AGAIN_AFTER = 2000;

const member = (value, path) => path.split(".").reduce((inner, name) => inner?.[name], value);

// Microseconds as the server writes them.
const took = (micros) => {
  if (micros < 10_000) return `${Math.trunc(micros / 1000)}.${Math.trunc((micros % 1000) / 100)} ms`;
  return micros < 10_000_000 ? `${Math.trunc(micros / 1000)} ms` : `${Math.trunc(micros / 1_000_000)} s`;
};

function fill(row, value, names) {
  for (const element of row.querySelectorAll("[data-name]")) {
    const id = member(value, element.dataset.name) ?? "";
    const name = Object.hasOwn(names, id) ? names[id] : "";
    element.textContent = name || id || element.dataset.nameless || "";
    if (!name || !("nameWithId" in element.dataset)) continue;
    const small = document.createElement("small");
    small.textContent = id;
    element.append(small);
  }
  for (const element of row.querySelectorAll("[data-text]")) {
    const text = member(value, element.dataset.text) || member(value, element.dataset.else ?? "");
    element.textContent = text ?? "";
  }
  for (const element of row.querySelectorAll("[data-time]")) {
    const at = new Date(member(value, element.dataset.time));
    if (Number.isNaN(at.valueOf())) continue;
    element.dateTime = at.toISOString();
    element.title = full(at);
    element.textContent = words(at, new Date());
  }
  for (const element of row.querySelectorAll("[data-href]")) {
    let isWhole = true;
    element.href = element.dataset.href.replace(/\{([^}]+)\}/g, (_, path) => {
      const part = member(value, path);
      isWhole &&= part !== undefined && part !== null;
      return encodeURIComponent(part);
    });
    if (!isWhole) element.removeAttribute("href");
  }
  for (const element of row.querySelectorAll("[data-took]")) {
    element.textContent = took(Number(member(value, element.dataset.took)));
  }
  for (const element of row.querySelectorAll("[data-code]")) {
    const code = Number(member(value, element.dataset.code));
    element.textContent = code || "";
    element.classList.add(code >= 500 ? "bad" : code >= 400 ? "warn" : "good");
  }
}

/** What belongs to a list: in the same part of the page, or else anywhere on it. */
function beside(list, what) {
  const parts = [list.closest("section, form"), list.closest("main")];
  return parts.map((part) => part?.querySelector(what)).find(Boolean);
}

/** What stands where the list says how it is followed: words, and maybe a link. */
function sayer(list) {
  const place = beside(list, "[data-live-state]");
  return (words, link) => {
    if (!place || (place.textContent === words && !link)) return;
    place.replaceChildren(words);
    if (!link) return;
    const element = document.createElement("a");
    [element.href, element.textContent] = link;
    place.append(" ", element);
  };
}

const SIGN_IN_AGAIN = () => {
  const next = encodeURIComponent(location.pathname + location.search);
  return [`/canvas/sign-in?next=${next}`, "Sign in again"];
};

/** Asks the address of a stream that was refused, once, why that is; nothing for "it may go on". */
async function why(address) {
  const control = new AbortController();
  try {
    const answer = await fetch(address, { signal: control.signal });
    if (answer.ok || answer.status >= 500) return null;
    const said = await answer.json().catch(() => ({}));
    return { isOver: answer.status === 401, detail: said.detail ?? "the server refuses it" };
  } catch {
    return null;
  } finally {
    control.abort();
  }
}

/** Opens the stream of one list; gives back what closes it. `ended` is called when it ends for good. */
export function tail(list, ended = () => {}) {
  const template = document.getElementById(list.dataset.liveTemplate);
  const most = Number(list.dataset.liveMax) || ROWS_MAX;
  const names = JSON.parse(list.dataset.liveNames ?? "{}");
  const say = sayer(list);
  let source;
  let timer;
  let isStopped = false;
  const frame = list.closest(".table-frame") ?? list;
  let connected = () => {};
  const stop = () => {
    isStopped = true;
    connected();
    clearTimeout(timer);
    source.close();
  };
  const closed = async () => {
    const reason = await why(list.dataset.live);
    if (isStopped) return;
    if (!reason) {
      say("Connecting again");
      timer = setTimeout(open, AGAIN_AFTER);
      return;
    }
    stop();
    if (reason.isOver) say("Your session has ended.", SIGN_IN_AGAIN());
    else say(`Live is off: ${reason.detail}.`);
    ended();
  };
  const add = (event) => {
    let value;
    try {
      value = JSON.parse(event.data);
    } catch {
      return;
    }
    const row = template.content.cloneNode(true);
    fill(row, value, names);
    row.firstElementChild?.classList.add("fresh");
    list.prepend(row);
    while (list.children.length > most) list.lastElementChild.remove();
    list.dispatchEvent(new CustomEvent("list-changed", { bubbles: true, detail: value }));
  };
  function open() {
    source = new EventSource(list.dataset.live);
    connected = busy(frame, () => say("Connecting"));
    source.addEventListener("open", () => {
      connected();
      say("Following");
    });
    source.addEventListener("error", () => {
      connected();
      // A browser connects again by itself, unless the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) closed();
      else say("Connecting again");
    });
    // The server says why it ends a stream. Whether to come back is asked of it, not guessed.
    source.addEventListener("end", () => {
      source.close();
      closed();
    });
    source.addEventListener(list.dataset.liveEvent || "message", add);
  }
  open();
  return () => {
    // Why it ended by itself is not to be overwritten.
    if (isStopped) return;
    stop();
    say("Paused");
  };
}

export function startTails() {
  for (const list of document.querySelectorAll("[data-live]")) {
    const toggle = beside(list, "[data-live-toggle]");
    let stop = null;
    const press = (isOn) => {
      stop?.();
      stop = isOn ? tail(list, () => press(false)) : null;
      toggle?.setAttribute("aria-pressed", String(isOn));
    };
    if (toggle?.getAttribute("aria-pressed") !== "false") press(true);
    toggle?.addEventListener("click", () => press(stop === null));
  }
}
