import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Log } from "../api/client";

interface Line {
  key: string;
  step: string;
  stream: string;
  time: string;
  text: string;
}

/** Pieces become whole lines, each with its step. */
export function linesOf(logs: Log[]): Line[] {
  const out: Line[] = [];
  const partly = new Map<string, Line>();
  for (const log of logs) {
    const key = log.step + "\0" + log.stream;
    const parts = log.text.split("\n");
    parts.forEach((text, i) => {
      const open = partly.get(key);
      if (open && i === 0) open.text += text;
      else if (text !== "" || i < parts.length - 1) {
        const line = { key: `${log.id}.${i}`, step: log.step, stream: log.stream, time: log.time, text };
        out.push(line);
        if (i === parts.length - 1) partly.set(key, line);
      }
      if (i < parts.length - 1) partly.delete(key);
    });
  }
  return out;
}

/** What steps wrote, as it comes. Only the lines in sight are drawn. */
export function Logs({ logs, step, dropped }: { logs: Log[]; step?: string; dropped: number }) {
  const [search, setSearch] = useState("");
  const lines = useMemo(() => linesOf(logs), [logs]);
  const shown = useMemo(
    () =>
      lines.filter(
        (l) =>
          (!step || l.step === step || l.step.startsWith(step + "[")) &&
          (!search || l.text.toLowerCase().includes(search.toLowerCase())),
      ),
    [lines, step, search],
  );
  const box = useRef<HTMLDivElement>(null);
  const [stuck, setStuck] = useState(true);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => 20,
    overscan: 20,
  });
  useEffect(() => {
    if (stuck && shown.length > 0) rows.scrollToIndex(shown.length - 1);
  }, [shown.length, stuck, rows]);
  return (
    <section className="logs" aria-label="Logs">
      <div className="logs-bar">
        <input
          type="search"
          placeholder="Search"
          aria-label="Search the logs"
          value={search}
          onChange={(e) => setSearch(e.target.value)}
        />
        <label>
          <input type="checkbox" checked={stuck} onChange={(e) => setStuck(e.target.checked)} /> Follow
        </label>
        <span className="muted">
          {shown.length} lines{dropped > 0 ? `, ${dropped} earlier pieces are not shown` : ""}
        </span>
      </div>
      <div className="logs-box" ref={box} tabIndex={0} onWheel={() => setStuck(false)} role="log" aria-live="off">
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((row) => {
            const line = shown[row.index]!;
            return (
              <div
                key={row.key}
                data-index={row.index}
                ref={rows.measureElement}
                className={`log-line ${line.stream}`}
                style={{ transform: `translateY(${row.start}px)` }}
              >
                {!step && <span className="log-step">{line.step}</span>}
                <span className="log-text">{line.text}</span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}
