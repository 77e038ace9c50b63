import { Background, Controls, ReactFlow, type Edge, type Node, type NodeTypes } from "@xyflow/react";

/** Above so many nodes only those in sight are drawn, and the graph begins at its left, not as a whole. */
const large = 200;

/** Nodes and lines between them, which can be moved about and zoomed. */
export function Canvas<N extends Node>({
  label,
  nodes,
  edges,
  types,
  onSelect,
}: {
  label: string;
  nodes?: N[];
  edges: Edge[];
  types: NodeTypes;
  onSelect: (id: string) => void;
}) {
  if (!nodes) return <div className="panel graph" aria-busy="true" />;
  const isLarge = nodes.length > large;
  return (
    <div className="panel graph" role="group" aria-label={label}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={types}
        onNodeClick={(_, node) => onSelect(node.id)}
        nodesDraggable={false}
        nodesConnectable={false}
        onlyRenderVisibleElements={isLarge}
        fitView={!isLarge}
        fitViewOptions={{ maxZoom: 1, padding: 0.12 }}
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
