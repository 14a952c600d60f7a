// Secrets on a page. <element data-secret> holds what must not come back: when the reader leaves, it
// goes, so that a browser which keeps the page as it was brings back a page without it, and shows
// [data-secret-gone] instead. Inside [data-shown-once] the reader is asked before leaving, until
// [data-saved] is ticked or a form is sent.

export function startShown() {
  if (!document.querySelector("[data-secret]")) return;
  let isSent = false;
  addEventListener("submit", () => (isSent = true));
  addEventListener("beforeunload", (event) => {
    const isSaved = document.querySelector("[data-saved]:checked");
    if (!isSent && !isSaved && document.querySelector("[data-shown-once] [data-secret]")) event.preventDefault();
  });
  addEventListener("pagehide", () => {
    for (const secret of document.querySelectorAll("[data-secret]")) secret.remove();
    for (const gone of document.querySelectorAll("[data-secret-gone]")) gone.hidden = false;
  });
}
