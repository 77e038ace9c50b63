import { streamURL } from "../api/client";

/** How long is waited before a stream is taken up again that the browser has given up, in milliseconds. */
const firstWait = 1_000;
const longestWait = 30_000;

/**
 * Hears a stream of the server until the function that it returns is called. After a
 * break the browser comes back by itself, but not where it is answered with an error,
 * as by a proxy while the server is started again: then this does. Either way it goes
 * on behind what was heard last. path is where the stream is, behind a cursor if there
 * is one already; connected is told whenever the stream is there, or gone.
 */
export function follow(
  path: (after?: string) => string,
  hear: Record<string, (data: string) => void>,
  connected: (connected: boolean) => void,
): () => void {
  let source: EventSource;
  let last: string | undefined;
  let wait = firstWait;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const begin = () => {
    source = new EventSource(streamURL(path(last)));
    source.onopen = () => {
      wait = firstWait;
      connected(true);
    };
    source.onerror = () => {
      connected(false);
      if (source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(begin, wait);
      wait = Math.min(2 * wait, longestWait);
    };
    for (const [kind, take] of Object.entries(hear)) {
      source.addEventListener(kind, (message) => {
        const { data, lastEventId } = message as MessageEvent<string>;
        if (lastEventId) last = lastEventId;
        take(data);
      });
    }
  };
  begin();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
