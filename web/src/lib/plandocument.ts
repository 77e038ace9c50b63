import type { PlanDocument, PlannedStack } from "../api/client";
import { Causes, type Relevant } from "./causes";
import type { Change, ResourceChange } from "./plandiff";
import { kindOf } from "./plangroup";

/** One thing that a rule says (see docs/policy.md). */
export interface Finding {
  policy: string;
  rule: string;
  enforcement: string;
  status: string;
  message?: string;
  resource?: string;
  attribute?: string;
  fix?: string;
  title?: string;
  severity?: string;
  source?: { file: string; line: number };
  rule_source?: { file: string; line: number };
  overridden?: boolean;
  awaits?: string[];
}

export interface CostTotal {
  currency: string;
  before: number | string;
  after: number | string;
  difference: number | string;
}

export interface CostItem {
  address: string;
  totals: CostTotal[];
  before?: CostSide;
  after?: CostSide;
}

interface CostSide {
  components: { name: string; quantity: unknown; unit: string; monthly: unknown; currency: string; unknown?: string }[];
  unknown?: string[];
}

/** What a plan does to one stack, as a page shows it. */
export interface StackPlan {
  stack: PlannedStack;
  changes: ResourceChange[];
  outputs: ResourceChange[];
  drift: ResourceChange[];
  causes: Causes;
  status?: string;
  policies: { policy: string; enforcement: string; status: string; rules: number; passed: number }[];
  findings: Map<string, Finding[]>;
  /** All of them, the worst first. */
  said: Finding[];
  overrides: { policy: string; actor: string; reason: string }[];
  /** Findings about nothing that changes. */
  general: Finding[];
  costs: Map<string, CostItem>;
  totals: CostTotal[];
  costUnknown: number;
}

/** A plan's document made ready to be shown. */
export function stackPlans(document: PlanDocument): StackPlan[] {
  return document.stacks.map((stack) => {
    const plan = stack.plan as {
      resource_changes?: ResourceChange[];
      resource_drift?: ResourceChange[];
      output_changes?: Record<string, Change>;
      relevant_attributes?: Relevant[];
    };
    const decision = (stack.decision ?? {}) as Pick<StackPlan, "status"> & {
      policies?: StackPlan["policies"];
      findings?: Finding[];
      overrides?: StackPlan["overrides"];
    };
    const cost = (stack.cost ?? {}) as { resources?: CostItem[]; totals?: CostTotal[]; unknown?: number };
    const changes = (plan.resource_changes ?? []).filter((c) => kindOf(c) !== "none");
    const changing = new Set(changes.map((c) => c.address));
    const findings = new Map<string, Finding[]>();
    const general: Finding[] = [];
    for (const f of decision.findings ?? []) {
      if (!f.resource || !changing.has(f.resource)) general.push(f);
      else findings.set(f.resource, [...(findings.get(f.resource) ?? []), f]);
    }
    return {
      stack,
      changes,
      outputs: Object.entries(plan.output_changes ?? {})
        .filter(([, c]) => c.actions.join() !== "no-op")
        .map(([name, change]) => ({ address: "output." + name, type: "output", change })),
      drift: plan.resource_drift ?? [],
      causes: new Causes(changes, stack.needs ?? {}, plan.relevant_attributes ?? []),
      status: decision.status,
      policies: decision.policies ?? [],
      findings,
      said: decision.findings ?? [],
      overrides: decision.overrides ?? [],
      general,
      costs: new Map((cost.resources ?? []).map((item) => [item.address, item])),
      totals: cost.totals ?? [],
      costUnknown: cost.unknown ?? 0,
    };
  });
}

/** The same finding about several resources. */
export interface FindingGroup {
  finding: Finding;
  resources: string[];
}

/** Findings that say the same of different resources, each once. */
export function grouped(list: Finding[]): FindingGroup[] {
  const groups = new Map<string, FindingGroup>();
  for (const finding of list) {
    const { policy, rule, status, message, fix, overridden } = finding;
    const key = JSON.stringify([policy, rule, status, message, fix, overridden]);
    const group = groups.get(key) ?? { finding, resources: [] };
    if (finding.resource) group.resources.push(finding.resource);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** What a plan does, in a few words. */
export function titleOf(document: PlanDocument): string {
  const names = document.stacks.map((s) => s.stack).filter(Boolean);
  const about = names.length > 3 ? `${names.length} stacks` : names.join(", ");
  return [document.kind, about, document.environment && `in ${document.environment}`].filter(Boolean).join(" ");
}

/** The worst of what policy says. */
export function worst(statuses: (string | undefined)[]): string | undefined {
  return ["deny", "unknown", "warn", "pass"].find((s) => statuses.includes(s));
}

/** Sums of several stacks, by currency. */
export function sumOf(totals: CostTotal[]): { currency: string; difference: number; after: number }[] {
  const sums = new Map<string, { currency: string; difference: number; after: number }>();
  for (const t of totals) {
    const sum = sums.get(t.currency) ?? { currency: t.currency, difference: 0, after: 0 };
    sum.difference += Number(t.difference);
    sum.after += Number(t.after);
    sums.set(t.currency, sum);
  }
  return [...sums.values()];
}
