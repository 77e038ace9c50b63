import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { get, type Log, type Page } from "../api/client";
import { piecesOf } from "../lib/ansi";
import { count, exact } from "../lib/format";
import { joined, linesOf, ofStep, parted } from "../lib/lines";
import { useQueryText } from "../lib/router";
import { Act } from "./act";
import { Search } from "./basics";

/** What steps wrote, as it comes. Only the lines in sight are drawn. */
export function Logs({
  run,
  logs,
  step,
  dropped,
  ended,
  tall = false,
}: {
  run: string;
  logs: Log[];
  step?: string;
  dropped: number;
  /** Whether nothing is written any more. */
  ended: boolean;
  /** Whether they have the page to themselves. */
  tall?: boolean;
}) {
  const [search, setSearch] = useQueryText("find");
  const [wrap, setWrap] = useWrap();
  const earlier = useEarlier(run, dropped > 0 ? step : undefined);
  const lines = useMemo(() => linesOf(joined(earlier, logs)), [earlier, logs]);
  const want = search.toLowerCase();
  const shown = useMemo(
    () =>
      lines
        .filter((l) => ofStep(l, step))
        .map((line, i) => ({ line, number: i + 1 }))
        .filter(({ line }) => !want || line.text.toLowerCase().includes(want)),
    [lines, step, want],
  );
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const before = useRef(0);
  // Who scrolls up wants to read; who scrolls to the end wants what comes.
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current!;
    if (scrollTop < before.current) setFollow(false);
    if (scrollTop + clientHeight > scrollHeight - 4) setFollow(true);
    before.current = scrollTop;
  };
  const toEnd = () => rows.scrollToIndex(shown.length - 1, { align: "end" });
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => 20,
    overscan: 20,
  });
  useEffect(() => {
    if (follow && shown.length > 0) rows.scrollToIndex(shown.length - 1, { align: "end" });
  }, [shown.length, follow, rows]);
  useEffect(() => rows.measure(), [wrap, rows]);
  return (
    <section aria-label="Logs">
      <div className="toolbar">
        <Search label="Search the logs" value={search} onChange={setSearch} />
        {ended ? (
          <span className="actions toolbar-group">
            <button className="button quiet slim" onClick={() => rows.scrollToIndex(0)}>
              Top
            </button>
            <button className="button quiet slim" onClick={toEnd}>
              End
            </button>
          </span>
        ) : (
          <label className="check">
            <input type="checkbox" checked={follow} onChange={(e) => setFollow(e.target.checked)} /> Follow
          </label>
        )}
        <label className="check">
          <input type="checkbox" checked={wrap} onChange={(e) => setWrap(e.target.checked)} /> Wrap
        </label>
        <Act kind="quiet slim" icon="download" run={() => download(run, step)}>
          Download
        </Act>
        <span className="muted small">
          {count(shown.length, "line")}
          {want && ` of ${lines.length.toLocaleString("en")}`}
          {dropped > 0 && !step && `; ${dropped.toLocaleString("en")} earlier pieces are in the download only`}
        </span>
      </div>
      <div
        className={`logs-box ${tall ? "tall" : ""} ${wrap ? "" : "unwrapped"}`}
        ref={box}
        tabIndex={0}
        onScroll={scrolled}
        role="log"
        aria-live="off"
        aria-label="Lines"
      >
        {shown.length === 0 && <p className="log-none">{search ? "No line has this." : "Nothing was written."}</p>}
        <div className="rows" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((row) => {
            const { line, number } = shown[row.index]!;
            return (
              <div
                key={row.key}
                data-index={row.index}
                ref={rows.measureElement}
                className={`log-line ${line.stream}`}
                style={{ transform: `translateY(${row.start}px)` }}
              >
                <span className="log-number" title={exact(line.time)}>
                  {number}
                </span>
                {!step && (
                  <span className="log-step clip" title={line.step}>
                    {line.step}
                  </span>
                )}
                <span className="log-text">
                  {piecesOf(line.text).map((p, i) => (
                    <span key={i} className={p.className}>
                      {parted(p.text, want).map((text, part) => (part % 2 ? <mark key={part}>{text}</mark> : text))}
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

const wrapKey = "tutti.wrap";

/** Whether long lines are broken: as it was chosen last in this browser. */
function useWrap(): [wrap: boolean, choose: (wrap: boolean) => void] {
  const [wrap, set] = useState(() => localStorage.getItem(wrapKey) !== "no");
  return [
    wrap,
    (chosen) => {
      localStorage.setItem(wrapKey, chosen ? "yes" : "no");
      set(chosen);
    },
  ];
}

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
