import type { ResourceChange } from "./plandiff";

/** What a change does, in a word. */
export type Kind = "create" | "update" | "replace" | "destroy" | "read" | "forget" | "import" | "move" | "none";

/** The kinds in the order in which they are counted, with their signs. */
export const kinds: [Kind, sign: string][] = [
  ["create", "+"],
  ["update", "~"],
  ["replace", "±"],
  ["destroy", "−"],
  ["import", "↓"],
  ["move", "→"],
  ["forget", "·"],
  ["read", "≤"],
];

export const signOf = (kind: Kind) => kinds.find(([k]) => k === kind)?.[1] ?? "";

export function kindOf(change: ResourceChange): Kind {
  const actions = change.change.actions.join();
  switch (actions) {
    case "create":
    case "update":
    case "read":
    case "forget":
      return actions;
    case "delete":
      return "destroy";
    case "delete,create":
    case "create,delete":
    case "forget,create":
      return "replace";
  }
  if (change.change.importing) return "import";
  return change.previous_address ? "move" : "none";
}

/** The module that an address is in; empty for the root. */
export function moduleOf(address: string): string {
  const parts = /^((?:module\.[\w-]+(?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\])?\.)*)/.exec(address)![1]!;
  return parts.replace(/\.$/, "");
}

export interface Filter {
  kind?: Kind;
  /** The type of the resource. */
  type?: string;
  search: string;
  withFindings: boolean;
}

/** Whether a filter leaves anything out. */
export const leavesOut = (f: Filter) =>
  f.kind !== undefined || f.type !== undefined || f.search !== "" || f.withFindings;

/** A line of a long list: the head of a module, or a change. */
export type Row = { module: string; count: number } | { change: ResourceChange };

/** The changes that a filter lets through, module by module; those of closed modules are counted only. */
export function rowsOf(
  changes: ResourceChange[],
  filter: Filter,
  found: Set<string>,
  closed: Set<string> = new Set(),
): Row[] {
  const search = filter.search.toLowerCase();
  const modules = new Map<string, ResourceChange[]>();
  for (const c of changes) {
    if (filter.kind && kindOf(c) !== filter.kind) continue;
    if (filter.type && c.type !== filter.type) continue;
    if (filter.withFindings && !found.has(c.address)) continue;
    if (search && !c.address.toLowerCase().includes(search)) continue;
    const module = moduleOf(c.address);
    const list = modules.get(module);
    if (list) list.push(c);
    else modules.set(module, [c]);
  }
  const out: Row[] = [];
  for (const [module, list] of modules) {
    const headed = modules.size > 1 || module !== "";
    if (headed) out.push({ module, count: list.length });
    if (headed && closed.has(module)) continue;
    for (const change of list) out.push({ change });
  }
  return out;
}
