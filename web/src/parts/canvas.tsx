import { Background, Controls, MiniMap, ReactFlow, type Edge, type Node, type NodeTypes } from "@xyflow/react";
import { useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { nodeHeight, nodeWidth, type Layout } from "./layout";

/** Above so many nodes only those in sight are drawn, and the graph begins at its left, not as a whole. */
const large = 200;

/** What is left free around a graph, both sides together, in pixels. */
const margin = 64;

/** As small as a graph is shown to begin with: what does not fit then is moved into sight. */
const smallest = 0.55;

/** How large a graph is shown that is not seen as a whole: it begins at its left. */
const readable = 0.8;

/** Where a graph is and how it is shown to begin with. */
interface View {
  left: number;
  top: number;
  scale: number;
  /** How high it is then, in pixels. */
  height: number;
  /** Whether it is too wide to be seen as a whole. */
  tooWide: boolean;
}

function viewOf(nodes: Node[], room: number): View {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { position: p } of nodes) {
    left = Math.min(left, p.x);
    top = Math.min(top, p.y);
    right = Math.max(right, p.x + nodeWidth);
    bottom = Math.max(bottom, p.y + nodeHeight);
  }
  const fits = (room - margin) / (right - left);
  const tooWide = fits < smallest;
  const scale = tooWide ? readable : Math.min(1, fits);
  return { left, top, scale, height: Math.ceil((bottom - top) * scale + margin), tooWide };
}

/** Nodes and lines between them, which can be moved about and zoomed. It is as high as the graph, where that fits. */
export function Canvas<N extends Node>({
  label,
  layout,
  nodes,
  edges,
  types,
  colourOf,
  onSelect,
}: {
  label: string;
  layout?: Layout;
  nodes?: N[];
  edges: Edge[];
  types: NodeTypes;
  /** The class that gives a node its colour on the map of a graph that does not fit. */
  colourOf?: (node: N) => string;
  onSelect: (id: string) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState<number>();
  useLayoutEffect(() => setRoom(box.current!.clientWidth), []);
  if (!layout || !nodes || room === undefined) return <div className="panel graph" aria-busy="true" ref={box} />;
  const isLarge = nodes.length > large;
  const view = viewOf(nodes, room);
  const startsLeft = isLarge || view.tooWide;
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
      style={isLarge ? undefined : { height: `clamp(168px, ${view.height}px, var(--graph))` }}
    >
      <ReactFlow
        key={layout.direction}
        nodes={nodes}
        edges={edges}
        nodeTypes={types}
        onNodeClick={(_, node) => onSelect(node.id)}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        onlyRenderVisibleElements={isLarge}
        fitView={!startsLeft}
        fitViewOptions={{ maxZoom: 1, minZoom: smallest, padding: 0.06 }}
        defaultViewport={{ x: 24 - view.left * readable, y: margin / 2 - view.top * readable, zoom: readable }}
        minZoom={0.05}
        preventScrolling={false}
      >
        <Background gap={22} />
        <Controls showInteractive={false} position="top-right" orientation="horizontal" />
        {startsLeft && (
          <MiniMap
            pannable
            zoomable
            style={{ width: 144, height: 84 }}
            nodeClassName={colourOf as ((node: Node) => string) | undefined}
          />
        )}
      </ReactFlow>
    </div>
  );
}
