import type { Step } from "../api/client";
import { between, duration } from "../lib/format";
import { Empty } from "./basics";
import { Rows } from "./rows";
import { Status } from "./status";

/** When each step began and ended, as bars on one line of time. */
export function Gantt({ steps, now, onSelect }: { steps: Step[]; now: number; onSelect: (name: string) => void }) {
  const begun = steps.filter((s) => s.begun);
  if (begun.length === 0) return <Empty icon="waiting" title="Nothing has begun yet" />;
  let start = Infinity;
  let end = 0;
  for (const s of begun) {
    start = Math.min(start, Date.parse(s.begun!));
    end = Math.max(end, s.ended ? Date.parse(s.ended) : now);
  }
  end = Math.max(end, start + 1);
  const at = (time: number) => ((time - start) / (end - start)) * 100;
  return (
    <Rows
      label={`When the steps ran, from 0 to ${duration(end - start)}`}
      columns="minmax(110px, 24%) 1fr 76px"
      heads={["Step", `0 to ${duration(end - start)}`, "Took"]}
      items={begun}
      keyOf={(s) => s.name + "\0" + s.action}
    >
      {(s) => {
        const from = at(Date.parse(s.begun!));
        const to = at(s.ended ? Date.parse(s.ended) : now);
        return (
          <>
            <span role="cell" className="row clip" style={{ flexWrap: "nowrap" }}>
              <Status status={s.status} alone />
              <button className="link clip" title={s.name} onClick={() => onSelect(s.name)}>
                {s.name}
              </button>
            </span>
            <span role="cell" className="gantt-track">
              <span
                className={`gantt-bar bar-${s.status}`}
                style={{ left: `${Math.min(99.5, from)}%`, width: `${Math.max(0.5, to - from)}%` }}
              />
            </span>
            <span role="cell" className="number small muted" data-time>
              {between(s.begun, s.ended ?? new Date(now).toISOString())}
            </span>
          </>
        );
      }}
    </Rows>
  );
}
