import type { ResourceChange } from "./plandiff";
import { kindOf, leavesOut, rowsOf, type Filter, type Kind } from "./plangroup";
import type { StackPlan } from "./plandocument";

/** A line of the list that a plan is shown as. */
export type PlanRow =
  | { id: string; is: "stack"; plan: StackPlan }
  | { id: string; is: "module"; module: string; count: number; closed: boolean }
  | { id: string; is: "heading"; text: string }
  | { id: string; is: "change"; plan: StackPlan; change: ResourceChange };

/** The lines of a plan, stack by stack: what changes, then outputs, then what had changed outside. */
export function planRows(plans: StackPlan[], filter: Filter, closed: Set<string>): PlanRow[] {
  const isFiltered = leavesOut(filter);
  const out: PlanRow[] = [];
  for (const plan of plans) {
    const at = plan.stack.stack;
    const found = new Set(plan.findings.keys());
    const inside = new Set([...closed].filter((c) => c.startsWith(at + "\0")).map((c) => c.slice(at.length + 1)));
    const rows = rowsOf(plan.changes, filter, found, inside);
    if (isFiltered && rows.length === 0) continue;
    out.push({ id: `stack ${at}`, is: "stack", plan });
    for (const row of rows) {
      if ("module" in row) {
        out.push({ ...row, id: `${at}\0${row.module}`, is: "module", closed: inside.has(row.module) });
      } else out.push({ id: idOf(at, row.change), is: "change", plan, change: row.change });
    }
    if (isFiltered) continue;
    const list = (text: string, changes: ResourceChange[], mark: string) => {
      if (changes.length > 0) out.push({ id: `${at}\0\0${text}`, is: "heading", text });
      for (const change of changes) out.push({ id: mark + idOf(at, change), is: "change", plan, change });
    };
    list("Outputs", plan.outputs, "output ");
    list("Changed outside of Tutti", plan.drift, "drift ");
  }
  return out;
}

export const idOf = (stack: string, change: ResourceChange) =>
  `${stack}/${change.address}${change.deposed ? "#" + change.deposed : ""}`;

/** How many changes there are of each kind, in all stacks. */
export function countKinds(plans: StackPlan[]): Map<Kind, number> {
  const out = new Map<Kind, number>();
  for (const p of plans) for (const c of p.changes) out.set(kindOf(c), (out.get(kindOf(c)) ?? 0) + 1);
  return out;
}
