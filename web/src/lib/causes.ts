import type { ResourceChange } from "./plandiff";

/** An attribute that a plan reads, as Terraform's plan JSON lists it. */
export interface Relevant {
  resource: string;
  attribute: (string | number)[];
}

const reasons: Record<string, string> = {
  replace_because_tainted: "it is tainted",
  replace_because_cannot_update: "an attribute cannot be changed in place",
  replace_by_request: "somebody asked for its replacement",
  replace_by_triggers: "something in replace_triggered_by changes",
  delete_because_no_resource_config: "it is no longer in the configuration",
  delete_because_no_module: "its module is no longer in the configuration",
  delete_because_wrong_repetition: "its resource is repeated in another way now",
  delete_because_count_index: "its index is beyond count",
  delete_because_each_key: "its key is no longer in for_each",
  delete_because_no_move_target: "what it was moved to is not in the configuration",
  read_because_config_unknown: "what it is read by is known after apply",
  read_because_dependency_pending: "something it depends on changes first",
};

/** Why a change is made, as the plan itself says; undefined where it does not. */
export function reasonOf(change: ResourceChange): string | undefined {
  const text = change.action_reason && (reasons[change.action_reason] ?? change.action_reason.replaceAll("_", " "));
  const paths = (change.change.replace_paths ?? []).map((p) => p.join("."));
  return paths.length > 0 ? `${text ?? "it is replaced"}: ${paths.join(", ")}` : text;
}

/** Instances of one resource have the same: modules without their keys, no index. */
export const resourceOf = (address: string) => address.replace(/\[("(?:[^"\\]|\\.)*"|\d+)\]/g, "");

/**
 * The changes that may be behind what outputs and other changes show: resources
 * whose attributes the plan reads, and which it changes.
 */
export function relevantChanges(changes: ResourceChange[], relevant: Relevant[]): Map<string, string[]> {
  const changed = new Set(changes.map((c) => resourceOf(c.address)));
  const out = new Map<string, string[]>();
  for (const r of relevant) {
    const resource = resourceOf(r.resource);
    if (changed.has(resource)) out.set(resource, [...(out.get(resource) ?? []), r.attribute.join(".")]);
  }
  return out;
}
