import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { follow } from "./stream";

/** A stream as a browser has it, of which the test says what becomes of it. */
class Source extends EventTarget {
  static CLOSED = 2;
  static all: Source[] = [];
  readyState = 0;
  onopen?: () => void;
  onerror?: () => void;
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  close() {
    this.readyState = Source.CLOSED;
  }
  opens() {
    this.readyState = 1;
    this.onopen?.();
  }
  /** The connection is gone: the browser comes back. */
  breaks() {
    this.readyState = 0;
    this.onerror?.();
  }
  /** It was answered with an error: the browser does not. */
  fails() {
    this.close();
    this.onerror?.();
  }
  says(kind: string, data: string, lastEventId: string) {
    this.dispatchEvent(Object.assign(new Event(kind), { data, lastEventId }));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  Source.all = [];
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a stream", () => {
  const heard: string[] = [];
  const states: boolean[] = [];
  const begin = () => {
    heard.length = states.length = 0;
    return follow(
      (after) => `/events/stream?after=${after ?? 7}`,
      { event: (data) => heard.push(data) },
      (connected) => states.push(connected),
    );
  };

  it("is left to the browser where the connection breaks", () => {
    const stop = begin();
    Source.all[0]!.opens();
    Source.all[0]!.says("event", "a", "8");
    Source.all[0]!.breaks();
    vi.advanceTimersByTime(120_000);
    expect(Source.all.map((s) => s.url)).toEqual(["/api/v1/events/stream?after=7"]);
    Source.all[0]!.opens();
    expect(states).toEqual([true, false, true]);
    stop();
    expect(Source.all[0]!.readyState).toBe(Source.CLOSED);
  });

  it("is taken up behind what was heard where the browser gives up, later and later", () => {
    const stop = begin();
    Source.all[0]!.opens();
    Source.all[0]!.says("event", "a", "8");
    Source.all[0]!.fails();
    const waits: number[] = [];
    for (let i = 1; i < 8; i++) {
      const begun = Date.now();
      while (Source.all.length === i) vi.advanceTimersByTime(100);
      waits.push(Date.now() - begun);
      if (i < 7) Source.all[i]!.fails();
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    Source.all[7]!.opens();
    Source.all[7]!.says("event", "b", "9");
    Source.all[7]!.fails();
    vi.advanceTimersByTime(1_000);
    expect(Source.all.map((s) => s.url.split("=")[1])).toEqual(["7", "8", "8", "8", "8", "8", "8", "8", "9"]);
    expect(heard).toEqual(["a", "b"]);
    stop();
  });

  it("is over where the server will not have it heard, and not where it does not answer", async () => {
    const answers = [new TypeError("gone"), new Response("", { status: 502 }), new Response("{}", { status: 401 })];
    vi.stubGlobal("fetch", () => {
      const answer = answers.shift()!;
      return answer instanceof Response ? Promise.resolve(answer) : Promise.reject(answer);
    });
    const refused: number[] = [];
    const stop = follow(
      () => "/runs/r1/stream",
      {},
      () => undefined,
      (problem) => refused.push(problem.status),
    );
    for (let i = 0; i < 3; i++) {
      Source.all[i]!.fails();
      await vi.advanceTimersByTimeAsync(120_000);
    }
    expect(refused).toEqual([401]);
    expect(Source.all).toHaveLength(3);
    stop();
  });

  it("is not taken up once nobody wants it", () => {
    const stop = begin();
    Source.all[0]!.fails();
    stop();
    vi.advanceTimersByTime(120_000);
    expect(Source.all).toHaveLength(1);
  });

  it("is not taken up where nobody may hear it any more", async () => {
    const refusals: number[] = [];
    vi.stubGlobal("fetch", () =>
      Promise.resolve(new Response(JSON.stringify({ detail: "Come with a token." }), { status: 401 })),
    );
    follow(
      () => "/events/stream",
      {},
      () => {},
      (problem) => refusals.push(problem.status),
    );
    Source.all[0]!.fails();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(refusals).toEqual([401]);
    expect(Source.all).toHaveLength(1);
  });

  it("is taken up where the server is not there to say why it broke", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new Error("nobody is there")));
    const stop = follow(
      () => "/events/stream",
      {},
      () => {},
      () => {},
    );
    Source.all[0]!.fails();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(Source.all).toHaveLength(2);
    stop();
  });
});
