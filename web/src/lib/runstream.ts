import { useEffect, useState } from "react";
import type { Log, Problem, Run, Step } from "../api/client";
import { follow } from "./stream";

/** How many pieces of log a page keeps: more would make it slow. */
const mostLogs = 20_000;

export interface LiveRun {
  run?: Run;
  steps: Step[];
  logs: Log[];
  dropped: number;
  ended: boolean;
  /** Why it cannot be heard. */
  problem?: Problem;
}

/** A run with its steps and what they write, as it goes on. */
export function useRun(id: string): LiveRun {
  const [state, set] = useState<LiveRun>({ steps: [], logs: [], dropped: 0, ended: false });
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
    const log = (data: string) => {
      logs.push(JSON.parse(data) as Log);
      if (!frame) frame = requestAnimationFrame(flush);
    };
    const run = (data: string) => {
      const news = JSON.parse(data) as { run: Run; steps: Step[] };
      const ended = ["succeeded", "failed", "cancelled"].includes(news.run.status);
      if (ended) stop();
      set((before) => ({ ...before, run: news.run, steps: news.steps, ended, problem: undefined }));
    };
    const stop = follow(
      (last) => `/runs/${encodeURIComponent(id)}/stream${last ? `?after=${last}` : ""}`,
      { log, run },
      () => undefined, // the feed says so
      (problem) => set((before) => ({ ...before, problem })),
    );
    return () => {
      cancelAnimationFrame(frame);
      stop();
    };
  }, [id]);
  return state;
}
