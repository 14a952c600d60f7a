// Light, dark, or as the system has it. The choice is a cookie, so that the server writes it into
// the page and nothing flickers.

const COOKIE = "claviger_theme";
const YEAR = 365 * 24 * 60 * 60;

function show(theme) {
  document.documentElement.dataset.theme = theme;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
  }
}

export function startTheme() {
  show(document.documentElement.dataset.theme || "system");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    const theme = button.dataset.themeChoice;
    const age = theme === "system" ? 0 : YEAR;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${COOKIE}=${theme}; Path=/canvas; Max-Age=${age}; SameSite=Lax${secure}`;
    show(theme);
  });
}
