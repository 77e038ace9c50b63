import { Handle, type Edge, type Node, type NodeProps } from "@xyflow/react";
import { memo, useMemo } from "react";
import type { Step } from "../api/client";
import { between } from "../lib/format";
import { reduced } from "../lib/reduce";
import { Canvas } from "./canvas";
import { nodeHeight, nodeWidth, sides, useLayout, type Layout } from "./layout";
import { Status } from "./status";

type StepNode = Node<{ step: Step; plain: boolean; direction: Layout["direction"] }, "step">;

const StepView = memo(function StepView({ data, selected }: NodeProps<StepNode>) {
  const s = data.step;
  return (
    <div className={`node node-${data.plain ? "plain" : s.status} ${selected ? "selected" : ""}`}>
      <Handle type="target" position={sides[data.direction].target} isConnectable={false} />
      {!data.plain && <Status status={s.status} alone />}
      <span className="clip">
        <span className="node-name clip">{s.name}</span>
        <span className="node-sub clip">
          {data.plain ? s.action : wordsOf(s)}
          {!data.plain && s.begun && s.ended && (
            <>
              {" · "}
              <span data-time>{between(s.begun, s.ended)}</span>
            </>
          )}
        </span>
      </span>
      {s.items ? <span className="node-meter" style={{ width: `${(100 * (s.done ?? 0)) / s.items}%` }} /> : null}
      <Handle type="source" position={sides[data.direction].source} isConnectable={false} />
    </div>
  );
});

function wordsOf(s: Step): string {
  if (s.waits) return `waits ${s.waits}`;
  const words = [s.action, s.status];
  if (s.items) words.push(`${s.done ?? 0} of ${s.items}`);
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
      edges: reduced(steps.flatMap((s) => s.needs.map((need) => ({ from: need, to: s.name })))),
    }),
    [steps],
  );
  const layout = useLayout(shape);
  const running = new Set(steps.filter((s) => s.status === "running").map((s) => s.name));
  const nodes =
    layout &&
    steps
      .filter((s) => layout.places.has(s.name))
      .map((s): StepNode => ({
        id: s.name,
        type: "step",
        position: layout.places.get(s.name)!,
        data: { step: s, plain, direction: layout.direction },
        selected: s.name === selected,
        width: nodeWidth,
        height: nodeHeight,
        ariaRole: plain ? "group" : "button",
        ariaLabel: plain ? s.name : `${s.name}: ${s.status}`,
      }));
  const edges = shape.edges.map((e): Edge => ({
    id: `${e.from}->${e.to}`,
    source: e.from,
    target: e.to,
    // Not moved: drawing moving lines all the time takes more than all else on the page.
    className: running.has(e.to) ? "edge-running" : undefined,
  }));
  return (
    <div className="stack tight">
      {!plain && <Standing steps={steps} />}
      <Canvas
        label="Graph of the steps"
        layout={layout}
        nodes={nodes}
        edges={edges}
        types={types}
        colourOf={(n) => `bar-${n.data.step.status}`}
        onSelect={onSelect}
      />
    </div>
  );
}

/** How many steps stand in which way, which also says what the shapes in the graph mean. */
function Standing({ steps }: { steps: Step[] }) {
  const counts = new Map<string, number>();
  for (const s of steps) counts.set(s.status, (counts.get(s.status) ?? 0) + 1);
  return (
    <ul className="legend" aria-label="How the steps stand">
      {[...counts].map(([status, n]) => (
        <li key={status}>
          <Status status={status} alone word="" /> {n.toLocaleString("en")} {status}
        </li>
      ))}
    </ul>
  );
}
