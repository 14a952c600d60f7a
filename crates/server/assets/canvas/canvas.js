// What every page runs. Each module listens on the document, so what is added to a page later works
// too, and a page without scripts reads and sends the same.

import { startCopying } from "./copy.js";
import { startTimes } from "./time.js";
import { startDialogs } from "./dialog.js";
import { startKeys } from "./keys.js";
import { startSelecting } from "./select.js";
import { startSearch } from "./search.js";
import { startTheme } from "./theme.js";
import { startTails } from "./live.js";
import { startMinting } from "./mint.js";
import { startShown } from "./shown.js";
import { startFirstCalls } from "./first_call.js";
import { startVerifying } from "./verify.js";

startTheme();
startTimes();
startCopying();
startDialogs();
startKeys();
startSelecting();
startSearch();
startTails();
startMinting();
startShown();
startFirstCalls();
startVerifying();

document.addEventListener("click", (event) => {
  event.target.closest("[data-close-flash]")?.closest(".flash")?.remove();
  // A menu that is open closes when something else is touched.
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.("details[data-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
