// A list that grows as things happen. Each event is JSON; a <template> says what a row shows.
//
//   <tbody data-rows data-live="/org/audit/stream?token=…" data-live-template="row" data-live-max="200">
//   <template id="row"><tr>
//     <td><time data-time="at"></time>
//     <td data-text="actor">                      the text of a member; `a.b` for a member of a member
//     <td><a data-href="/canvas/keys/{key}" data-text="prefix"></a>
//     <td><span class="status" data-code="status"></span>      a status of HTTP, with its tone
//     <td data-took="duration_us">                a duration in microseconds
//   </template>
//   <button type="button" data-live-toggle aria-pressed="true">Live</button> <span data-live-state></span>
//
// Texts are set as text, never as HTML: what a caller sent cannot become part of the page.

import { full, words } from "./time.js";

const ROWS_MAX = 200;

const member = (value, path) => path.split(".").reduce((inner, name) => inner?.[name], value);

// Microseconds as the server writes them.
const took = (micros) => {
  if (micros < 10_000) return `${Math.trunc(micros / 1000)}.${Math.trunc((micros % 1000) / 100)} ms`;
  return micros < 10_000_000 ? `${Math.trunc(micros / 1000)} ms` : `${Math.trunc(micros / 1_000_000)} s`;
};

function fill(row, value) {
  for (const element of row.querySelectorAll("[data-text]")) {
    element.textContent = member(value, element.dataset.text) ?? "";
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

/** Opens the stream of one list; gives back what closes it. `accept` may leave events out. */
export function tail(list, accept = () => true) {
  const template = document.getElementById(list.dataset.liveTemplate);
  const most = Number(list.dataset.liveMax) || ROWS_MAX;
  const state = beside(list, "[data-live-state]");
  const say = (text) => state && state.textContent !== text && (state.textContent = text);
  const source = new EventSource(list.dataset.live);
  source.addEventListener("open", () => say("Live"));
  source.addEventListener("error", () => say("Connecting again"));
  source.addEventListener(list.dataset.liveEvent || "message", (event) => {
    let value;
    try {
      value = JSON.parse(event.data);
    } catch {
      return;
    }
    if (!accept(value)) return;
    const row = template.content.cloneNode(true);
    fill(row, value);
    row.firstElementChild?.classList.add("fresh");
    list.prepend(row);
    while (list.children.length > most) list.lastElementChild.remove();
    list.dispatchEvent(new CustomEvent("list-changed", { bubbles: true, detail: value }));
  });
  return () => {
    source.close();
    say("Paused");
  };
}

export function startTails() {
  for (const list of document.querySelectorAll("[data-live]")) {
    const toggle = beside(list, "[data-live-toggle]");
    let stop = toggle?.getAttribute("aria-pressed") === "false" ? null : tail(list);
    toggle?.addEventListener("click", () => {
      stop?.();
      stop = stop ? null : tail(list);
      toggle.setAttribute("aria-pressed", String(stop !== null));
    });
  }
}
