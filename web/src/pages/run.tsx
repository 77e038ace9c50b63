import { useEffect, useState, type ReactNode } from "react";
import { post, type Page, type Problem, type Run } from "../api/client";
import { adviceOn } from "../lib/advice";
import { useResource } from "../lib/feed";
import { ago, between, short } from "../lib/format";
import { useKeys } from "../lib/keys";
import { go, Link, planHref, runHref, setQuery, stackHref, useLocation } from "../lib/router";
import { useRun, type LiveRun } from "../lib/runstream";
import { Act } from "../parts/act";
import { AskView } from "../parts/asks";
import { Empty, PageHead, Skeleton, Tabs, Trouble, type Tab } from "../parts/basics";
import { Gantt } from "../parts/gantt";
import { StepGraph } from "../parts/graph";
import { Icon } from "../parts/icons";
import { ItemsView } from "../parts/items";
import { Logs } from "../parts/logs";
import { Remains } from "../parts/pruned";
import { RunStatus, RunTable, title } from "../parts/runs";
import { StepPanel, StepTable } from "../parts/steps";

export function RunPage({ id }: { id: string }) {
  const live = useRun(id);
  if (live.run?.pruned) {
    return (
      <>
        <RunHead run={live.run} now={Date.now()} />
        <Remains run={live.run} />
      </>
    );
  }
  if (live.run) return <RunView run={live.run} live={live} />;
  return (
    <>
      <PageHead name="Run" crumbs={[["/runs", "Runs"]]} />
      {live.problem ? <NoRun id={id} problem={live.problem} /> : <Skeleton lines={8} />}
    </>
  );
}

function NoRun({ id, problem }: { id: string; problem: Problem }) {
  if (problem.status !== 404) return <Trouble problem={problem} />;
  return (
    <div className="panel">
      <Empty icon="runs" title="There is no such run">
        <p>
          Nothing that you may look at is called <code>{id}</code>.
        </p>
      </Empty>
    </div>
  );
}

function RunView({ run, live }: { run: Run; live: LiveRun }) {
  const { query } = useLocation();
  const now = useNow(!live.ended);
  const isGraph = run.kind === "workflow" && live.steps.length > 0;
  const children = useResource<Page<Run>>(isGraph ? "/runs" : undefined, { parent: run.id, limit: 100 }, (e) =>
    e.type.startsWith("run."),
  );
  const name = query.get("step") ?? undefined;
  const step = live.steps.find((s) => s.name === name);
  const item = (step?.items && query.get("item")) || undefined;
  const select = (chosen?: string) => setQuery({ step: chosen === name ? undefined : chosen, item: undefined });
  const tabs: Tab[] = [
    ...(isGraph ? [{ id: "graph", title: "Graph" }] : []),
    { id: "timeline", title: "Timeline" },
    { id: "logs", title: "Logs" },
    { id: "steps", title: "Steps", count: live.steps.length },
    ...(step?.items ? [{ id: "items", title: `Items of ${step.name}`, count: step.items }] : []),
    ...(children.data?.items.length ? [{ id: "runs", title: "Runs", count: children.data.items.length }] : []),
  ];
  const asked = query.get("tab");
  const active = tabs.find((t) => t.id === asked)?.id ?? tabs[0]!.id;
  useKeys(
    tabs.map((t, i) => ({
      keys: String(i + 1),
      title: `Show ${t.title.toLowerCase()}`,
      run: () => setQuery({ tab: t.id }),
    })),
  );
  const logs = <Logs run={run.id} logs={live.logs} step={item ?? name} dropped={live.dropped} />;
  const panel = step && (
    <StepPanel
      run={run}
      step={step}
      ended={live.ended}
      onItems={() => setQuery({ tab: "items" })}
      onClose={() => select(undefined)}
    />
  );
  return (
    <>
      <RunHead run={run} now={now}>
        <RunActions run={run} ended={live.ended} />
      </RunHead>
      <div className="stack">
        <WhatNext run={run} live={live} onSelect={select} />
        {live.steps
          .flatMap((s) => s.asks ?? [])
          .map((ask) => (
            <AskView key={ask.step} run={run} ask={ask} />
          ))}
        {run.steps > 0 && !live.ended && (
          <span
            className="meter"
            role="progressbar"
            aria-label="Operations done"
            aria-valuenow={run.done}
            aria-valuemax={run.steps}
          >
            <span style={{ width: `${(100 * run.done) / run.steps}%` }} />
          </span>
        )}
      </div>
      <div style={{ height: 12 }} />
      <Tabs label="About this run" tabs={tabs} active={active} onChange={(id) => setQuery({ tab: id })} />
      {active === "items" && step ? (
        <ItemsView
          run={run}
          step={step}
          chosen={item}
          news={live.steps}
          onChoose={(chosen) => setQuery({ item: chosen })}
          logs={logs}
          aside={panel}
        />
      ) : (
        <div className={step ? "with-side" : ""}>
          <div className="stack">
            {active === "graph" && <StepGraph steps={live.steps} selected={name} onSelect={select} />}
            {active === "timeline" && <Gantt steps={live.steps} now={now} onSelect={select} />}
            {active === "steps" && <StepTable steps={live.steps} onSelect={select} />}
            {active === "runs" && <RunTable runs={children.data?.items ?? []} />}
            {(active === "logs" || (active === "graph" && (live.logs.length > 0 || step))) && logs}
          </div>
          {panel}
        </div>
      )}
    </>
  );
}

