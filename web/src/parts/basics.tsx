import { useEffect, useRef, type KeyboardEvent, type ReactNode } from "react";
import type { Problem } from "../api/client";
import { Link } from "../lib/router";
import { Icon, type IconName } from "./icons";

/** What stands where there is nothing, and what to do about it. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} size={32} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Stands for what is on its way. */
export function Skeleton({ lines = 4 }: { lines?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} style={{ width: `${92 - ((i * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

/** What went wrong, with the places in the files where there are any. */
export function Trouble({ problem }: { problem?: Problem }) {
  if (!problem) return null;
  return (
    <div className="trouble" role="alert">
      <Icon name="cross" size={18} />
      <ProblemText problem={problem} />
    </div>
  );
}

export function ProblemText({ problem }: { problem: Problem }) {
  return (
    <div>
      <strong>{problem.message}</strong>
      {problem.details.map((d, i) => (
        <p key={i}>
          {d.message} {d.location && <code>{d.location}</code>}
        </p>
      ))}
    </div>
  );
}

/** The head of a page: where it is, what it is, what can be done. */
export function PageHead({
  name,
  title = name,
  beside,
  sub,
  crumbs = [],
  children,
}: {
  name: string;
  title?: ReactNode;
  beside?: ReactNode;
  sub?: ReactNode;
  crumbs?: [href: string, title: string][];
  children?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${name} · Tutti`;
  }, [name]);
  return (
    <header className="page-head">
      <div>
        {crumbs.length > 0 && (
          <nav className="crumbs" aria-label="Where this is">
            {crumbs.map(([href, text]) => (
              <span key={href} className="row">
                <Link href={href}>{text}</Link> <span aria-hidden="true">/</span>
              </span>
            ))}
          </nav>
        )}
        <div className="page-title">
          <h1>{title}</h1>
          {beside}
        </div>
        {sub && <div className="page-sub">{sub}</div>}
      </div>
      {children && <div className="actions">{children}</div>}
    </header>
  );
}

export interface Tab {
  id: string;
  title: string;
  count?: number;
}

/** Tabs; the arrows go from one to the next. */
export function Tabs({
  label,
  tabs,
  active,
  onChange,
}: {
  label: string;
  tabs: Tab[];
  active: string;
  onChange: (id: string) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const i = tabs.findIndex((t) => t.id === active);
    const next = (i + by + tabs.length) % tabs.length;
    onChange(tabs[next]!.id);
    (box.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label} ref={box} onKeyDown={move}>
      {tabs.map((t) => (
        <button
          key={t.id}
          role="tab"
          className="tab"
          aria-selected={t.id === active}
          tabIndex={t.id === active ? 0 : -1}
          onClick={() => onChange(t.id)}
        >
          {t.title}
          {t.count !== undefined && <span className="tab-count">{t.count.toLocaleString("en")}</span>}
        </button>
      ))}
    </div>
  );
}

/** A field that narrows what a page shows; "/" goes to it. */
export function Search({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}) {
  return (
    <label className="search">
      <Icon name="search" />
      <input
        className="input"
        type="search"
        placeholder={label}
        aria-label={label}
        value={value}
        data-page-search
        onChange={(e) => onChange(e.target.value)}
      />
    </label>
  );
}

/** One of several ways to narrow a list. */
export function FilterButton({ on, onClick, children }: { on: boolean; onClick: () => void; children: ReactNode }) {
  return (
    <button className="filter" aria-pressed={on} onClick={onClick}>
      {children}
    </button>
  );
}
