import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { get, type Log, type Page } from "../api/client";
import { piecesOf } from "../lib/ansi";
import { count } from "../lib/format";
import { joined, linesOf, ofStep } from "../lib/lines";
import { Act } from "./act";
import { Search } from "./basics";

/** What steps wrote, as it comes. Only the lines in sight are drawn. */
export function Logs({ run, logs, step, dropped }: { run: string; logs: Log[]; step?: string; dropped: number }) {
  const [search, setSearch] = useState("");
  const earlier = useEarlier(run, dropped > 0 ? step : undefined);
  const lines = useMemo(() => linesOf(joined(earlier, logs)), [earlier, logs]);
  const shown = useMemo(() => {
    const want = search.toLowerCase();
    return lines.filter((l) => ofStep(l, step) && (!want || l.text.toLowerCase().includes(want)));
  }, [lines, step, search]);
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => 20,
    overscan: 20,
  });
  useEffect(() => {
    if (follow && shown.length > 0) rows.scrollToIndex(shown.length - 1);
  }, [shown.length, follow, rows]);
  return (
    <section aria-label="Logs">
      <div className="toolbar">
        <Search label="Search the logs" value={search} onChange={setSearch} />
        <label className="check">
          <input type="checkbox" checked={follow} onChange={(e) => setFollow(e.target.checked)} /> Follow
        </label>
        <Act kind="quiet slim" icon="download" run={() => download(run, step)}>
          Download
        </Act>
        <span className="muted small">
          {count(shown.length, "line")}
          {dropped > 0 && !step && `; ${dropped.toLocaleString("en")} earlier pieces are in the download only`}
        </span>
      </div>
      <div className="logs-box" ref={box} tabIndex={0} onWheel={() => setFollow(false)} role="log" aria-live="off">
        {shown.length === 0 && <p className="log-none">{search ? "No line has this." : "Nothing was written."}</p>}
        <div className="rows" style={{ height: rows.getTotalSize() }}>
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
                <span className="log-number">{row.index + 1}</span>
                {!step && (
                  <span className="log-step clip" title={line.step}>
                    {line.step}
                  </span>
                )}
                <span className="log-text">
                  {piecesOf(line.text).map((p, i) => (
                    <span key={i} className={p.className}>
                      {p.text}
                    </span>
                  ))}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}

/** What a step or an item wrote that the page does not keep; nothing where no step is asked for. */
function useEarlier(run: string, step: string | undefined): Log[] {
  const [found, set] = useState<{ step: string; logs: Log[] }>();
  useEffect(() => {
    if (!step) return;
    let gone = false;
    get<Page<Log>>(`/runs/${encodeURIComponent(run)}/logs`, { step, limit: 5000 }).then(
      (page) => !gone && set({ step, logs: page.items }),
      () => undefined, // what the page keeps is shown all the same
    );
    return () => {
      gone = true;
    };
  }, [run, step]);
  return found && found.step === step ? found.logs : none;
}

const none: Log[] = [];

/** Saves all that a run or a step of it wrote, with what a page does not keep. */
async function download(run: string, step?: string) {
  const pieces: Log[] = [];
  let after: string | undefined;
  do {
    const page = await get<Page<Log>>(`/runs/${encodeURIComponent(run)}/logs`, { step, after, limit: 5000 });
    pieces.push(...page.items);
    after = page.next;
  } while (after);
  const text = linesOf(pieces)
    .map((l) => `${l.time} ${l.step} ${l.text}\n`)
    .join("");
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${run}${step ? "-" + step : ""}.log`;
  link.click();
  URL.revokeObjectURL(url);
}
