import { useSyncExternalStore } from "react";
import { Problem } from "../api/client";
import { ProblemText } from "./basics";
import { Icon } from "./icons";

interface Toast {
  id: number;
  text?: string;
  problem?: Problem;
}

const shownFor = 5000;
let toasts: Toast[] = [];
let last = 0;
const watchers = new Set<() => void>();

function set(list: Toast[]) {
  toasts = list;
  for (const watcher of watchers) watcher();
}

const drop = (id: number) => set(toasts.filter((t) => t.id !== id));

/** Says for a moment that something was done. */
export function tell(text: string) {
  const id = ++last;
  set([...toasts, { id, text }]);
  window.setTimeout(() => drop(id), shownFor);
}

/** Says what went wrong, until somebody has read it. */
export function tellProblem(error: unknown) {
  const problem = error instanceof Problem ? error : new Problem(0, String(error));
  set([...toasts, { id: ++last, problem }]);
}

export function Toasts() {
  const list = useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => toasts,
  );
  return (
    <div className="toasts" aria-live="polite">
      {list.map((t) => (
        <div className="toast" key={t.id} role={t.problem ? "alert" : "status"}>
          <span className={`status-mark tone-${t.problem ? "bad" : "ok"}`}>
            <Icon name={t.problem ? "cross" : "check"} size={18} />
          </span>
          {t.problem ? <ProblemText problem={t.problem} /> : <div>{t.text}</div>}
          <button className="link" onClick={() => drop(t.id)} aria-label="Close this message">
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
