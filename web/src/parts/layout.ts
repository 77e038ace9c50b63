import ELK from "elkjs/lib/elk-api";
import elkWorker from "elkjs/lib/elk-worker.min.js?url";
import { useEffect, useMemo, useState } from "react";
import { layered, type Place, type Shape } from "../lib/layers";

/** What a node of a graph takes, and the distance to the next. */
export const nodeWidth = 216;
export const nodeHeight = 56;

/** Above so many nodes and edges ELK takes longer than somebody waits. */
const mostForElk = 600;

const elk = new ELK({ workerFactory: () => new Worker(elkWorker) });

async function place(shape: Shape): Promise<Map<string, Place>> {
  if (shape.nodes.length + shape.edges.length > mostForElk) return layered(shape, nodeWidth + 72, nodeHeight + 20);
  const result = await elk.layout({
    id: "root",
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": "RIGHT",
      "elk.layered.spacing.nodeNodeBetweenLayers": "64",
      "elk.spacing.nodeNode": "20",
    },
    children: shape.nodes.map((id) => ({ id, width: nodeWidth, height: nodeHeight })),
    edges: shape.edges.map((e, i) => ({ id: String(i), sources: [e.from], targets: [e.to] })),
  });
  return new Map(result.children?.map((c) => [c.id, { x: c.x ?? 0, y: c.y ?? 0 }]));
}

/** Where the nodes of a graph are put: worked out beside the page, once for each shape. */
export function useLayout(shape: Shape): Map<string, Place> | undefined {
  const key = useMemo(() => JSON.stringify([shape.nodes, shape.edges]), [shape]);
  const [places, set] = useState<Map<string, Place>>();
  useEffect(() => {
    let gone = false;
    void place(shape).then((found) => !gone && set(found));
    return () => {
      gone = true;
    };
    // The key is the text of the shape.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return places;
}
