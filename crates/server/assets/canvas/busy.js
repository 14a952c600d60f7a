// Something is on its way: the part that waits for it says so, and shows it when it takes a while.

/** After how many milliseconds it is shown. What comes sooner would only flicker. */
export const SHOWN_AFTER = 150;

/** For how many things an element waits. */
const waiting = new WeakMap();

function wait(element, more) {
  const count = (waiting.get(element) ?? 0) + more;
  waiting.set(element, count);
  if (count > 0) element.setAttribute("aria-busy", "true");
  else element.removeAttribute("aria-busy");
  if (count === 0) element.classList.remove("waits");
}

/** Marks an element as waiting; gives what ends that. `shown` is called when it takes a while. */
export function busy(element, shown = () => {}) {
  wait(element, 1);
  const timer = setTimeout(() => {
    element.classList.add("waits");
    shown();
  }, SHOWN_AFTER);
  let isOver = false;
  const over = () => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    removeEventListener("pagehide", over);
    wait(element, -1);
  };
  // A browser that goes back shows the page as it was left.
  addEventListener("pagehide", over);
  return over;
}
