import { useEffect, useRef, useSyncExternalStore } from "react";

/** What a key does on the page that is shown. */
export interface Binding {
  keys: string;
  title: string;
  run: () => void;
  /** Whether every page has it. */
  everywhere?: boolean;
}

let sets: Binding[][] = [];
let all: Binding[] = [];
const watchers = new Set<() => void>();

function update(list: Binding[][]) {
  sets = list;
  all = sets.flat();
  for (const watcher of watchers) watcher();
}

/** All bindings of the page that is shown, for whoever asks what keys do. */
export function useBindings(): Binding[] {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => all,
  );
}

/** Binds keys for as long as a part is shown. */
export function useKeys(bindings: Binding[]) {
  const latest = useRef(bindings);
  latest.current = bindings;
  const names = bindings.map((b) => b.keys + b.title).join("\0");
  useEffect(() => {
    const set = latest.current.map((b, i) => ({ ...b, run: () => latest.current[i]!.run() }));
    update([...sets, set]);
    return () => update(sets.filter((s) => s !== set));
  }, [names]);
}

/** How long the first key of two counts, in milliseconds. */
const patience = 1500;

/** What keys do: what the page that is shown says goes before what is so everywhere. */
const bound = (keys: string) =>
  all.findLast((b) => b.keys === keys && !b.everywhere) ?? all.findLast((b) => b.keys === keys);

/** Has pressed keys do what they are bound to. Fields and dialogs keep theirs. */
export function listenForKeys(): () => void {
  let first = "";
  let at = 0;
  const pressed = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    if (event.metaKey || event.ctrlKey || event.altKey || /^(input|textarea|select)$/i.test(target.tagName)) return;
    if (document.querySelector("dialog[open]")) return;
    const two = first && event.timeStamp - at < patience ? `${first} ${event.key}` : "";
    const found = bound(two) ?? bound(event.key);
    first = "";
    if (found) {
      event.preventDefault();
      found.run();
    } else if (all.some((b) => b.keys.startsWith(event.key + " "))) {
      first = event.key;
      at = event.timeStamp;
    }
  };
  window.addEventListener("keydown", pressed);
  return () => window.removeEventListener("keydown", pressed);
}
