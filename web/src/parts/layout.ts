import { Position } from "@xyflow/react";
import ELK from "elkjs/lib/elk-api";
import elkWorker from "elkjs/lib/elk-worker.min.js?url";
import { useEffect, useMemo, useState } from "react";
import { layered, type Place, type Shape } from "../lib/layers";
import { useNarrow } from "../lib/narrow";

/** What a node of a graph takes, and the distance to the next. */
export const nodeWidth = 216;
export const nodeHeight = 56;

/** Above so many nodes and edges ELK takes longer than somebody waits. */
const mostForElk = 600;

const elk = new ELK({ workerFactory: () => new Worker(elkWorker) });

/** Where nodes are put, and which way the graph goes: to the right, or down where that is seen better on a phone. */
export interface Layout {
  direction: "right" | "down";
  places: Map<string, Place>;
}

async function place(shape: Shape, direction: Layout["direction"]): Promise<Map<string, Place>> {
  const isDown = direction === "down";
  if (shape.nodes.length + shape.edges.length > mostForElk) {
    if (!isDown) return layered(shape, nodeWidth + 72, nodeHeight + 20);
    const places = layered(shape, nodeHeight + 56, nodeWidth + 20);
    return new Map([...places].map(([id, { x, y }]) => [id, { x: y, y: x }]));
  }
  const result = await elk.layout({
    id: "root",
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": isDown ? "DOWN" : "RIGHT",
      "elk.layered.spacing.nodeNodeBetweenLayers": isDown ? "40" : "64",
      "elk.spacing.nodeNode": "20",
    },
    children: shape.nodes.map((id) => ({ id, width: nodeWidth, height: nodeHeight })),
    edges: shape.edges.map((e, i) => ({ id: String(i), sources: [e.from], targets: [e.to] })),
  });
  return new Map(result.children?.map((c) => [c.id, { x: c.x ?? 0, y: c.y ?? 0 }]));
}

/** What a phone has room for, in pixels. */
const phone = { width: 340, height: 480 };

/** How large a graph is shown that is seen as a whole on a phone. */
function scaleOn(places: Map<string, Place>): number {
  const list = [...places.values()];
  const size = (of: (p: Place) => number) => Math.max(...list.map(of)) - Math.min(...list.map(of));
  return Math.min(phone.width / (size((p) => p.x) + nodeWidth), phone.height / (size((p) => p.y) + nodeHeight));
}

async function lay(shape: Shape, narrow: boolean): Promise<Layout> {
  const right = await place(shape, "right");
  if (!narrow || scaleOn(right) >= 1) return { direction: "right", places: right };
  const down = await place(shape, "down");
  return scaleOn(down) > scaleOn(right) ? { direction: "down", places: down } : { direction: "right", places: right };
}

/** Where the nodes of a graph are put: worked out beside the page, once for each shape. */
export function useLayout(shape: Shape): Layout | undefined {
  const narrow = useNarrow();
  const key = useMemo(() => JSON.stringify([shape.nodes, shape.edges, narrow]), [shape, narrow]);
  const [layout, set] = useState<Layout>();
  useEffect(() => {
    let gone = false;
    void lay(shape, narrow).then((found) => !gone && set(found));
    return () => {
      gone = true;
    };
    // The key is the text of the shape.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return layout;
}

/** Where the lines of a node begin and end. */
export const sides = {
  right: { target: Position.Left, source: Position.Right },
  down: { target: Position.Top, source: Position.Bottom },
} as const;
