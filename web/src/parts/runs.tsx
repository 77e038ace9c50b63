import type { ReactNode } from "react";
import type { Run } from "../api/client";
import { ago, between } from "../lib/format";
import { Link } from "../lib/router";
import { Status } from "./basics";

/** A table of runs. */
export function RunTable({ runs, action }: { runs: Run[]; action?: (run: Run) => ReactNode }) {
  if (runs.length === 0) return <p className="empty">No runs yet.</p>;
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            <th>Status</th>
            <th>What</th>
            <th>Environment</th>
            <th>By</th>
            <th>Took</th>
            <th>When</th>
            {action && <th>Action</th>}
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <td>
                <Status status={run.status} />
              </td>
              <td>
                <Link href={`/runs/${encodeURIComponent(run.id)}`}>{title(run)}</Link>
                {run.problem && <div className="problem">{run.problem}</div>}
              </td>
              <td>{run.environment}</td>
              <td>{run.actor}</td>
              <td>{between(run.started, run.ended)}</td>
              <td title={run.created}>{ago(run.created)}</td>
              {action && <td>{action(run)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What a run does, in a few words. */
export function title(run: Run): string {
  if (run.stack) return `${run.kind} ${run.stack}: ${run.summary}`;
  return run.summary || run.kind;
}
