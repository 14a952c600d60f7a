// A verification with its progress. Without scripts the form asks for the page with the verdict.

import { busy } from "./busy.js";

/** As many findings are shown. */
const SHOWN_MAX = 100;

const number = (value) => Number(value).toLocaleString("en");

/** What the server tells, line by line. */
async function* told(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function add(rows, finding) {
  if (rows.children.length >= SHOWN_MAX) return;
  const row = document.getElementById("verify-row").content.cloneNode(true);
  const seq = row.querySelector("[data-seq]");
  seq.textContent = finding.seq;
  seq.href = `/canvas/audit/${finding.seq}`;
  row.querySelector("[data-what]").textContent = finding.what;
  row.querySelector("[data-column]").textContent = finding.column;
  rows.append(row);
}

function end(part, isSound, words) {
  const verdict = part.querySelector("[data-verify-verdict]");
  verdict.querySelector(".notice").className = `notice ${isSound ? "good" : "bad"}`;
  verdict.querySelector(".notice-title").textContent = isSound ? "Nothing is wrong" : "Not all is well";
  verdict.querySelector(".verdict-words").textContent = words;
  verdict.hidden = false;
}

async function verify(part, say) {
  const answer = await fetch("/org/audit/verify");
  if (!answer.ok) {
    const { detail } = await answer.json().catch(() => ({}));
    return end(part, false, `It did not begin: ${detail ?? "the server refuses it"}.`);
  }
  const found = part.querySelector("[data-verify-found]");
  for await (const { progress, finding, verdict, failed } of told(answer)) {
    if (progress) say(`${number(progress.records)} of ${number(progress.of)} records`);
    if (finding) {
      found.hidden = false;
      add(found.querySelector("tbody"), finding);
    }
    if (verdict) return end(part, verdict.is_sound, verdict.said);
    if (failed) return end(part, false, `It did not come to its end: ${failed.detail}.`);
  }
  return end(part, false, "It did not come to its end: the connection was lost.");
}

export function startVerifying() {
  document.addEventListener("submit", async (event) => {
    const part = event.target.closest("[data-verify]");
    if (!event.target.matches("[data-verify-form]") || !part) return;
    event.preventDefault();
    const state = part.querySelector("[data-verify-state]");
    if (part.hasAttribute("aria-busy")) return;
    const say = (words) => { state.textContent = words; };
    const over = busy(part, () => state.textContent || say("Reading the trail"));
    part.querySelector("[data-verify-verdict]").hidden = true;
    part.querySelector("[data-verify-found]").hidden = true;
    part.querySelector("[data-verify-found] tbody").replaceChildren();
    try {
      await verify(part, say);
    } catch {
      end(part, false, "It did not come to its end: the connection was lost.");
    } finally {
      over();
      say("");
    }
  });
}
