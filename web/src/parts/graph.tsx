import { Background, Controls, Handle, Position, ReactFlow, type Edge, type Node, type NodeProps } from "@xyflow/react";
import ELK from "elkjs/lib/elk-api";
import elkWorker from "elkjs/lib/elk-worker.min.js?url";
import { memo, useEffect, useMemo, useState } from "react";
import type { Step } from "../api/client";
import { between } from "../lib/format";

const width = 200;
const height = 56;

const elk = new ELK({ workerFactory: () => new Worker(elkWorker) });

/** Where the nodes of a graph are put: worked out beside the page, once for each shape. */
function useLayout(nodes: { id: string }[], edges: { from: string; to: string }[]) {
  const shape = useMemo(() => JSON.stringify([nodes.map((n) => n.id), edges]), [nodes, edges]);
  const [places, set] = useState<Map<string, { x: number; y: number }>>();
  useEffect(() => {
    let gone = false;
    elk
      .layout({
        id: "root",
        layoutOptions: {
          "elk.algorithm": "layered",
          "elk.direction": "RIGHT",
          "elk.layered.spacing.nodeNodeBetweenLayers": "64",
          "elk.spacing.nodeNode": "24",
        },
        children: nodes.map((n) => ({ id: n.id, width, height })),
        edges: edges.map((e) => ({ id: `${e.from}->${e.to}`, sources: [e.from], targets: [e.to] })),
      })
      .then((result) => {
        if (!gone) set(new Map(result.children?.map((c) => [c.id, { x: c.x ?? 0, y: c.y ?? 0 }])));
      });
    return () => {
      gone = true;
    };
    // The shape is the text of both.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [shape]);
  return places;
}

type StepNode = Node<{ step: Step }, "step">;

const StepView = memo(function StepView({ data, selected }: NodeProps<StepNode>) {
  const s = data.step;
  return (
    <div className={`node node-${s.status} ${selected ? "selected" : ""}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <span className="node-name">{s.name}</span>
      <span className="node-sub">
        {s.action} · {s.waits ? `waits ${s.waits}` : s.status}
        {s.items ? ` ${s.done ?? 0}/${s.items}` : ""}{" "}
        {s.begun && s.status !== "waiting" ? between(s.begun, s.ended) : ""}
      </span>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
});

const nodeTypes = { step: StepView };

/** The steps of a run or a workflow as a graph. */
export function StepGraph({
  steps,
  selected,
  onSelect,
}: {
  steps: Step[];
  selected?: string;
  onSelect?: (name: string) => void;
}) {
  const edges = useMemo(
    () => steps.flatMap((s) => (s.needs ?? []).map((need) => ({ from: need, to: s.name }))),
    [steps],
  );
  const names = useMemo(() => steps.map((s) => ({ id: s.name })), [steps]);
  const places = useLayout(names, edges);
  if (!places) return <div className="graph" aria-busy="true" />;
  const nodes: StepNode[] = steps
    .filter((s) => places.has(s.name))
    .map((s) => ({
      id: s.name,
      type: "step",
      position: places.get(s.name)!,
      data: { step: s },
      selected: s.name === selected,
      width,
      height,
      ariaLabel: `${s.name}: ${s.status}`,
    }));
  const lines: Edge[] = edges.map((e) => ({
    id: `${e.from}->${e.to}`,
    source: e.from,
    target: e.to,
    animated: steps.find((s) => s.name === e.to)?.status === "running",
  }));
  return (
    <div className="graph" role="group" aria-label="Graph of the steps">
      <ReactFlow
        nodes={nodes}
        edges={lines}
        nodeTypes={nodeTypes}
        onNodeClick={(_, node) => onSelect?.(node.id)}
        nodesDraggable={false}
        nodesConnectable={false}
        onlyRenderVisibleElements={steps.length > 200}
        fitView
        minZoom={0.05}
        proOptions={{ hideAttribution: false }}
      >
        <Background gap={24} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}
