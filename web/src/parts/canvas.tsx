import { Background, Controls, ReactFlow, type Edge, type Node, type NodeTypes } from "@xyflow/react";
import { useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { nodeHeight, nodeWidth, type Layout } from "./layout";

/** Above so many nodes only those in sight are drawn, and the graph begins at its left, not as a whole. */
const large = 200;

/** What is left free around a graph, both sides together, in pixels. */
const margin = 64;

/** As small as a graph is shown to begin with: what does not fit then is moved into sight. */
const smallest = 0.55;

/** How high a graph is that is as wide as a part of the page, in pixels. */
function heightOf(nodes: Node[], room: number): number {
  const xs = nodes.map((n) => n.position.x);
  const ys = nodes.map((n) => n.position.y);
  const wide = Math.max(...xs) - Math.min(...xs) + nodeWidth;
  const high = Math.max(...ys) - Math.min(...ys) + nodeHeight;
  const scale = Math.max(smallest, Math.min(1, (room - margin) / wide));
  return Math.ceil(high * scale + margin);
}

/** Nodes and lines between them, which can be moved about and zoomed. It is as high as the graph, where that fits. */
export function Canvas<N extends Node>({
  label,
  layout,
  nodes,
  edges,
  types,
  onSelect,
}: {
  label: string;
  layout?: Layout;
  nodes?: N[];
  edges: Edge[];
  types: NodeTypes;
  onSelect: (id: string) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState<number>();
  useLayoutEffect(() => setRoom(box.current!.clientWidth), []);
  if (!layout || !nodes || room === undefined) return <div className="panel graph" aria-busy="true" ref={box} />;
  const isLarge = nodes.length > large;
  // A node that has the focus is chosen by keys as by a click.
  const pressed = (event: KeyboardEvent) => {
    const node = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node");
    if (!node || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    onSelect(node.dataset.id!);
  };
  return (
    <div
      className="panel graph"
      ref={box}
      onKeyDown={pressed}
      role="group"
      aria-label={label}
      style={isLarge ? undefined : { height: `clamp(168px, ${heightOf(nodes, room)}px, var(--graph))` }}
    >
      <ReactFlow
        key={layout.direction}
        nodes={nodes}
        edges={edges}
        nodeTypes={types}
        onNodeClick={(_, node) => onSelect(node.id)}
        nodesDraggable={false}
        nodesConnectable={false}
        onlyRenderVisibleElements={isLarge}
        fitView={!isLarge}
        fitViewOptions={{ maxZoom: 1, minZoom: smallest, padding: 0.06 }}
        defaultViewport={{ x: 24, y: 240, zoom: 0.8 }}
        minZoom={0.05}
        preventScrolling={false}
      >
        <Background gap={22} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}
