import { useSyncExternalStore } from "react";

/** The same width as in the styles. */
const narrow = window.matchMedia("(max-width: 860px)");

/** Whether the page is as narrow as on a phone. */
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (watcher) => {
      narrow.addEventListener("change", watcher);
      return () => narrow.removeEventListener("change", watcher);
    },
    () => narrow.matches,
  );
}
