import { useClock } from "../lib/clock";
import { ago, between, exact, until } from "../lib/format";

/** How long ago an instant was; exactly, for who points at it. */
export function Ago({ time, className }: { time: string; className?: string }) {
  const now = useClock();
  return (
    <time dateTime={time} title={exact(time)} className={className} data-time>
      {ago(time, Math.max(now, Date.parse(time)))}
    </time>
  );
}

/** How long it is until an instant. */
export function Until({ time, title = exact(time) }: { time: string; title?: string }) {
  const now = useClock();
  return (
    <time dateTime={time} title={title} data-time>
      {until(time, now)}
    </time>
  );
}

/** How long something took or takes; nothing where it has not begun. */
export function Took({ begun, ended }: { begun?: string; ended?: string }) {
  const now = useClock();
  if (!begun) return null;
  const to = ended ?? new Date(Math.max(now, Date.parse(begun))).toISOString();
  return (
    <span className="number" title={`${exact(begun)} –\n${ended ? exact(ended) : "now"}`} data-time>
      {between(begun, to)}
    </span>
  );
}
