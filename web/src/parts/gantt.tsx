import type { Step } from "../api/client";
import { between, duration } from "../lib/format";

/** When each step began and ended, as bars on one line of time. */
export function Gantt({ steps, now }: { steps: Step[]; now: number }) {
  const begun = steps.filter((s) => s.begun);
  if (begun.length === 0) return <p className="empty">Nothing has begun yet.</p>;
  const start = Math.min(...begun.map((s) => Date.parse(s.begun!)));
  const end = Math.max(...begun.map((s) => (s.ended ? Date.parse(s.ended) : now)), start + 1);
  const at = (time: number) => ((time - start) / (end - start)) * 100;
  return (
    <div className="gantt" role="table" aria-label="When the steps ran">
      <div className="gantt-scale" aria-hidden="true">
        <span>0</span>
        <span>{duration((end - start) / 2)}</span>
        <span>{duration(end - start)}</span>
      </div>
      {begun.map((s) => {
        const from = at(Date.parse(s.begun!));
        const to = at(s.ended ? Date.parse(s.ended) : now);
        return (
          <div className="gantt-row" role="row" key={s.name + s.action}>
            <span className="gantt-name" role="cell" title={s.name}>
              {s.name}
            </span>
            <span className="gantt-track" role="cell">
              <span
                className={`gantt-bar bar-${s.status}`}
                style={{ left: `${from}%`, width: `${Math.max(0.5, to - from)}%` }}
              />
              <span className="gantt-took">{between(s.begun, s.ended ?? new Date(now).toISOString())}</span>
            </span>
          </div>
        );
      })}
    </div>
  );
}
