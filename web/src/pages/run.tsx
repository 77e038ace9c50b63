import { useEffect, useState } from "react";
import { post, type Ask, type Run, type Step } from "../api/client";
import { ago, between, short } from "../lib/format";
import { go, Link } from "../lib/router";
import { useRun } from "../lib/runstream";
import { Act, Notice, PageHead, Status, Tabs } from "../parts/basics";
import { Gantt } from "../parts/gantt";
import { StepGraph } from "../parts/graph";
import { Logs } from "../parts/logs";
import { title } from "../parts/runs";

export function RunPage({ id }: { id: string }) {
  const live = useRun(id);
  const [tab, setTab] = useState<string>();
  const [step, setStep] = useState<string>();
  const now = useNow(!live.ended);
  const run = live.run;
  if (!run) return live.broken ? <Notice title="No such run" text={id} /> : null;
  const graph = live.steps.some((s) => s.needs.length > 0) || run.kind === "workflow";
  const active = tab ?? (graph ? "graph" : "timeline");
  const tabs: [string, string][] = [
    ["timeline", "Timeline"],
    ["logs", "Logs"],
    ["steps", "Steps"],
  ];
  if (graph) tabs.unshift(["graph", "Graph"]);
  const path = `/runs/${encodeURIComponent(id)}`;
  return (
    <>
      <PageHead title={title(run)} sub={<Facts run={run} now={now} />}>
        <Status status={run.status} />
        {!live.ended && (
          <Act
            kind="danger"
            run={() => post(`${path}/cancel`)}
            confirm={run.cancelling ? "Cut off what is running?" : "Cancel this run?"}
          >
            {run.cancelling ? "Cut off" : "Cancel"}
          </Act>
        )}
        {live.ended && run.status !== "succeeded" && run.kind === "workflow" && (
          <Act
            kind="primary"
            run={async () => {
              const again = await post<Run>(`${path}/retry`, {});
              go(`/runs/${encodeURIComponent(again.id)}`);
            }}
          >
            Run again what did not succeed
          </Act>
        )}
        {run.status === "interrupted" && (
          <Act kind="primary" run={() => post(`${path}/resume`)}>
            Resume
          </Act>
        )}
      </PageHead>
      {run.problem && (
        <div className="trouble" role="alert">
          <strong>{run.problem}</strong>
        </div>
      )}
      {live.steps
        .flatMap((s) => s.asks ?? [])
        .map((ask) => (
          <Waiting key={ask.step} run={run} ask={ask} />
        ))}
      <Tabs tabs={tabs} active={active} onChange={setTab} />
      {active === "graph" && (
        <StepGraph steps={live.steps} selected={step} onSelect={(name) => setStep(name === step ? undefined : name)} />
      )}
      {active === "timeline" && <Gantt steps={live.steps} now={now} />}
      {active === "steps" && <StepTable steps={live.steps} />}
      {(active === "logs" || (active === "graph" && (live.logs.length > 0 || step))) && (
        <>
          {step && (
            <p>
              Of step <code>{step}</code>{" "}
              <button className="link" onClick={() => setStep(undefined)}>
                show all
              </button>
            </p>
          )}
          <Logs logs={live.logs} step={step} dropped={live.dropped} />
        </>
      )}
    </>
  );
}

function Facts({ run, now }: { run: Run; now: number }) {
  return (
    <>
      <code>{run.id}</code> in {run.environment || "no environment"}, by {run.actor}, {ago(run.created, now)}
      {run.started && (
        <>
          , {run.ended ? "took" : "for"} {between(run.started, run.ended ?? new Date(now).toISOString())}
        </>
      )}
      {run.plan && (
        <>
          , plan <code>{short(run.plan)}</code>
        </>
      )}
      {run.parent && (
        <>
          , a step of <Link href={`/runs/${encodeURIComponent(run.parent)}`}>{run.parent}</Link>
        </>
      )}
    </>
  );
}

/** What a step wants of people. A plan is approved where it can be read. */
function Waiting({ run, ask }: { run: Run; ask: Ask }) {
  const path = `/runs/${encodeURIComponent(run.id)}`;
  if (ask.event) {
    return (
      <div className="ask">
        <span>
          <strong>{ask.step}</strong> waits for the event <code>{ask.event}</code>.
        </span>
        <Act run={() => post(`${path}/signals`, { event: ask.event })}>Say that it happened</Act>
      </div>
    );
  }
  return (
    <div className="ask">
      <div>
        <strong>{ask.step}</strong> waits for an approval <Needed ask={ask} />
        {ask.message && <blockquote>{ask.message}</blockquote>}
      </div>
      <div className="actions">
        {ask.plan ? (
          <Link
            className="button primary"
            href={`/plans/${ask.plan}?run=${encodeURIComponent(run.id)}&step=${encodeURIComponent(ask.step)}`}
          >
            Review the plan
          </Link>
        ) : (
          <Act kind="primary" run={() => post(`${path}/decisions`, { step: ask.step, decision: "approve" })}>
            Approve
          </Act>
        )}
        <Act
          kind="danger"
          run={() => post(`${path}/decisions`, { step: ask.step, decision: "reject" })}
          confirm={`Reject ${ask.step}?`}
        >
          Reject
        </Act>
      </div>
    </div>
  );
}

export function Needed({ ask }: { ask: { roles?: string[] | null; count?: number; by?: string[] | null } }) {
  const by = ask.by ?? [];
  return (
    <span className="muted">
      {(ask.count ?? 1) > 1 && `of ${ask.count} people`}{" "}
      {(ask.roles ?? []).length > 0 && `by ${ask.roles!.join(" or ")}`}
      {by.length > 0 && `; approved by ${by.join(", ")}`}
    </span>
  );
}

export function StepTable({ steps }: { steps: Step[] }) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            <th>Status</th>
            <th>Step</th>
            <th>Does</th>
            <th>Took</th>
            <th>Needs</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((s) => (
            <tr key={s.name + s.action}>
              <td>
                <Status status={s.status} />
              </td>
              <td>
                {s.run ? <Link href={`/runs/${encodeURIComponent(s.run)}`}>{s.name}</Link> : s.name}
                {s.error && (
                  <div className="problem">
                    {s.error.name}: {s.error.cause}
                  </div>
                )}
              </td>
              <td>{s.action}</td>
              <td>{s.status === "waiting" ? "" : between(s.begun, s.ended)}</td>
              <td>{s.needs.join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function useNow(ticking: boolean): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    if (!ticking) return;
    const timer = window.setInterval(() => set(Date.now()), 1000);
    return () => window.clearInterval(timer);
  }, [ticking]);
  return now;
}
