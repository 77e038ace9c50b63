import { useEffect, useState } from "react";
import type { Log, Run, Step } from "../api/client";
import { follow } from "./stream";

/** How many pieces of log a page keeps: more would make it slow. */
const mostLogs = 20_000;

export interface LiveRun {
  run?: Run;
  steps: Step[];
  logs: Log[];
  dropped: number;
  ended: boolean;
  broken: boolean;
}

/** A run with its steps and what they write, as it goes on. */
export function useRun(id: string): LiveRun {
  const [state, set] = useState<LiveRun>({ steps: [], logs: [], dropped: 0, ended: false, broken: false });
  useEffect(() => {
    let logs: Log[] = [];
    let frame = 0;
    // Many pieces come at once: they are shown with the next frame.
    const flush = () => {
      frame = 0;
      const fresh = logs;
      logs = [];
      set((before) => {
        const all = before.logs.concat(fresh);
        const over = Math.max(0, all.length - mostLogs);
        return { ...before, logs: over ? all.slice(over) : all, dropped: before.dropped + over };
      });
    };
    const close = follow(
      (last) => `/runs/${encodeURIComponent(id)}/stream${last ? `?after=${last}` : ""}`,
      {
        log: (data) => {
          logs.push(JSON.parse(data) as Log);
          if (!frame) frame = requestAnimationFrame(flush);
        },
        run: (data) => {
          const news = JSON.parse(data) as { run: Run; steps: Step[] };
          const ended = ["succeeded", "failed", "cancelled"].includes(news.run.status);
          if (ended) close();
          set((before) => ({ ...before, run: news.run, steps: news.steps, ended, broken: false }));
        },
      },
      (connected) => set((before) => (connected || before.ended ? before : { ...before, broken: true })),
    );
    return () => {
      cancelAnimationFrame(frame);
      close();
    };
  }, [id]);
  return state;
}
