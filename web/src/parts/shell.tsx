import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import type { Approval, Page, Session } from "../api/client";
import logo from "../icon.svg";
import { aboutRuns, useConnected, useResource } from "../lib/feed";
import { listenForKeys, useKeys } from "../lib/keys";
import { groups, isHere, places, type Place } from "../lib/places";
import { go, Link, useLocation } from "../lib/router";
import { chooseTheme, theme, type Theme } from "../lib/scheme";
import { Dialog } from "./dialog";
import { Help } from "./help";
import { Icon } from "./icons";
import { Palette } from "./palette";
import { Toasts } from "./toasts";

interface Props {
  session: Session;
  onLogout: () => void;
}

/** What surrounds every page: where one can go, who one is, light or dark. */
export function Shell({ session, onLogout, children }: Props & { children: ReactNode }) {
  const { path } = useLocation();
  const [open, setOpen] = useState<"palette" | "help" | "menu">();
  const close = () => setOpen(undefined);
  const waiting = useResource<Page<Approval>>("/approvals", {}, aboutRuns).data?.items.length ?? 0;
  useShortcuts(setOpen);
  // Before the page is painted: what a key opens on it stays open.
  useLayoutEffect(close, [path]);
  useFocusOnMain(path);
  const side = <Side session={session} onLogout={onLogout} waiting={waiting} onFind={() => setOpen("palette")} />;
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to content
      </a>
      {side}
      <div>
        <header className="topbar">
          <Brand session={session} />
          <button className="icon-button" aria-label="Search or go to" onClick={() => setOpen("palette")}>
            <Icon name="search" size={20} />
          </button>
        </header>
        <Connection />
        <main className="main" id="main" tabIndex={-1}>
          {children}
        </main>
      </div>
      <nav className="tabbar" aria-label="Main pages">
        {[0, 1, 2, 3].map((i) => (
          <TabBarLink key={i} place={places[i]!} here={isHere(places[i]!, path)} waiting={waiting} />
        ))}
        <button className="tabbar-link" onClick={() => setOpen("menu")}>
          <Icon name="menu" size={20} />
          More
        </button>
      </nav>
      {open === "palette" && <Palette onClose={close} />}
      {open === "help" && <Help onClose={close} />}
      {open === "menu" && (
        <Dialog label="Pages" className="sheet" onClose={close}>
          {side}
        </Dialog>
      )}
      <Toasts />
    </div>
  );
}

/** How long a break may last before it is told of, in milliseconds: most are over at once. */
const shortBreak = 1500;

/** Says that the page does not hear what happens, as long as it does not. */
function Connection() {
  const connected = useConnected();
  const [told, tell] = useState(false);
  useEffect(() => {
    if (connected) {
      tell(false);
      return;
    }
    const timer = window.setTimeout(() => tell(true), shortBreak);
    return () => window.clearTimeout(timer);
  }, [connected]);
  if (!told) return null;
  return (
    <div className="connection" role="status">
      <Icon name="warning" /> The server does not answer: what is shown may be old. It is taken up again by itself.
    </div>
  );
}

function Brand({ session }: { session: Session }) {
  return (
    <Link className="brand" href="/">
      <img src={logo} alt="" width="28" height="28" />
      <span className="clip">
        Tutti
        <span className="brand-project clip">{session.project}</span>
      </span>
    </Link>
  );
}

function Side({ session, onLogout, waiting, onFind }: Props & { waiting: number; onFind: () => void }) {
  const { path } = useLocation();
  const connected = useConnected();
  const logout = async () => {
    await fetch("/logout", { method: "POST" });
    onLogout();
  };
  return (
    <nav className="side" aria-label="Pages">
      <Brand session={session} />
      <button className="finder" onClick={onFind}>
        <Icon name="search" /> Search or go to … <kbd>Ctrl K</kbd>
      </button>
      <div>
        {groups.map(([title, list]) => (
          <div className="side-group" key={title}>
            {title && <div className="side-title">{title}</div>}
            <ul>
              {list.map((p) => (
                <li key={p.href}>
                  <Link
                    href={p.href}
                    className={isHere(p, path) ? "side-link on" : "side-link"}
                    aria-current={isHere(p, path) ? "page" : undefined}
                    title={`g ${p.key}`}
                  >
                    <Icon name={p.icon} size={18} />
                    {p.title}
                    {p.href === "/approvals" && <Waiting count={waiting} />}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </div>
      <div className="side-foot">
        <div className="who">
          <span className="avatar" aria-hidden="true">
            {session.subject.replace(/^\w+:/, "").slice(0, 2)}
          </span>
          <div className="clip" title={session.roles.join(", ")}>
            <div className="clip">{session.subject}</div>
            <span className={connected ? "live on" : "live"}>{connected ? "live" : "connecting …"}</span>
          </div>
        </div>
        <div className="row apart">
          <ThemeButton />
          <button className="button quiet slim" onClick={logout}>
            Log out
          </button>
        </div>
        <span className="side-version muted clip small" title="Version of the server" data-version>
          {session.version}
        </span>
      </div>
    </nav>
  );
}

function Waiting({ count }: { count: number }) {
  if (count === 0) return null;
  return (
    <span className="badge">
      {count}
      <span className="hidden-text"> waiting</span>
    </span>
  );
}

function TabBarLink({ place, here, waiting }: { place: Place; here: boolean; waiting: number }) {
  return (
    <Link
      href={place.href}
      className={here ? "tabbar-link on" : "tabbar-link"}
      aria-current={here ? "page" : undefined}
    >
      <Icon name={place.icon} size={20} />
      {place.title}
      {place.href === "/approvals" && <Waiting count={waiting} />}
    </Link>
  );
}

function ThemeButton() {
  const [chosen, set] = useState<Theme>(theme);
  const next = ({ auto: "light", light: "dark", dark: "auto" } as const)[chosen];
  return (
    <button
      className="button quiet slim"
      aria-label={`Theme: ${chosen}. Switch to ${next}.`}
      onClick={() => {
        chooseTheme(next);
        set(next);
      }}
    >
      <Icon name="theme" /> {chosen}
    </button>
  );
}

/** Puts the focus on a page that was gone to, so that Tab goes on there and not at the top. */
function useFocusOnMain(path: string) {
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [path]);
}

/** Puts the focus on the next row of the lists of a page, or the one before. */
function focusRow(by: number) {
  const rows = [...document.querySelectorAll<HTMLElement>("#main tbody tr, #main .rows-box [role=row]")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  rows[next]?.querySelector<HTMLElement>("a, button")?.focus();
}

function useShortcuts(open: (what: "palette" | "help") => void) {
  useEffect(() => {
    const stop = listenForKeys();
    const pressed = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      open("palette");
    };
    window.addEventListener("keydown", pressed);
    return () => {
      stop();
      window.removeEventListener("keydown", pressed);
    };
  }, [open]);
  useKeys([
    { keys: "?", title: "Show what keys do", everywhere: true, run: () => open("help") },
    { keys: "j", title: "Next row of a list", everywhere: true, run: () => focusRow(1) },
    { keys: "k", title: "Row before", everywhere: true, run: () => focusRow(-1) },
    {
      everywhere: true,
      keys: "/",
      title: "Search on this page",
      run: () => document.querySelector<HTMLElement>("[data-page-search]")?.focus(),
    },
    ...places.map((p) => ({
      keys: `g ${p.key}`,
      title: `Go to ${p.title.toLowerCase()}`,
      everywhere: true,
      run: () => go(p.href),
    })),
  ]);
}
