import { useEffect, useState } from "react";
import { post, type Run, type Step } from "../api/client";
import { ago, between, short } from "../lib/format";
import { Link } from "../lib/router";
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
  const tabs: [string, string][] = [["timeline", "Timeline"], ["logs", "Logs"], ["steps", "Steps"]];
  if (graph) tabs.unshift(["graph", "Graph"]);
  const path = `/runs/${encodeURIComponent(id)}`;
  return (
    <>
      <PageHead title={title(run)} sub={<Facts run={run} now={now} />}>
        <Status status={run.status} />
        {!live.ended && (
          <Act kind="danger" run={() => post(`${path}/cancel`)} confirm={run.cancelling ? "Cut off what is running?" : "Cancel this run?"}>
            {run.cancelling ? "Cut off" : "Cancel"}
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
        .filter((s) => s.waits === "for approval")
        .map((s) => (
          <Waiting key={s.name} run={run} step={s} />
        ))}
      <Tabs tabs={tabs} active={active} onChange={setTab} />
      {active === "graph" && <StepGraph steps={live.steps} selected={step} onSelect={(name) => setStep(name === step ? undefined : name)} />}
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
      {run.started && <>, {run.ended ? "took" : "for"} {between(run.started, run.ended ?? new Date(now).toISOString())}</>}
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

function Waiting({ run, step }: { run: Run; step: Step }) {
  return (
    <div className="ask">
      <strong>{step.name}</strong> waits for an approval. <Link href={`/approvals`}>Look at what waits</Link>
      <div className="actions">
        <Act kind="primary" run={() => post(`/runs/${encodeURIComponent(run.id)}/decisions`, { step: step.name, decision: "approve" })}>
          Approve
        </Act>
        <Act kind="danger" run={() => post(`/runs/${encodeURIComponent(run.id)}/decisions`, { step: step.name, decision: "reject" })}>
          Reject
        </Act>
      </div>
    </div>
  );
}

export function StepTable({ steps }: { steps: Step[] }) {
  return (
    <div className="table-wrap">
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
