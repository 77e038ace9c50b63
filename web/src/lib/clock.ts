import { useSyncExternalStore } from "react";

/** How long a time that is told to people stays as it is, in milliseconds. */
const step = 5000;

const watchers = new Set<() => void>();
let timer: number | undefined;
let now = Date.now();

function tick() {
  now = Date.now();
  for (const watcher of [...watchers]) watcher();
}

/** The time, which goes on for all parts of a page at once. */
export function useClock(): number {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      timer ??= window.setInterval(tick, step);
      return () => {
        watchers.delete(watcher);
        if (watchers.size > 0) return;
        window.clearInterval(timer);
        timer = undefined;
      };
    },
    // Nobody watched for a while: it is later than was last told.
    () => (Date.now() - now > 2 * step ? (now = Date.now()) : now),
  );
}
