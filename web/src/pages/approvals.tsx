import type { Approval, Page } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { ago, short } from "../lib/format";
import { Link } from "../lib/router";
import { PageHead, Trouble } from "../parts/basics";
import { title } from "../parts/runs";
import { Needed } from "./run";

export function Approvals() {
  const list = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  return (
    <>
      <PageHead title="Approvals" sub="Steps of runs that wait for people." />
      <Trouble problem={list.problem} />
      {list.data?.items.length === 0 && <p className="empty">Nothing waits for an approval.</p>}
      <ul className="cards">
        {list.data?.items.map((a) => (
          <li key={a.run.id + a.step} className="card">
            <h2>
              <Link href={`/runs/${encodeURIComponent(a.run.id)}`}>{title(a.run)}</Link>
            </h2>
            <p>
              Step <code>{a.step}</code> in {a.run.environment}, asked by {a.run.actor} {ago(a.run.created)}{" "}
              <Needed ask={a} />
            </p>
            {a.message && <blockquote>{a.message}</blockquote>}
            {a.plan && (
              <p>
                <Link href={`/plans/${a.plan}?run=${encodeURIComponent(a.run.id)}&step=${encodeURIComponent(a.step)}`}>
                  Review the plan <code>{short(a.plan)}</code>
                </Link>
              </p>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
