// Dialogs. A link or a button of a GET form that is marked `data-dialog` leads to a page; with
// scripts, that part of the page which is marked `data-dialog-page` opens here instead. What is sent
// from it goes the same way as from the page. A link to `#id` opens the dialog of that id.

/** Opens a dialog, and takes it away again if it was made for this. */
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

function made(title, content) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  const header = document.createElement("header");
  const heading = document.createElement("h2");
  heading.id = "dialog-title";
  heading.textContent = title;
  const close = document.querySelector("#help [data-close-dialog]").cloneNode(true);
  header.append(heading, close);
  const body = document.createElement("div");
  body.className = "dialog-body";
  body.append(...content.childNodes);
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(header, body);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  return dialog;
}

async function openPage(address) {
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error("not the page");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const content = page.querySelector("[data-dialog-page]");
    const title = page.querySelector("h1");
    if (!content || !title) throw new Error("not a page for a dialog");
    for (const heading of content.querySelectorAll("h1")) heading.closest(".heading, h1").remove();
    for (const back of content.querySelectorAll("[data-back]")) {
      back.setAttribute("data-close-dialog", "");
    }
    withOwnIds(content);
    open(made(title.textContent, content));
  } catch {
    // Whatever it is, the page itself can say it better.
    location.assign(address);
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
    else openPage(link.href);
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches("[data-dialog]")) return;
    if ((button.formMethod || event.target.method) !== "get") return;
    event.preventDefault();
    // The property of a button without the attribute is the address of this page.
    const address = new URL(button.getAttribute("formaction") ? button.formAction : event.target.action);
    address.search = new URLSearchParams(new FormData(event.target, button)).toString();
    openPage(address.href);
  });
}
