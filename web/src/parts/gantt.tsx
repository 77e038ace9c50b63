import type { CSSProperties } from "react";
import type { Step } from "../api/client";
import { between, duration } from "../lib/format";
import { useNarrow } from "../lib/narrow";
import { tickOf, tickText } from "../lib/ticks";
import { Empty } from "./basics";
import { Rows } from "./rows";
import { Status } from "./status";

/** When each step began and ended, as bars on one line of time, in the order in which they began. */
export function Gantt({ steps, now, onSelect }: { steps: Step[]; now: number; onSelect: (name: string) => void }) {
  const begun = steps
    .filter((s) => s.begun)
    .map((step) => ({
      step,
      from: Date.parse(step.begun!),
      to: Math.max(Date.parse(step.begun!), step.ended ? Date.parse(step.ended) : now),
    }))
    .sort((a, b) => a.from - b.from);
  const most = useNarrow() ? 2 : 6;
  if (begun.length === 0) return <Empty icon="waiting" title="Nothing has begun yet" />;
  const start = begun[0]!.from;
  const length = Math.max(1, begun.reduce((end, b) => Math.max(end, b.to), 0) - start);
  const share = (ms: number) => (100 * ms) / length;
  const tick = tickOf(length, most);
  return (
    <div className="gantt" style={{ "--tick": `${share(tick)}%` } as CSSProperties}>
      <Rows
        dense
        label={`When the steps ran, from 0 to ${duration(length)}`}
        columns="minmax(110px, 22%) 1fr 84px"
        heads={["Step", <Axis key="axis" length={length} tick={tick} share={share} />, "Took"]}
        items={begun}
        keyOf={({ step: s }) => s.name + "\0" + s.action}
      >
        {({ step: s, from, to }) => (
          <>
            <span role="cell" className="beside">
              <Status status={s.status} alone />
              <button className="link clip" title={s.name} onClick={() => onSelect(s.name)}>
                {s.name}
              </button>
            </span>
            <span
              role="cell"
              className="gantt-track"
              title={`${s.name}: began after ${duration(from - start)}, ${s.ended ? "took" : "for"} ${duration(to - from)}`}
            >
              <span
                className={`gantt-bar bar-${s.status}`}
                style={{ left: `${Math.min(99.5, share(from - start))}%`, width: `${share(to - from)}%` }}
              />
            </span>
            <span role="cell" className="number small muted" data-time>
              {between(s.begun, new Date(to).toISOString())}
            </span>
          </>
        )}
      </Rows>
    </div>
  );
}

/** The marks of the line of time. */
function Axis({ length, tick, share }: { length: number; tick: number; share: (ms: number) => number }) {
  const ticks = Array.from({ length: Math.floor(length / tick) + 1 }, (_, i) => i * tick);
  return (
    <span className="gantt-axis">
      <span className="hidden-text">When</span>
      {ticks
        .filter((t) => share(t) < 96)
        .map((t) => (
          <span key={t} className="gantt-tick number" style={{ left: `${share(t)}%` }} aria-hidden="true">
            {tickText(t)}
          </span>
        ))}
    </span>
  );
}
