import { Fragment, useEffect, useRef, type KeyboardEvent, type ReactNode } from "react";
import type { Page, Problem } from "../api/client";
import type { Resource } from "../lib/feed";
import { useKeys } from "../lib/keys";
import { Link, setQuery, useLocation } from "../lib/router";
import { nameTab } from "../lib/tabicon";
import { Icon, type IconName } from "./icons";

/** What stands where there is nothing, and what to do about it; alone, where there is no page. */
export function Empty({
  icon,
  title,
  alone = false,
  children,
}: {
  icon: IconName;
  title: string;
  alone?: boolean;
  children?: ReactNode;
}) {
  const Heading = alone ? "h1" : "h2";
  useEffect(() => {
    if (alone) nameTab(title);
  }, [alone, title]);
  return (
    <div className="empty">
      <Icon name={icon} size={32} />
      <Heading>{title}</Heading>
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
  standing,
  children,
}: {
  name: string;
  title?: ReactNode;
  beside?: ReactNode;
  sub?: ReactNode;
  crumbs?: [href: string, title: string][];
  /** How the thing stands that the page is about, which the tab of the browser says. */
  standing?: string;
  children?: ReactNode;
}) {
  useEffect(() => {
    nameTab(name, standing);
  }, [name, standing]);
  return (
    <header className="page-head">
      <div>
        {crumbs.length > 0 && (
          <nav className="crumbs" aria-label="Where this is">
            {crumbs.map(([href, text], i) => (
              <span key={href} className="row">
                {i > 0 && <span aria-hidden="true">/</span>}
                <Link href={href}>{text}</Link>
              </span>
            ))}
          </nav>
        )}
        <div className="page-title">
          <h1 className="two-lines" title={name}>
            {title}
          </h1>
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
  useEffect(() => {
    box.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [active]);
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

/** Facts about a thing, each with its name. What is empty is left out. */
export function Facts({ list }: { list: [name: string, fact: ReactNode][] }) {
  return (
    <dl className="facts">
      {list.map(
        ([name, fact]) =>
          fact !== undefined &&
          fact !== null &&
          fact !== false &&
          fact !== "" && (
            <Fragment key={name}>
              <dt>{name}</dt>
              <dd>{fact}</dd>
            </Fragment>
          ),
      )}
    </dl>
  );
}

/** All about one thing of a list, beside it. */
export function SidePanel({
  label,
  title,
  beside,
  onClose,
  children,
}: {
  label: string;
  title: string;
  beside?: ReactNode;
  onClose: () => void;
  children: ReactNode;
}) {
  useKeys([{ keys: "Escape", title: "Close what is beside the list", run: onClose }]);
  return (
    <aside className="panel" aria-label={label}>
      <div className="panel-head side-panel-head">
        <h2 className="clip" title={title}>
          {title}
        </h2>
        {beside}
        <button className="icon-button" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </aside>
  );
}

/** What the project declares of one kind, as cards; where there is nothing, how to declare it. */
export function Declared<T>({
  icon,
  many,
  block,
  list,
  shown = list.data?.items ?? [],
  keyOf,
  children,
}: {
  icon: IconName;
  /** What the things are called. */
  many: string;
  /** The kind of block that declares them. */
  block: string;
  list: Resource<Page<T>>;
  shown?: T[];
  keyOf: (item: T) => string;
  children: (item: T) => ReactNode;
}) {
  return (
    <>
      <Trouble problem={list.problem} />
      {!list.data && !list.problem && <Skeleton />}
      {list.data?.items.length === 0 && (
        <div className="panel">
          <Empty icon={icon} title={`The project declares no ${many}`}>
            <p>
              Write <code>{block}</code> blocks in a <code>*.tutti.hcl</code> file: they show up here.
            </p>
          </Empty>
        </div>
      )}
      <ul className="cards">
        {shown.map((item) => (
          <li key={keyOf(item)} className="panel card">
            {children(item)}
          </li>
        ))}
      </ul>
    </>
  );
}

/** Ways to narrow a list to one value, which is kept in the page's address. */
export function QueryFilter({
  label,
  parameter,
  values,
  counts,
}: {
  label: string;
  parameter: string;
  values: string[];
  /** How many things each value has. */
  counts?: Record<string, number>;
}) {
  const now = useLocation().query.get(parameter);
  return (
    <div className="filters" role="group" aria-label={label}>
      {values.map((v) => (
        <FilterButton key={v} on={v === now} onClick={() => setQuery({ [parameter]: v === now ? undefined : v })}>
          {v} {counts && <span className="number">{(counts[v] ?? 0).toLocaleString("en")}</span>}
        </FilterButton>
      ))}
    </div>
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
