import type { ReactNode } from "react";
import type { Run } from "../api/client";
import { ago, between } from "../lib/format";
import { Link, runHref } from "../lib/router";
import { Empty } from "./basics";
import { Status } from "./status";

/** A table of runs; a slim one leaves out what the page of a run says. */
export function RunTable({
  runs,
  action,
  head,
  slim = false,
}: {
  runs: Run[];
  /** What stands above it. */
  head?: string;
  action?: (run: Run) => ReactNode;
  slim?: boolean;
}) {
  if (runs.length === 0) {
    return (
      <div className="panel">
        {head && <RunTableHead text={head} />}
        <Empty icon="runs" title="No runs yet">
          <p>Plan a stack or start a workflow, here or with the commands: it shows up at once.</p>
        </Empty>
      </div>
    );
  }
  return (
    <div className="panel">
      {head && <RunTableHead text={head} />}
      <table className={action && "acts"}>
        <thead>
          <tr>
            <th>Status</th>
            <th>Run</th>
            <th className="wide">Environment</th>
            {!slim && <th className="wide">By</th>}
            {!slim && <th className="wide">Took</th>}
            <th className={action && "wide"}>When</th>
            {action && (
              <th>
                <span className="hidden-text">Action</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <td className="fit">
                <RunStatus run={run} />
              </td>
              <td>
                <Link href={runHref(run.id)}>{title(run)}</Link>
                {run.problem ? (
                  <div className="problem">{run.problem}</div>
                ) : (
                  <div className="sub-line mono" data-ref>
                    {run.id}
                  </div>
                )}
              </td>
              <td className="wide">{run.environment}</td>
              {!slim && <td className="wide">{run.actor}</td>}
              {!slim && (
                <td className="wide number fit" data-time>
                  {between(run.started, run.ended)}
                </td>
              )}
              <td className={action ? "wide fit muted" : "fit muted"} title={run.created} data-time>
                {ago(run.created)}
              </td>
              {action && <td className="fit">{action(run)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RunTableHead({ text }: { text: string }) {
  return (
    <div className="panel-head">
      <h2>{text}</h2>
      <Link href="/runs">All runs</Link>
    </div>
  );
}

/** How a run stands, in words: whether it waits for somebody, too. */
const standing = (run: Run) => (waits(run) ? `waiting for ${run.waits}` : run.status);

const waits = (run: Run) => run.status === "running" && run.waits !== undefined;

/** How a run stands. Alone, the words are only for those who listen. */
export function RunStatus({ run, alone }: { run: Run; alone?: boolean }) {
  if (!waits(run)) return <Status status={run.status} alone={alone} />;
  const word = (
    <>
      waiting <span className="wide">for {run.waits}</span>
    </>
  );
  return <Status status="waiting" word={alone ? standing(run) : word} alone={alone} />;
}

/** What a run does, in a few words. */
export function title(run: Run): string {
  if (run.stack) return `${run.kind} ${run.stack}: ${run.summary}`;
  return run.summary || run.kind;
}

/** The last runs of something as a row of shapes, the newest first. */
export function History({ runs }: { runs: Run[] }) {
  return (
    <span className="history">
      {runs.map((r) => (
        <Link key={r.id} href={runHref(r.id)} title={`${standing(r)}, ${ago(r.created)}`}>
          <RunStatus run={r} alone />
        </Link>
      ))}
    </span>
  );
}
