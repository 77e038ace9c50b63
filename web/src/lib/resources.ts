import { resourceOf } from "./causes";

/** An object of a state, as far as a graph is concerned. */
export interface GraphObject {
  address: string;
  depends_on: string[];
}

/** Groups of a graph: a module, a type, a resource, a hundred of its instances; in the end an object. */
export interface Group {
  id: string;
  kind: "module" | "type" | "resource" | "part" | "object";
  label: string;
  size: number;
  children: Group[];
}

/** How many instances of a resource are shown at once. */
const partSize = 100;

const moduleSteps = /module\.[\w-]+(?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\])?/y;

/** An address as the groups that it is in, from the outside in. */
function pathOf(address: string): [Group["kind"], string][] {
  const out: [Group["kind"], string][] = [];
  let at = 0;
  for (;;) {
    moduleSteps.lastIndex = at;
    const step = moduleSteps.exec(address)?.[0];
    if (!step || address[at + step.length] !== ".") break;
    out.push(["module", step]);
    at += step.length + 1;
  }
  const rest = address.slice(at);
  const resource = resourceOf(rest);
  out.push(["type", resource.replace(/\.[^.]*$/, "")], ["resource", resource], ["object", rest]);
  return out;
}

/** The objects of a state in their groups. Groups that hold only one thing are that thing. */
export function groupObjects(objects: GraphObject[]): Group {
  const root: Group = { id: "", kind: "module", label: "", size: 0, children: [] };
  const known = new Map<string, Group>();
  for (const o of objects) {
    let group = root;
    root.size++;
    for (const [kind, label] of pathOf(o.address)) {
      const id = kind === "object" ? o.address : `${group.id}/${label}`;
      let inner = known.get(id);
      if (!inner) {
        inner = { id, kind, label, size: 0, children: [] };
        known.set(id, inner);
        group.children.push(inner);
      }
      inner.size++;
      group = inner;
    }
  }
  root.children = root.children.map(simplified);
  return root;
}

function simplified(group: Group): Group {
  if (group.children.length === 0) return group;
  const children = group.children.map(simplified);
  if (children.length === 1 && group.kind !== "module") return children[0]!;
  if (children.length <= partSize || group.kind !== "resource") return { ...group, children };
  const parts: Group[] = [];
  for (let i = 0; i < children.length; i += partSize) {
    const list = children.slice(i, i + partSize);
    const label = `${list[0]!.label} … ${list.at(-1)!.label}`;
    parts.push({ id: `${group.id}/${i}`, kind: "part", label, size: list.length, children: list });
  }
  return { ...group, children: parts };
}

/** How many nodes a graph shows of itself; above, somebody opens what they want to see. */
const shownAtOnce = 150;
const openedAtOnce = 40;

/** Which groups are open to begin with: all where that is not much, or else the outer ones. */
export function firstOpen(root: Group): Set<string> {
  const open = new Set<string>();
  const limit = root.size <= shownAtOnce ? Infinity : openedAtOnce;
  let shown = root.children.length;
  let level = root.children;
  while (level.length > 0) {
    for (const g of [...level].sort((a, b) => a.children.length - b.children.length)) {
      if (g.children.length === 0 || shown + g.children.length - 1 > limit) continue;
      open.add(g.id);
      shown += g.children.length - 1;
    }
    level = level.flatMap((g) => (open.has(g.id) ? g.children : []));
  }
  return open;
}

export interface Shown {
  nodes: Group[];
  edges: { from: string; to: string; count: number }[];
}

/** What is to be seen of a graph with some groups open: the edges between what is shown. */
export function visible(root: Group, objects: GraphObject[], open: Set<string>): Shown {
  const nodes: Group[] = [];
  const shownAs = new Map<string, string>(); // by address of an object
  const mark = (g: Group, as: string) => {
    if (g.kind === "object") shownAs.set(g.id, as);
    for (const c of g.children) mark(c, as);
  };
  const walk = (list: Group[]) => {
    for (const g of list) {
      if (g.children.length > 0 && open.has(g.id)) walk(g.children);
      else {
        nodes.push(g);
        mark(g, g.id);
      }
    }
  };
  walk(root.children);
  const instances = new Map<string, Map<string, Set<string>>>(); // resource → module with keys → nodes
  for (const o of objects) {
    const resource = resourceOf(o.address);
    const inModule = moduleWithKeys(o.address);
    let byModule = instances.get(resource);
    if (!byModule) instances.set(resource, (byModule = new Map()));
    let set = byModule.get(inModule);
    if (!set) byModule.set(inModule, (set = new Set()));
    set.add(shownAs.get(o.address)!);
  }
  const edges = new Map<string, { from: string; to: string; count: number }>();
  for (const o of objects) {
    const to = shownAs.get(o.address)!;
    for (const need of o.depends_on) {
      const byModule = instances.get(resourceOf(need));
      if (!byModule) continue;
      // Instances of one module refer to what is in the same one.
      const own = nearest(moduleWithKeys(o.address), byModule);
      for (const set of own ? [own] : byModule.values()) {
        for (const from of set) {
          if (from === to) continue;
          const id = `${from}\0${to}`;
          const edge = edges.get(id);
          if (edge) edge.count++;
          else edges.set(id, { from, to, count: 1 });
        }
      }
    }
  }
  return { nodes, edges: [...edges.values()] };
}

const moduleWithKeys = (address: string) =>
  pathOf(address)
    .filter(([kind]) => kind === "module")
    .map(([, label]) => label)
    .join(".");

/** Of the instances of a resource those in the same module instance, or in one around it. */
function nearest(module: string, byModule: Map<string, Set<string>>): Set<string> | undefined {
  let at = module;
  while (at && !byModule.has(at)) at = at.slice(0, Math.max(0, at.lastIndexOf(".module.")));
  return byModule.get(at);
}