function RunHead({ run, now, children }: { run: Run; now: number; children?: ReactNode }) {
  return (
    <PageHead
      name={title(run)}
      crumbs={[["/runs", "Runs"]]}
      beside={<RunStatus run={run} />}
      sub={<RunFacts run={run} now={now} />}
    >
      {children}
    </PageHead>
  );
}

/** What went wrong and what to do about it. */
function WhatNext({ run, live, onSelect }: { run: Run; live: LiveRun; onSelect: (step: string) => void }) {
  const advice = adviceOn(run, live.steps);
  if (!advice) return null;
  const isBad = run.status === "failed";
  return (
    <div className={`callout ${isBad ? "bad" : "warn"}`} role={isBad ? "alert" : "status"}>
      <Icon name={isBad ? "cross" : "warning"} size={18} />
      <div>
        <strong>{advice.title}</strong>
        <p>{advice.text}</p>
        {advice.failed.slice(0, 5).map((s) => (
          <p key={s.name} className="small">
            <button className="link" onClick={() => onSelect(s.name)}>
              {s.name}
            </button>
            : {s.error!.name}: {s.error!.cause}
          </p>
        ))}
        {run.stack && (
          <p>
            <Link href={stackHref({ environment: run.environment, name: run.stack })}>Go to the stack {run.stack}</Link>
          </p>
        )}
      </div>
    </div>
  );
}

function RunActions({ run, ended }: { run: Run; ended: boolean }) {
  const path = `/runs/${encodeURIComponent(run.id)}`;
  const retry = async () => {
    const again = await post<Run>(`${path}/retry`, {});
    go(runHref(again.id));
  };
  return (
    <>
      {run.status === "interrupted" && (
        <Act kind="primary" icon="play" run={() => post(`${path}/resume`)} done="The run goes on.">
          Resume
        </Act>
      )}
      {!ended && (
        <Act
          kind="danger"
          icon="stopped"
          run={() => post(`${path}/cancel`)}
          done={run.cancelling ? "What is running is cut off." : "The run ends after what it is doing."}
          ask={
            run.cancelling
              ? { title: "Cut off what is running?", text: "Nobody will know how far it came." }
              : { title: "Cancel this run?", text: "What is running ends first, and nothing else begins." }
          }
        >
          {run.cancelling ? "Cut off" : "Cancel"}
        </Act>
      )}
      {ended && run.status !== "succeeded" && run.kind === "workflow" && (
        <Act kind="primary" icon="replay" run={retry} done="It is run again.">
          Run again what did not succeed
        </Act>
      )}
    </>
  );
}

function RunFacts({ run, now }: { run: Run; now: number }) {
  return (
    <>
      <code data-ref>{run.id}</code> in {run.environment || "no environment"}, by {run.actor},{" "}
      <span data-time>{ago(run.created, now)}</span>
      {run.started && (
        <>
          , {run.ended ? "took" : "for"}{" "}
          <span className="number" data-time>
            {between(run.started, run.ended ?? new Date(now).toISOString())}
          </span>
        </>
      )}
      {run.plan && (
        <>
          , plan{" "}
          {run.pruned ? (
            <code data-ref>{short(run.plan)}</code>
          ) : (
            <Link href={planHref(run.plan)}>
              <code data-ref>{short(run.plan)}</code>
            </Link>
          )}
        </>
      )}
      {run.parent && (
        <>
          , a step of{" "}
          <Link href={runHref(run.parent)}>
            <code data-ref>{run.parent}</code>
          </Link>
        </>
      )}
      {(run.overrides ?? []).map((o) => (
        <div key={o.rule}>
          The rule {o.rule} was overridden: {o.reason}
        </div>
      ))}
    </>
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
