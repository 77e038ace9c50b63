import { createContext, useCallback, useContext, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { get, type FeedEvent, type Problem } from "../api/client";
import { follow } from "./stream";

type Listener = (event: FeedEvent) => void;

/** The live feed: one stream for the whole page, which misses nothing after a break. */
export class Feed {
  private listeners = new Set<Listener>();
  private watchers = new Set<() => void>();
  private end?: () => void;
  connected = false;

  /** Hears what happens from an event on. Refused is told when nobody may hear it any more. */
  start(after: number, refused: (problem: Problem) => void) {
    this.stop();
    this.end = follow(
      (last) => `/events/stream?after=${last ?? after}`,
      {
        event: (data) => {
          const event = JSON.parse(data) as FeedEvent;
          for (const listener of [...this.listeners]) listener(event);
        },
        alive: () => {}, // says how far the feed was read
      },
      (connected) => this.tellConnected(connected),
      refused,
    );
  }

  stop() {
    this.end?.();
    this.end = undefined;
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Has a function called whenever the feed breaks or is there again. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }

  private tellConnected(connected: boolean) {
    this.connected = connected;
    for (const watcher of this.watchers) watcher();
  }
}

export const FeedContext = createContext<Feed>(new Feed());

export function useConnected(): boolean {
  const feed = useContext(FeedContext);
  return useSyncExternalStore(
    useCallback((watcher) => feed.watch(watcher), [feed]),
    () => feed.connected,
  );
}

export interface Resource<T> {
  data?: T;
  problem?: Problem;
  reload: () => void;
}

/**
 * Something that is read from the API, and read again whenever an event says that
 * it may have changed. Nothing is polled. Events that come together cause one
 * reading.
 */
export function useResource<T>(
  path: string | undefined,
  query: Record<string, string | number | undefined> = {},
  concerns: (event: FeedEvent) => boolean = () => false,
): Resource<T> {
  const feed = useContext(FeedContext);
  const [state, set] = useState<{ data?: T; problem?: Problem }>({});
  const key = path === undefined ? undefined : path + JSON.stringify(query);
  const latest = useRef(concerns);
  latest.current = concerns;
  const [turn, again] = useState(0);
  const reload = useCallback(() => again((n) => n + 1), []);
  useEffect(() => {
    if (path === undefined) return;
    let gone = false;
    get<T>(path, query).then(
      (data) => !gone && set({ data }),
      (problem: Problem) => !gone && set((before) => ({ data: before.data, problem })),
    );
    return () => {
      gone = true;
    };
    // The query is compared by its text.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key, turn]);
  // What could not be read while the server was away is read when it is back.
  const failed = useRef(false);
  failed.current = state.problem !== undefined;
  useEffect(() => feed.watch(() => feed.connected && failed.current && reload()), [feed, reload]);
  useEffect(() => {
    let timer: number | undefined;
    const stop = feed.listen((event) => {
      if (timer === undefined && latest.current(event)) {
        timer = window.setTimeout(() => {
          timer = undefined;
          reload();
        }, 100);
      }
    });
    return () => {
      stop();
      window.clearTimeout(timer);
    };
  }, [feed, reload]);
  return { ...state, reload };
}

export const aboutRuns = (event: FeedEvent) => event.type.startsWith("run.") || event.type.startsWith("approval.");

/** Events after which stacks may stand otherwise than before. */
export const aboutState = (event: FeedEvent) => aboutRuns(event) || event.type.startsWith("drift.");
