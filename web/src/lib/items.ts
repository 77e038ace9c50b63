import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { get, type Problem, type Schemas } from "../api/client";

export type Item = Schemas["Item"];
type ItemList = Schemas["ItemList"];

/** How many items are read at once. */
const atOnce = 200;

/** How long to wait with reading again what has changed, in milliseconds. */
const patience = 400;

export interface Items {
  /** All that stand as was asked for; undefined in place of those that nobody has looked at. */
  list: (Item | undefined)[];
  counts: Record<string, number>;
  loaded: boolean;
  problem?: Problem;
  /** Says which of the list are looked at. */
  onSeen: (first: number, last: number) => void;
}

/** What was read of the items of a step that stand in one way. */
interface Read {
  about: string;
  pages: Map<number, Item[]>;
  newest?: ItemList;
  problem?: Problem;
}

/**
 * The items of a step, of which only those are read that somebody looks at: there may
 * be ten thousand. They are read again whenever the news about the run are others.
 */
export function useItems(run: string, step: string, status: string | undefined, news: unknown): Items {
  const about = JSON.stringify([run, step, status]);
  const [state, set] = useState<Read>({ about, pages: new Map() });
  const read = state.about === about ? state : { about, pages: new Map<number, Item[]>() };
  const [seen, setSeen] = useState({ first: 0, last: 0 });
  const turn = useTurns(news);
  const from = Math.floor(seen.first / atOnce);
  const to = Math.floor(seen.last / atOnce);
  const asked = useRef({ when: "", pages: new Set<number>() });
  useEffect(() => {
    const when = `${about} ${turn}`;
    if (asked.current.when !== when) asked.current = { when, pages: new Set() };
    const change = (by: (pages: Map<number, Item[]>) => Omit<Read, "about">) =>
      set((before) => ({ about, ...by(before.about === about ? before.pages : new Map()) }));
    for (let page = from; page <= to; page++) {
      if (asked.current.pages.has(page)) continue;
      asked.current.pages.add(page);
      const path = `/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}/items`;
      get<ItemList>(path, { status, cursor: String(page * atOnce), limit: atOnce }).then(
        // What is late is dropped: something else is asked for by now.
        (answer) =>
          asked.current.when === when &&
          change((pages) => ({ pages: new Map(pages).set(page, answer.items), newest: answer })),
        (problem: Problem) => asked.current.when === when && change((pages) => ({ pages, problem })),
      );
    }
  }, [about, run, step, status, turn, from, to]);
  const total = read.newest?.total ?? 0;
  const list = useMemo(() => {
    const out = new Array<Item | undefined>(total).fill(undefined);
    for (const [page, items] of read.pages) {
      items.forEach((item, i) => {
        if (page * atOnce + i < total) out[page * atOnce + i] = item;
      });
    }
    return out;
  }, [read.pages, total]);
  const onSeen = useCallback((first: number, last: number) => setSeen({ first, last: Math.max(first, last) }), []);
  return { list, counts: read.newest?.counts ?? {}, loaded: read.newest !== undefined, problem: read.problem, onSeen };
}

/** Counts the news; those that come together count once. */
function useTurns(news: unknown): number {
  const [turn, next] = useState(0);
  const known = useRef(news);
  const timer = useRef<number>(undefined);
  useEffect(() => {
    if (known.current === news) return;
    known.current = news;
    timer.current ??= window.setTimeout(() => {
      timer.current = undefined;
      next((n) => n + 1);
    }, patience);
  }, [news]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  return turn;
}
