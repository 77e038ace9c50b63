import type { Page, Workflow } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { Link } from "../lib/router";
import { PageHead, Status, Trouble } from "../parts/basics";

export function Workflows() {
  const list = useResource<Page<Workflow>>("/workflows", {}, aboutRuns);
  return (
    <>
      <PageHead title="Workflows" />
      <Trouble problem={list.problem} />
      {list.data?.items.length === 0 && <p className="empty">The project declares no workflows.</p>}
      <ul className="cards">
        {list.data?.items.map((w) => (
          <li key={w.name} className="card">
            <h2>
              <Link href={`/workflows/${encodeURIComponent(w.name)}`}>{w.name}</Link>
            </h2>
            {w.description && <p>{w.description}</p>}
            <p className="muted">{w.state_machine ? "State machine" : `${w.steps.length} steps`}</p>
            <p className="history">
              {(w.last_runs ?? []).map((r) => (
                <Link key={r.id} href={`/runs/${encodeURIComponent(r.id)}`} title={`${r.status}, ${r.created}`}>
                  <Status status={r.status} />
                </Link>
              ))}
            </p>
          </li>
        ))}
      </ul>
    </>
  );
}
