// Choosing several rows: one box for all, and a range with Shift. The bar of actions shows itself
// by CSS as soon as a box is ticked; here its number is also said.
//
//   <form data-select> … <input type="checkbox" data-select-all> … <tbody data-rows> … [data-select-count]

const boxesOf = (form) => [...form.querySelectorAll("[data-rows] input[type=checkbox]:not(:disabled)")];

function show(form) {
  const boxes = boxesOf(form).filter((box) => !box.closest("[hidden]"));
  const ticked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-select-all]");
  if (all) {
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  const count = form.querySelector("[data-select-count]");
  if (count) count.textContent = `${ticked} selected`;
}

export function startSelecting() {
  let last = null;
  document.addEventListener("click", (event) => {
    const box = event.target;
    const form = box.closest("form[data-select]");
    if (!form) return;
    if (box.closest("[data-select-none]")) {
      for (const other of boxesOf(form)) other.checked = false;
      show(form);
      return;
    }
    if (!box.matches("input[type=checkbox]")) return;
    const boxes = boxesOf(form);
    if (box.matches("[data-select-all]")) {
      for (const other of boxes) other.checked = box.checked && !other.closest("[hidden]");
    } else if (event.shiftKey && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
    }
    if (boxes.includes(box)) last = box;
    show(form);
  });
  document.addEventListener("list-changed", (event) => {
    const form = event.target.closest("form[data-select]");
    if (form) show(form);
  });
  // A browser that goes back keeps the ticks.
  addEventListener("pageshow", () => document.querySelectorAll("form[data-select]").forEach(show));
}
