import { useEffect, useState, type ReactNode } from "react";
import type { Approval, Page, Session } from "../api/client";
import { aboutRuns, useConnected, useResource } from "../lib/feed";
import { go, Link, useLocation } from "../lib/router";

const places: [key: string, href: string, title: string][] = [
  ["o", "/", "Overview"],
  ["r", "/runs", "Runs"],
  ["a", "/approvals", "Approvals"],
  ["s", "/stacks", "Stacks"],
  ["w", "/workflows", "Workflows"],
  ["e", "/events", "Events"],
  ["u", "/audit", "Audit"],
];

/** What surrounds every page: where one can go, who one is, light or dark. */
export function Shell({
  session,
  onLogout,
  children,
}: {
  session: Session;
  onLogout: () => void;
  children: ReactNode;
}) {
  const { path } = useLocation();
  const approvals = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  const connected = useConnected();
  useKeys();
  const waiting = approvals.data?.items.length ?? 0;
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <nav className="side" aria-label="Pages">
        <div className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> Tutti
          <span className="project">{session.project}</span>
        </div>
        <ul>
          {places.map(([key, href, title]) => {
            const here = href === "/" ? path === "/" : path.startsWith(href);
            return (
              <li key={href}>
                <Link
                  href={href}
                  className={here ? "on" : ""}
                  aria-current={here ? "page" : undefined}
                  title={`g ${key}`}
                >
                  {title}
                  {href === "/approvals" && waiting > 0 && <span className="count">{waiting}</span>}
                </Link>
              </li>
            );
          })}
        </ul>
        <div className="foot">
          <span className={connected ? "live on" : "live"}>{connected ? "live" : "connecting…"}</span>
          <span className="who" title={session.roles?.join(", ")}>
            {session.subject}
          </span>
          <Theme />
          <form
            method="post"
            onSubmit={async (event) => {
              event.preventDefault();
              await fetch("/logout", { method: "POST" });
              onLogout();
            }}
          >
            <button className="link">Log out</button>
          </form>
          <span className="version">{session.version}</span>
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

/** "g" and a letter goes to a page, as the titles of the links say. */
function useKeys() {
  useEffect(() => {
    let g = 0;
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.metaKey || event.ctrlKey || event.altKey || /^(input|textarea|select)$/i.test(target.tagName)) return;
      if (event.key === "g") {
        g = Date.now();
        return;
      }
      const place = places.find(([key]) => key === event.key);
      if (place && Date.now() - g < 1500) go(place[1]);
      g = 0;
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}

function Theme() {
  const [theme, set] = useState(() => localStorage.getItem("tutti-theme") ?? "auto");
  useEffect(() => {
    localStorage.setItem("tutti-theme", theme);
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const next = { auto: "light", light: "dark", dark: "auto" }[theme] ?? "auto";
  return (
    <button className="link" onClick={() => set(next)} aria-label={`Theme: ${theme}. Switch to ${next}.`}>
      {theme} theme
    </button>
  );
}
