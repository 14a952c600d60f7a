// Dialogs. A link or a button of a GET form that is marked `data-dialog` leads to a page; with
// scripts, that part of the page which is marked `data-dialog-page` opens here instead. What is sent
// from it goes the same way as from the page. A link to `#id` opens the dialog of that id.
//
// One page is loaded at a time: who presses twice gets one dialog, and who presses something else
// meanwhile gets that. A page that takes a while opens the dialog before it is there.

import { busy } from "./busy.js";

/** The page that is on its way: its address, and what ends the waiting for it. */
let coming = null;

/** Opens a dialog, unless it is open. */
function open(dialog) {
  if (!dialog.open) dialog.showModal();
}

/** Gives everything in a part of a page other ids: the page below may have a field of the same name. */
function withOwnIds(content) {
  const own = (ids) => ids.split(" ").map((id) => (content.querySelector(`#${CSS.escape(id)}`) ? `dialog-${id}` : id)).join(" ");
  for (const name of ["for", "list", "form", "aria-describedby", "aria-labelledby", "aria-controls"]) {
    for (const element of content.querySelectorAll(`[${name}]`)) element.setAttribute(name, own(element.getAttribute(name)));
  }
  for (const element of content.querySelectorAll("[id]")) element.id = `dialog-${element.id}`;
}

/** An empty dialog, which goes when it is closed. */
function made() {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  const head = document.createElement("div");
  head.className = "dialog-head";
  const heading = document.createElement("h2");
  heading.id = "dialog-title";
  const close = document.querySelector("#help [data-close-dialog]").cloneNode(true);
  head.append(heading, close);
  const body = document.createElement("div");
  body.className = "dialog-body";
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(head, body);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  return dialog;
}

/** Fills a dialog. */
function fill(dialog, title, ...content) {
  dialog.querySelector(".dialog-head > h2").textContent = title;
  dialog.querySelector(".dialog-body").replaceChildren(...content);
}

/** What a dialog shows while its page is on its way. */
function lines() {
  const skeleton = document.createElement("div");
  skeleton.className = "skeleton";
  skeleton.setAttribute("aria-hidden", "true");
  for (let line = 0; line < 5; line += 1) skeleton.append(document.createElement("span"));
  return skeleton;
}

/** The part of a page that opens as a dialog, and its title. */
async function ask(address, signal) {
  const answer = await fetch(address, { signal, headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error("not the page");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const content = page.querySelector("[data-dialog-page]");
  const title = page.querySelector("h1")?.textContent;
  if (!content || !title) throw new Error("not a page for a dialog");
  for (const heading of content.querySelectorAll("h1")) heading.closest(".heading, h1").remove();
  for (const back of content.querySelectorAll("[data-back]")) back.setAttribute("data-close-dialog", "");
  withOwnIds(content);
  return [title, ...content.childNodes];
}

/** Opens the page of a link or a button as a dialog. */
async function openPage(opener, address) {
  if (coming?.address === address) return;
  coming?.stop();
  const control = new AbortController();
  const dialog = made();
  const over = busy(opener, () => {
    fill(dialog, "Loading…", lines());
    dialog.setAttribute("aria-busy", "true");
    open(dialog);
  });
  const mine = { address, stop: () => control.abort() };
  coming = mine;
  // Who closes it waits for it no more.
  dialog.addEventListener("close", mine.stop);
  try {
    const page = await ask(address, control.signal);
    fill(dialog, ...page);
    dialog.removeAttribute("aria-busy");
    open(dialog);
  } catch {
    dialog.remove();
    // Whatever it is, the page itself can say it better.
    if (!control.signal.aborted) location.assign(address);
  } finally {
    over();
    if (coming === mine) coming = null;
  }
}

function isPlain(event) {
  return !(event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.button);
}

export function startDialogs() {
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close-dialog]");
    const around = closer?.closest("dialog");
    if (around) {
      event.preventDefault();
      around.close();
      return;
    }
    // A press beside the dialog closes it, unless something has been typed into it.
    if (event.target.matches("dialog.dialog") && !event.target.querySelector("form")) {
      event.target.close();
      return;
    }
    const link = event.target.closest("a[data-dialog]");
    if (!link || !isPlain(event)) return;
    event.preventDefault();
    const here = link.getAttribute("href").startsWith("#");
    const target = here && document.querySelector(link.getAttribute("href"));
    if (target) open(target);
    else openPage(link, link.href);
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches("[data-dialog]")) return;
    if ((button.formMethod || event.target.method) !== "get") return;
    event.preventDefault();
    // The property of a button without the attribute is the address of this page.
    const address = new URL(button.getAttribute("formaction") ? button.formAction : event.target.action);
    address.search = new URLSearchParams(new FormData(event.target, button)).toString();
    openPage(button, address.href);
  });
}
