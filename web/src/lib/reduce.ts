import type { Shape } from "./layers";

type Edge = Shape["edges"][number];

/** Beyond so many edges nothing is left out: finding them would take longer than somebody waits. */
const most = 3000;

/**
 * The edges of a graph without those that follow from others: where a leads to b and
 * b to c, a line from a to c says nothing more, and hides what does.
 */
export function reduced(edges: Edge[]): Edge[] {
  if (edges.length > most) return edges;
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const out: Edge[] = [];
  for (const [from, list] of next) {
    // What is reached by way of one of the next.
    const behind = new Set<string>();
    const toDo = list.flatMap((n) => next.get(n) ?? []);
    while (toDo.length > 0) {
      const n = toDo.pop()!;
      if (behind.has(n)) continue;
      behind.add(n);
      toDo.push(...(next.get(n) ?? []));
    }
    for (const to of new Set(list)) if (!behind.has(to)) out.push({ from, to });
  }
  return out;
}
