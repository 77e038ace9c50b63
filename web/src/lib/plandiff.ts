/** A change as Terraform's plan JSON has it. */
export interface Change {
  actions: string[];
  before?: unknown;
  after?: unknown;
  after_unknown?: unknown;
  before_sensitive?: unknown;
  after_sensitive?: unknown;
  replace_paths?: (string | number)[][];
}

export interface ResourceChange {
  address: string;
  type: string;
  deposed?: string;
  action_reason?: string;
  change: Change;
}

export interface DiffLine {
  path: string;
  kind: "add" | "remove" | "change" | "same";
  before?: string;
  after?: string;
  replaces: boolean;
}

const hidden = "(sensitive)";
const unknown = "(known after apply)";

type Path = (string | number)[];

const textOf = (path: Path) =>
  path
    .map((p, i) => (typeof p === "number" ? `[${p}]` : /^[\w-]+$/.test(p) ? (i ? "." : "") + p : `["${p}"]`))
    .join("");

const at = (v: unknown, key: string | number): unknown =>
  v === true ? true : v !== null && typeof v === "object" ? (v as Record<string | number, unknown>)[key] : undefined;

const isTree = (v: unknown): v is Record<string, unknown> | unknown[] =>
  v !== null && typeof v === "object" && Object.keys(v).length > 0;

const show = (v: unknown) => (typeof v === "string" ? JSON.stringify(v) : JSON.stringify(v));

/**
 * The attributes that a change changes, each on a line of its own. What stays as it
 * is is left out; what is sensitive or not known yet is said to be so.
 */
export function diffOf(change: Change): DiffLine[] {
  const out: DiffLine[] = [];
  const replaced = new Set((change.replace_paths ?? []).map((p) => textOf(p)));
  const walk = (path: Path, before: unknown, after: unknown, unk: unknown, sb: unknown, sa: unknown) => {
    const beforeText = sb === true ? hidden : before === undefined || before === null ? undefined : show(before);
    const afterText =
      unk === true ? unknown : sa === true ? hidden : after === undefined || after === null ? undefined : show(after);
    const deeper = unk !== true && sb !== true && sa !== true && (isTree(before) || isTree(after) || isTree(unk));
    if (deeper) {
      const list = Array.isArray(before) || Array.isArray(after);
      const keys = new Set<string>([before, after, unk].flatMap((v) => (isTree(v) ? Object.keys(v) : [])));
      for (const name of [...keys].sort((a, b) => (list ? Number(a) - Number(b) : a < b ? -1 : 1))) {
        const key = list ? Number(name) : name;
        walk([...path, key], at(before, key), at(after, key), at(unk, key), at(sb, key), at(sa, key));
      }
      return;
    }
    if (beforeText === undefined && afterText === undefined) return;
    const same = beforeText === afterText && beforeText !== hidden;
    if (same && path.length > 0) return;
    const text = textOf(path);
    out.push({
      path: text || "value",
      kind:
        beforeText === undefined
          ? "add"
          : afterText === undefined
            ? "remove"
            : beforeText === afterText
              ? "same"
              : "change",
      before: beforeText,
      after: afterText,
      replaces: replaced.has(text),
    });
  };
  walk([], change.before, change.after, change.after_unknown, change.before_sensitive, change.after_sensitive);
  return out;
}
