/** The theme of the page: that of the system, or light or dark as the reader has set it. */

const THEMES = ["system", "light", "dark"];
const STORED = "ganatomy-theme";

/** The stored theme; "system" where nothing can be stored. */
function storedTheme() {
  try {
    return window.localStorage.getItem(STORED) ?? "system";
  } catch {
    return "system";
  }
}

function storeTheme(theme) {
  try {
    window.localStorage.setItem(STORED, theme);
  } catch {
    // The theme then lasts as long as the page.
  }
}

/** Make a button switch the theme. */
export function themeSwitch(button) {
  const set = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.dataset.value = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(button.dataset.value) + 1) % THEMES.length];
    storeTheme(next);
    set(next);
  });
  set(THEMES.includes(storedTheme()) ? storedTheme() : "system");
  button.hidden = false;
}
