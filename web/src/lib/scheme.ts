/** Light, dark, or as the system has it. */
export type Theme = "auto" | "light" | "dark";

const key = "tutti-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = (): Theme => (localStorage.getItem(key) as Theme | null) ?? "auto";

function show() {
  const chosen = theme();
  document.documentElement.dataset.scheme = chosen === "auto" ? (system.matches ? "dark" : "light") : chosen;
}

/** Shows the page in the chosen scheme, also when the system changes its own. */
export function followScheme() {
  show();
  system.addEventListener("change", show);
}

export function chooseTheme(chosen: Theme) {
  localStorage.setItem(key, chosen);
  show();
}
