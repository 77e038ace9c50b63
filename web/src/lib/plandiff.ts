/** A change as Terraform's plan JSON has it. */
export interface Change {
  actions: string[];
  before?: unknown;
  after?: unknown;
  after_unknown?: unknown;
  before_sensitive?: unknown;
  after_sensitive?: unknown;
  replace_paths?: (string | number)[][];
  importing?: { id?: string };
}

export interface ResourceChange {
  address: string;
  previous_address?: string;
  type: string;
  deposed?: string;
  action_reason?: string;
  change: Change;
}

/** One side of a difference: a value as text, or that it is hidden or not known yet. */
export interface Side {
  kind: "value" | "sensitive" | "unknown";
  text: string;
}

export interface DiffLine {
  path: string;
  kind: "add" | "remove" | "change" | "same";
  before?: Side;
  after?: Side;
  replaces: boolean;
}

export interface Diff {
  lines: DiffLine[];
  /** How many attributes stay as they are. */
  unchanged: number;
}

const sensitive: Side = { kind: "sensitive", text: "sensitive" };
const unknown: Side = { kind: "unknown", text: "known after apply" };

type Path = (string | number)[];

export const pathText = (path: Path) =>
  path
    .map((p, i) =>
      typeof p === "number" ? `[${p}]` : /^[\w-]+$/.test(p) || path.length === 1 ? (i ? "." : "") + p : `["${p}"]`,
    )
    .join("");

const at = (v: unknown, key: string | number): unknown =>
  v === true ? true : v !== null && typeof v === "object" ? (v as Record<string | number, unknown>)[key] : undefined;

const isTree = (v: unknown): v is Record<string, unknown> | unknown[] =>
  v !== null && typeof v === "object" && Object.keys(v).length > 0;

const isNothing = (v: unknown) => v === undefined || v === null;

/**
 * A value as people read it: texts of several lines as they are, documents of JSON
 * in a text laid out, everything else in one line of JSON.
 */
function textOf(v: unknown): string {
  if (typeof v !== "string") return JSON.stringify(v);
  if (/^\s*[{[]/.test(v)) {
    try {
      return JSON.stringify(JSON.parse(v), null, 2);
    } catch {
      // It only begins like a document.
    }
  }
  return v.includes("\n") ? v : JSON.stringify(v);
}

const sideOf = (v: unknown, hidden: boolean): Side | undefined =>
  hidden ? sensitive : isNothing(v) ? undefined : { kind: "value", text: textOf(v) };

function kindOf(before?: Side, after?: Side): DiffLine["kind"] {
  if (!before) return "add";
  if (!after) return "remove";
  return before.kind === after.kind && before.text === after.text ? "same" : "change";
}

/**
 * The attributes that a change changes, each on a line of its own. What stays as it
 * is is counted; what is sensitive or not known yet is said to be so.
 */
export function diffOf(change: Change): Diff {
  const lines: DiffLine[] = [];
  let unchanged = 0;
  const actions = change.actions.join();
  const replaced = new Set((change.replace_paths ?? []).map(pathText));
  const walk = (path: Path, before: unknown, after: unknown, unk: unknown, sb: unknown, sa: unknown) => {
    const isLeaf = unk === true || sb === true || sa === true;
    if (!isLeaf && (isTree(before) || isTree(after) || isTree(unk))) {
      const list = Array.isArray(before) || Array.isArray(after);
      const keys = new Set<string>([before, after, unk].flatMap((v) => (isTree(v) ? Object.keys(v) : [])));
      for (const name of [...keys].sort((a, b) => (list ? Number(a) - Number(b) : a < b ? -1 : 1))) {
        const key = list ? Number(name) : name;
        walk([...path, key], at(before, key), at(after, key), at(unk, key), at(sb, key), at(sa, key));
      }
      return;
    }
    const hidden = sb === true || sa === true; // what is hidden on one side is on both
    const from = actions === "create" ? undefined : sideOf(before, hidden);
    const to = actions === "delete" ? undefined : unk === true ? unknown : sideOf(after, hidden);
    if (!from && !to) return;
    const kind = kindOf(from, to);
    const text = pathText(path);
    // Of hidden values nobody can tell whether they change: they are shown.
    if (kind === "same" && from?.kind !== "sensitive") unchanged++;
    else lines.push({ path: text || "value", kind, before: from, after: to, replaces: replaced.has(text) });
  };
  walk([], change.before, change.after, change.after_unknown, change.before_sensitive, change.after_sensitive);
  return { lines, unchanged };
}
