// Buttons that copy a text: <button data-copy="text">.

const SAID_FOR = 2000;

/** Says something to whoever listens to the page. */
export function say(words) {
  let region = document.getElementById("said");
  if (!region) {
    region = document.createElement("p");
    region.id = "said";
    region.className = "sr";
    region.setAttribute("role", "status");
    document.body.append(region);
  }
  region.textContent = words;
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Not every browser lets a page without TLS write to the clipboard: select the text instead.
    const text = button.parentElement.querySelector("code");
    if (text) getSelection().selectAllChildren(text);
    say("Copying is not allowed here. The text is selected.");
    return;
  }
  say("Copied");
  const label = button.querySelector("[data-copy-label]");
  const words = label?.textContent;
  button.classList.add("copied");
  if (label) label.textContent = "Copied";
  setTimeout(() => {
    button.classList.remove("copied");
    if (label) label.textContent = words;
  }, SAID_FOR);
}

export function startCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    // A second press while it says "Copied" would keep that word for good.
    if (button && !button.classList.contains("copied")) copy(button);
  });
}
