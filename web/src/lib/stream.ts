import { problemOf, streamURL, type Problem } from "../api/client";

/** How long to wait before a stream is opened anew that the browser has given up, in milliseconds. */
const firstWait = 1000;
const longestWait = 20_000;

/** Answers after which asking again is no use. */
const final = [401, 403, 404];

/**
 * Hears a stream of the API until it is told to stop. A stream that breaks is taken up
 * where it broke off: by the browser where it does so, else by opening it anew.
 */
export function hear(
  path: string,
  after: number,
  handlers: Record<string, (data: string) => void>,
  told: { connected: (is: boolean) => void; refused: (problem: Problem) => void },
): () => void {
  let source: EventSource;
  let stopped = false;
  let timer: number | undefined;
  let wait = firstWait;
  const open = () => {
    source = new EventSource(streamURL(`${path}?after=${after}`));
    source.onopen = () => {
      wait = firstWait;
      told.connected(true);
    };
    source.onerror = () => {
      told.connected(false);
      if (source.readyState === EventSource.CLOSED) void ask();
    };
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (message) => {
        const { data, lastEventId } = message as MessageEvent<string>;
        after = Number(lastEventId) || after;
        handler(data);
      });
    }
  };
  /** Finds out why the browser has given up: it does not say. */
  const ask = async () => {
    const reading = new AbortController();
    try {
      const answer = await fetch(streamURL(path), { signal: reading.signal });
      if (final.includes(answer.status)) {
        if (!stopped) told.refused(await problemOf(answer));
        return;
      }
    } catch {
      // The server is not there: it may come back.
    } finally {
      reading.abort();
    }
    if (stopped) return;
    timer = window.setTimeout(open, wait);
    wait = Math.min(longestWait, wait * 2);
  };
  open();
  return () => {
    stopped = true;
    window.clearTimeout(timer);
    source.close();
  };
}
