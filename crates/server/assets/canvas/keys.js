// Single keys: `/` searches, `?` explains, `g` and a letter go somewhere, `j` `k` `x` Enter walk a
// list. Who types with their voice, or hits keys by accident, can switch them off (WCAG 2.1.4).

const SWITCH = "claviger-keys";
const WAIT_FOR_LETTER = 1200;

function isOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true;
  }
}

function isTyping(target) {
  return target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
}

function isShown(element) {
  return element.checkVisibility ? element.checkVisibility() : element.offsetParent !== null;
}

/** The rows of the list of this page, and the one where the keyboard is. */
function rows() {
  const all = [...document.querySelectorAll("[data-rows] > *")].filter((row) => !row.hidden);
  return { all, at: all.findIndex((row) => row.contains(document.activeElement)) };
}

function walk(step) {
  const { all, at } = rows();
  if (all.length === 0) return;
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  next.querySelector("a[href]")?.focus();
  next.scrollIntoView({ block: "nearest" });
}

function select() {
  const { all, at } = rows();
  all[at]?.querySelector("input[type=checkbox]")?.click();
}

let goUntil = 0;

function press(event) {
  const { key } = event;
  if (event.timeStamp < goUntil) {
    goUntil = 0;
    const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
    if (link) location.assign(link.href);
    return Boolean(link);
  }
  if (key === "g") {
    goUntil = event.timeStamp + WAIT_FOR_LETTER;
  } else if (key === "/") {
    const field = [...document.querySelectorAll("[data-slash]")].find(isShown);
    field?.focus();
    field?.select();
    return Boolean(field);
  } else if (key === "?") {
    document.getElementById("help")?.showModal();
  } else if (key === "j") {
    walk(1);
  } else if (key === "k") {
    walk(-1);
  } else if (key === "x") {
    select();
  } else {
    const target = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(isShown);
    target?.click();
    return Boolean(target);
  }
  return true;
}

export function startKeys() {
  const box = document.querySelector("[data-keys-switch]");
  if (box) {
    box.checked = isOn();
    box.addEventListener("change", () => {
      try {
        localStorage.setItem(SWITCH, box.checked ? "on" : "off");
      } catch {
        // A browser that keeps nothing: it holds for this page.
      }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches("[data-slash]")) event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (box ? !box.checked : !isOn()) return;
    if (press(event)) event.preventDefault();
  });
}
