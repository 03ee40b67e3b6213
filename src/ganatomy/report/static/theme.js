// @ts-check
/**
 * The theme of the page: that of the system, or light or dark as the reader has set it with the button of the page.
 *
 * Not a module: it runs in the head, so that nothing is drawn in another theme first. The theme is kept in the storage
 * of the browser. A report from the server is cut off from that, so a link to a report or from one carries the theme.
 */
(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "ganatomy-theme";
  const root = document.documentElement;

  /** The stored theme; null where there is none, undefined where nothing can be stored. */
  function stored() {
    try {
      return window.localStorage.getItem(KEY);
    } catch {
      return undefined;
    }
  }

  /** @param {string} theme */
  function store(theme) {
    try {
      window.localStorage.setItem(KEY, theme);
    } catch {
      setAddress(withTheme(window.location.href, theme));
    }
  }

  /** Change the address of the page, where the browser allows it. @param {string} url */
  function setAddress(url) {
    try {
      window.history.replaceState(window.history.state, "", url);
    } catch { /* the theme then lasts as long as the page */ }
  }

  /** An address that carries a theme, or none. @param {string} address @param {string | null} theme */
  function withTheme(address, theme) {
    const url = new URL(address);
    if (theme === null) url.searchParams.delete("theme");
    else url.searchParams.set("theme", theme);
    return url.href;
  }

  const current = () => root.dataset.theme ?? "system";

  /** @param {string | null | undefined} theme */
  function show(theme) {
    if (!theme || !THEMES.includes(theme)) return;
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
  }

  /** Let a link carry the theme where its page could not know it otherwise. @param {Event} event */
  function carry(event) {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.hasAttribute("download")) return;
    const here = link.host === window.location.host && link.protocol === window.location.protocol;
    const isOther = link.pathname !== window.location.pathname;
    if (here && isOther && (stored() === undefined || link.pathname.includes("/reports/"))) {
      link.href = withTheme(link.href, current());
    }
  }

  show(stored());
  const carried = new URLSearchParams(window.location.search).get("theme");
  if (carried && THEMES.includes(carried)) {
    show(carried);
    if (stored() !== undefined) setAddress(withTheme(window.location.href, null));
    store(carried);
  }
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element && event.target.closest("#theme"))) return;
    show(THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length]);
    store(current());
  });
  for (const kind of ["click", "auxclick", "contextmenu"]) document.addEventListener(kind, carry, { capture: true });
  // Another page has changed it, or this one was left and comes back.
  for (const kind of ["storage", "pageshow"]) window.addEventListener(kind, () => show(stored()));
})();
