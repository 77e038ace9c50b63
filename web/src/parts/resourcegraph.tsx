import { Handle, type Edge, type Node, type NodeProps } from "@xyflow/react";
import { memo, useMemo, useState } from "react";
import { resourceOf } from "../lib/causes";
import { count } from "../lib/format";
import { firstOpen, groupObjects, visible, type GraphObject, type Group } from "../lib/resources";
import { Canvas } from "./canvas";
import { Icon } from "./icons";
import { nodeHeight, nodeWidth, sides, useLayout, type Layout } from "./layout";

type GroupNode = Node<{ group: Group; drifted: boolean; direction: Layout["direction"] }, "objects">;

/** What a node is called, and what is said below. */
function wordsOf(g: Group, drifted: boolean): [name: string, sub: string] {
  if (g.children.length > 0)
    return [g.label, `${g.kind === "part" ? "instances" : g.kind} · ${count(g.size, "object")}`];
  const type = resourceOf(g.label).replace(/\.[^.]*$/, "");
  const module = g.id.slice(0, -g.label.length - 1);
  const sub = [drifted && "has drifted", module.replace(/^module\./, ""), type].filter(Boolean).join(" · ");
  return [g.label.slice(type.length + 1), sub];
}

const GroupView = memo(function GroupView({ data: { group: g, drifted, direction }, selected }: NodeProps<GroupNode>) {
  const opens = g.children.length > 0;
  const [name, sub] = wordsOf(g, drifted);
  return (
    <div
      title={g.id}
      className={`node ${opens ? "node-group" : ""} ${drifted ? "node-caught" : ""} ${selected ? "selected" : ""}`}
    >
      <Handle type="target" position={sides[direction].target} isConnectable={false} />
      <Icon name={drifted ? "drift" : opens ? "module" : "box"} size={18} />
      <span className="clip">
        <span className="node-name clip">{name}</span>
        <span className="node-sub clip">{sub}</span>
      </span>
      <Handle type="source" position={sides[direction].source} isConnectable={false} />
    </div>
  );
});

const types = { objects: GroupView };

/** What the objects of a stack need of each other. Groups open when they are chosen. */
export function ResourceGraph({
  objects,
  drifted,
  onSelect,
}: {
  objects: GraphObject[];
  drifted: Set<string>;
  onSelect: (address: string) => void;
}) {
  const root = useMemo(() => groupObjects(objects), [objects]);
  const first = useMemo(() => firstOpen(root), [root]);
  const [chosen, setChosen] = useState<Set<string>>();
  const open = chosen ?? first;
  const hasGroups = root.children.some((g) => g.children.length > 0);
  const shown = useMemo(() => visible(root, objects, open), [root, objects, open]);
  const shape = useMemo(
    () => ({ nodes: shown.nodes.map((g) => g.id), edges: shown.edges.map(({ from, to }) => ({ from, to })) }),
    [shown],
  );
  const layout = useLayout(shape);
  const hasDrifted = (g: Group): boolean => (g.kind === "object" ? drifted.has(g.id) : g.children.some(hasDrifted));
  const nodes =
    layout &&
    shown.nodes
      .filter((g) => layout.places.has(g.id))
      .map((g): GroupNode => ({
        id: g.id,
        type: "objects",
        position: layout.places.get(g.id)!,
        data: { group: g, drifted: drifted.size > 0 && hasDrifted(g), direction: layout.direction },
        width: nodeWidth,
        height: nodeHeight,
        ariaRole: "button",
        ariaLabel: g.children.length > 0 ? `${g.label}: ${g.size} objects. Opens.` : g.label,
      }));
  const edges = shown.edges.map((e): Edge => ({ id: `${e.from}->${e.to}`, source: e.from, target: e.to }));
  const select = (id: string) => {
    const group = shown.nodes.find((g) => g.id === id);
    if (!group) return;
    if (group.children.length === 0) onSelect(id);
    else setChosen(new Set(open).add(id));
  };
  return (
    <div className="stack">
      <div className="row apart">
        <span className="muted small">
          {count(shown.nodes.length, "node")} for {count(objects.length, "object")}.{" "}
          {shown.nodes.length < objects.length && "Choose a group to open it."}
        </span>
        {hasGroups && (
          <div className="actions">
            {chosen && (
              <button className="button slim quiet" onClick={() => setChosen(undefined)}>
                As at first
              </button>
            )}
            {open.size > 0 && (
              <button className="button slim" onClick={() => setChosen(new Set())}>
                Close all groups
              </button>
            )}
          </div>
        )}
      </div>
      <Canvas
        label="Graph of the objects"
        layout={layout}
        nodes={nodes}
        edges={edges}
        types={types}
        onSelect={select}
      />
    </div>
  );
}
