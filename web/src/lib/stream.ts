import { problemOf, streamURL, type Problem } from "../api/client";

/** How long is waited before a stream is taken up again that the browser has given up, in milliseconds. */
const firstWait = 1_000;
const longestWait = 30_000;

/** Answers after which asking again is no use: nobody known, nothing allowed, nothing there. */
const final = [401, 403, 404];

/**
 * Hears a stream of the server until the function that it returns is called. After a
 * break the browser comes back by itself, but not where it is answered with an error,
 * as by a proxy while the server is started again: then this does. Either way it goes
 * on behind what was heard last. path is where the stream is, behind a cursor if there
 * is one already; connected is told whenever the stream is there, or gone. Refused, where
 * it is given, is told when the server will not have it, and then it is over.
 */
export function follow(
  path: (after?: string) => string,
  hear: Record<string, (data: string) => void>,
  connected: (connected: boolean) => void,
  refused?: (problem: Problem) => void,
): () => void {
  let source: EventSource;
  let last: string | undefined;
  let wait = firstWait;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;
  const begin = () => {
    source = new EventSource(streamURL(path(last)));
    source.onopen = () => {
      wait = firstWait;
      connected(true);
    };
    source.onerror = () => {
      connected(false);
      if (source.readyState !== EventSource.CLOSED) return;
      if (!refused) return again();
      void refusal(path(last)).then((problem) => {
        if (closed) return;
        if (problem) refused(problem);
        else again();
      });
    };
    for (const [kind, take] of Object.entries(hear)) {
      source.addEventListener(kind, (message) => {
        const { data, lastEventId } = message as MessageEvent<string>;
        if (lastEventId) last = lastEventId;
        take(data);
      });
    }
  };
  const again = () => {
    timer = setTimeout(begin, wait);
    wait = Math.min(2 * wait, longestWait);
  };
  begin();
  return () => {
    closed = true;
    clearTimeout(timer);
    source.close();
  };
}

/** Why the server will not have a stream heard: the browser does not say. Nothing where it may at another time. */
async function refusal(path: string): Promise<Problem | undefined> {
  const asking = new AbortController();
  try {
    const answer = await fetch(streamURL(path), { signal: asking.signal });
    return final.includes(answer.status) ? await problemOf(answer) : undefined;
  } catch {
    return undefined; // the server is not there: it may come back
  } finally {
    asking.abort();
  }
}
