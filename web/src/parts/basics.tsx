import { useState, type ReactNode } from "react";
import { Problem } from "../api/client";

/** What a status looks like; the word is always there as well as the colour. */
export function Status({ status }: { status: string }) {
  return (
    <span className={`status status-${status}`}>
      <span className="dot" aria-hidden="true" />
      {status}
    </span>
  );
}

export function Notice({ title, text, children }: { title: string; text?: string; children?: ReactNode }) {
  return (
    <div className="notice" role="status">
      <h2>{title}</h2>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}

export function Trouble({ problem }: { problem?: Problem }) {
  if (!problem) return null;
  return (
    <div className="trouble" role="alert">
      <strong>{problem.message}</strong>
      {problem.details.map((d, i) => (
        <p key={i}>
          {d.message} {d.location && <code>{d.location}</code>}
        </p>
      ))}
    </div>
  );
}

export function PageHead({ title, children, sub }: { title: ReactNode; sub?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {sub && <p className="sub">{sub}</p>}
      </div>
      <div className="actions">{children}</div>
    </header>
  );
}

/** A button that does something on the server and says what went wrong. */
export function Act({
  children,
  run,
  kind = "",
  disabled = false,
  confirm,
}: {
  children: ReactNode;
  run: () => Promise<unknown>;
  kind?: "" | "primary" | "danger";
  disabled?: boolean;
  confirm?: string;
}) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const act = async () => {
    if (confirm && !window.confirm(confirm)) return;
    setBusy(true);
    setProblem(undefined);
    try {
      await run();
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button className={`button ${kind}`} disabled={busy || disabled} onClick={act}>
        {children}
      </button>
      <Trouble problem={problem} />
    </>
  );
}

export function Tabs({
  tabs,
  active,
  onChange,
}: {
  tabs: [string, string][];
  active: string;
  onChange: (id: string) => void;
}) {
  return (
    <div className="tabs" role="tablist">
      {tabs.map(([id, title]) => (
        <button
          key={id}
          role="tab"
          aria-selected={id === active}
          className={id === active ? "tab on" : "tab"}
          onClick={() => onChange(id)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}
