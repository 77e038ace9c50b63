import logo from "../icon.svg?raw";

/** What the tab of the browser says of the thing that its page is about: a mark before the title, a dot on the icon. */
const looks: Record<string, [mark: string, colour: string]> = {
  running: ["●", "#3b82f6"],
  asking: ["?", "#f59e0b"],
  interrupted: ["!", "#f59e0b"],
  succeeded: ["✓", "#16a34a"],
  failed: ["✕", "#dc2626"],
  cancelled: ["✕", "#6b7280"],
};

/** Names the tab, with how the thing stands; other pages have none. */
export function nameTab(name: string, standing?: string) {
  const [mark, colour] = (standing && looks[standing]) || ["", ""];
  document.title = `${mark && mark + " "}${name} · Tutti`;
  const dot = colour && `<circle cx="24" cy="24" r="8" fill="${colour}" stroke="#fff" stroke-width="2"/>`;
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (icon) icon.href = "data:image/svg+xml," + encodeURIComponent(logo.replace("</svg>", dot + "</svg>"));
}
