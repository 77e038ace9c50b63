import type { Approval, Page } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { short } from "../lib/format";
import { Link, planHref, runHref } from "../lib/router";
import { Needed } from "../parts/asks";
import { Empty, PageHead, Skeleton, Trouble } from "../parts/basics";
import { title } from "../parts/runs";
import { Ago } from "../parts/time";
import { Verdict } from "../parts/verdict";

export function Approvals() {
  const list = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  return (
    <>
      <PageHead name="Approvals" sub="Steps of runs that wait for people." />
      <Trouble problem={list.problem} />
      {!list.data && !list.problem && <Skeleton />}
      {list.data?.items.length === 0 && (
        <div className="panel">
          <Empty icon="approvals" title="Nothing waits for an approval">
            <p>As soon as a run wants one, it is listed here and counted beside the name of this page.</p>
          </Empty>
        </div>
      )}
      <ul className="stack">
        {list.data?.items.map((a) => (
          <li key={a.run.id + a.step} className="panel card">
            <div className="row apart">
              <h2>
                <Link className="two-lines" href={runHref(a.run.id)} title={title(a.run)}>
                  {title(a.run)}
                </Link>
              </h2>
              <Link
                className="button primary"
                href={a.plan ? planHref(a.plan, { run: a.run.id, step: a.step }) : runHref(a.run.id)}
              >
                {a.plan ? "Review the plan" : "Decide"}
              </Link>
            </div>
            <p className="muted">
              Step <code>{a.step}</code> in {a.run.environment}, asked by {a.run.actor} <Ago time={a.run.created} />{" "}
              <Needed ask={a} />
              {a.plan && (
                <>
                  {" "}
                  · plan <code data-ref>{short(a.plan)}</code>
                </>
              )}
            </p>
            {a.message && <blockquote>{a.message}</blockquote>}
            {a.plan && <Verdict digest={a.plan} run={a.run.id} />}
          </li>
        ))}
      </ul>
    </>
  );
}
