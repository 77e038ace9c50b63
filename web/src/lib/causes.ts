import { pathText, type ResourceChange } from "./plandiff";
import { kindOf, type Kind } from "./plangroup";

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
  const paths = (change.change.replace_paths ?? []).map(pathText);
  return paths.length > 0 ? `${text ?? "it is replaced"}: ${paths.join(", ")}` : text;
}

/** Instances of one resource have the same: modules without their keys, no index. */
export const resourceOf = (address: string) => address.replace(/\[("(?:[^"\\]|\\.)*"|\d+)\]/g, "");

/** A change that stands behind another, and what the plan reads of it. */
export interface Cause {
  address: string;
  kind: Kind;
  /** How many instances of the resource change, where it is more than one. */
  count: number;
  reads: string[];
  /** What in turn stands behind it. */
  causes: Cause[];
}

/** How far causes are followed. */
const deepest = 4;

/**
 * What stands behind changes, in two directions: of what they need, what changes too;
 * and what in turn needs what they change. Asked once for all changes of a stack.
 */
export class Causes {
  private byResource = new Map<string, ResourceChange[]>();
  private neededBy = new Map<string, string[]>();
  private reads = new Map<string, string[]>();

  constructor(
    changes: ResourceChange[],
    private needs: Record<string, string[] | null>,
    relevant: Relevant[],
  ) {
    for (const c of changes) {
      const resource = resourceOf(c.address);
      const list = this.byResource.get(resource);
      if (list) list.push(c);
      else this.byResource.set(resource, [c]);
    }
    for (const [resource, list] of Object.entries(needs)) {
      if (!this.byResource.has(resource)) continue;
      for (const need of list ?? []) this.neededBy.set(need, [...(this.neededBy.get(need) ?? []), resource]);
    }
    for (const r of relevant) {
      const resource = resourceOf(r.resource);
      this.reads.set(resource, [...(this.reads.get(resource) ?? []), pathText(r.attribute)]);
    }
  }

  /** What a change may come from: changes of what it needs. */
  of(address: string): Cause[] {
    return this.behind(resourceOf(address), new Set());
  }

  /** How many resources need what is changed here, themselves or through others. */
  follows(address: string): number {
    const seen = new Set<string>();
    const queue = [resourceOf(address)];
    for (const resource of queue) {
      for (const next of this.neededBy.get(resource) ?? []) {
        if (seen.has(next)) continue;
        seen.add(next);
        queue.push(next);
      }
    }
    return seen.size;
  }

  private behind(resource: string, above: Set<string>): Cause[] {
    if (above.size >= deepest || above.has(resource)) return [];
    const seen = new Set(above).add(resource);
    return (this.needs[resource] ?? []).flatMap((need) => {
      const list = this.byResource.get(need);
      if (!list || need === resource) return [];
      const first = list[0]!;
      return {
        address: list.length > 1 ? need : first.address,
        kind: kindOf(first),
        count: list.length,
        reads: this.reads.get(need) ?? [],
        causes: this.behind(need, seen),
      };
    });
  }
}
