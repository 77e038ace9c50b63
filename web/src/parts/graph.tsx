import { Handle, Position, type Edge, type Node, type NodeProps } from "@xyflow/react";
import { memo, useMemo } from "react";
import type { Step } from "../api/client";
import { between } from "../lib/format";
import { Canvas } from "./canvas";
import { nodeHeight, nodeWidth, useLayout } from "./layout";
import { Status } from "./status";

type StepNode = Node<{ step: Step; plain: boolean }, "step">;

const StepView = memo(function StepView({ data, selected }: NodeProps<StepNode>) {
  const s = data.step;
  return (
    <div className={`node node-${s.status} ${selected ? "selected" : ""}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      {!data.plain && <Status status={s.status} alone />}
      <span className="clip">
        <span className="node-name clip">{s.name}</span>
        <span className="node-sub clip">{data.plain ? s.action : wordsOf(s)}</span>
      </span>
      {s.items ? <span className="node-meter" style={{ width: `${(100 * (s.done ?? 0)) / s.items}%` }} /> : null}
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
});

function wordsOf(s: Step): string {
  const words = [s.action, s.waits ? `waits ${s.waits}` : s.status];
  if (s.items) words.push(`${s.done ?? 0} of ${s.items}`);
  if (s.begun && s.ended) words.push(between(s.begun, s.ended));
  return words.join(" · ");
}

const types = { step: StepView };

/** The steps of a run as a graph; plain, those of a workflow, which have no status. */
export function StepGraph({
  steps,
  plain = false,
  selected,
  onSelect = () => undefined,
}: {
  steps: Step[];
  plain?: boolean;
  selected?: string;
  onSelect?: (name: string) => void;
}) {
  const shape = useMemo(
    () => ({
      nodes: steps.map((s) => s.name),
      edges: steps.flatMap((s) => s.needs.map((need) => ({ from: need, to: s.name }))),
    }),
    [steps],
  );
  const places = useLayout(shape);
  const running = new Set(steps.filter((s) => s.status === "running").map((s) => s.name));
  const nodes =
    places &&
    steps
      .filter((s) => places.has(s.name))
      .map((s): StepNode => ({
        id: s.name,
        type: "step",
        position: places.get(s.name)!,
        data: { step: s, plain },
        selected: s.name === selected,
        width: nodeWidth,
        height: nodeHeight,
        ariaLabel: plain ? s.name : `${s.name}: ${s.status}`,
      }));
  const edges = shape.edges.map((e): Edge => ({
    id: `${e.from}->${e.to}`,
    source: e.from,
    target: e.to,
    animated: running.has(e.to),
  }));
  return <Canvas label="Graph of the steps" nodes={nodes} edges={edges} types={types} onSelect={onSelect} />;
}
