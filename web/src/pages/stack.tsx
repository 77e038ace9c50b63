import { Fragment, useMemo } from "react";
import { post, type Output, type Page, type Run, type Schemas, type Stack, type StackObject } from "../api/client";
import { aboutRuns, aboutState, useResource } from "../lib/feed";
import { count } from "../lib/format";
import { useKeys } from "../lib/keys";
import { go, Link, runHref, setQuery, stackHref, useLocation, useQueryText } from "../lib/router";
import { Act } from "../parts/act";
import { Empty, PageHead, Search, Skeleton, Tabs, Trouble, type Tab } from "../parts/basics";
import { Copy } from "../parts/copy";
import { DriftView, type Drift } from "../parts/drift";
import { Icon } from "../parts/icons";
import { ResourceGraph } from "../parts/resourcegraph";
import { Rows } from "../parts/rows";
import { RunTable } from "../parts/runs";
import { Status } from "../parts/status";
import { Ago } from "../parts/time";

export function StackPage({ environment, stack }: { environment: string; stack: string }) {
  const path = `/environments/${encodeURIComponent(environment)}/stacks/${encodeURIComponent(stack)}`;
  const objects = useResource<Page<StackObject>>(`${path}/objects`, {}, aboutRuns);
  const outputs = useResource<Page<Output>>(`${path}/outputs`, {}, aboutRuns);
  const drift = useResource<Drift>(`${path}/drift`, {}, aboutState);
  const drifted = useMemo(() => new Set(drift.data?.changes.map((c) => c.address)), [drift.data]);
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutState);
  const about = stacks.data?.items.find((s) => (s.name || "-") === stack && s.environment === environment);
  const { query } = useLocation();
  const change = (body: object) => async () => {
    const run = await post<Run>(`${path}/changes`, body);
    go(runHref(run.id));
  };
  const tabs: Tab[] = [
    { id: "graph", title: "Graph" },
    { id: "objects", title: "Objects", count: objects.data?.items.length },
    { id: "outputs", title: "Outputs", count: outputs.data?.items.length },
    { id: "drift", title: "Drift", count: drift.data?.changes.length },
    { id: "history", title: "History" },
    { id: "revisions", title: "Changes" },
  ];
  const active = tabs.find((t) => t.id === query.get("tab"))?.id ?? "graph";
  useKeys(
    tabs.map((t, i) => ({
      keys: String(i + 1),
      title: `Show ${t.title.toLowerCase()}`,
      run: () => setQuery({ tab: t.id, search: undefined }, true),
    })),
  );
  return (
    <>
      <PageHead
        name={stack === "-" ? "This directory" : stack}
        crumbs={[
          ["/stacks", "Stacks"],
          [`/stacks?environment=${encodeURIComponent(environment)}`, environment],
        ]}
        sub={about && <About stack={about} />}
        beside={drifted.size > 0 && <Status status="drifted" word={`${count(drifted.size, "object")} drifted`} />}
      >
        <Act run={change({ kind: "plan" })}>Plan</Act>
        <Act kind="primary" icon="play" run={change({ kind: "apply", approve: true })}>
          Plan and apply
        </Act>
        <Act
          kind="danger"
          run={change({ kind: "destroy", approve: true })}
          ask={{
            title: "Plan to destroy everything in this stack?",
            text: "A run plans it and waits for an approval of the plan before anything is destroyed.",
          }}
        >
          Destroy
        </Act>
      </PageHead>
      <Trouble problem={objects.problem} />
      <Tabs
        label="About this stack"
        tabs={tabs}
        active={active}
        onChange={(id) => setQuery({ tab: id, search: undefined }, true)}
      />
      {!objects.data && !objects.problem && <Skeleton />}
      {objects.data && active === "graph" && <Graph objects={objects.data.items} drifted={drifted} />}
      {objects.data && active === "objects" && <Objects objects={objects.data.items} />}
      {active === "outputs" && <Outputs outputs={outputs.data?.items ?? []} />}
      {active === "drift" && (
        <DriftView path={path} drift={drift} onRepair={change({ kind: "apply", approve: true })} />
      )}
      {active === "history" && <RunHistory environment={environment} stack={stack} change={change} />}
      {active === "revisions" && <Revisions path={path} />}
    </>
  );
}

function About({ stack }: { stack: Stack }) {
  return (
    <>
      <code>{stack.source}</code> · {count(stack.objects, "object")}
      {stack.needs.length > 0 && (
        <>
          {" · "}needs{" "}
          {stack.needs.map((name, i) => (
            <Fragment key={name}>
              {i > 0 && ", "}
              <Link href={stackHref({ environment: stack.environment, name })}>{name}</Link>
            </Fragment>
          ))}
        </>
      )}
      {stack.last_run && (
        <>
          {" · "}last run <Link href={runHref(stack.last_run.id)}>{stack.last_run.status}</Link>{" "}
          <Ago time={stack.last_run.created} />
        </>
      )}
    </>
  );
}

function NoObjects() {
  return (
    <div className="panel">
      <Empty icon="box" title="No objects yet">
        <p>Plan and apply the stack: what it makes is shown here.</p>
      </Empty>
    </div>
  );
}

function Graph({ objects, drifted }: { objects: StackObject[]; drifted: Set<string> }) {
  if (objects.length === 0) return <NoObjects />;
  return <ResourceGraph objects={objects} drifted={drifted} onSelect={showObject} />;
}

/** Goes to an object in the list. */
function showObject(address: string) {
  setQuery({ tab: "objects", search: address }, true);
}

function Objects({ objects }: { objects: StackObject[] }) {
  const [search, setSearch] = useQueryText("search");
  const shown = objects.filter((o) => `${o.address} ${o.provider}`.toLowerCase().includes(search.toLowerCase()));
  if (objects.length === 0) return <NoObjects />;
  return (
    <>
      <div className="toolbar">
        <Search label="Search objects" value={search} onChange={setSearch} />
        <span className="muted small">{count(shown.length, "object")}</span>
      </div>
      {shown.length === 0 && (
        <div className="panel">
          <Empty icon="search" title="No object is called so" />
        </div>
      )}
      <Rows
        label="Objects"
        columns="minmax(0, 1.6fr) minmax(0, 1fr) minmax(0, 1fr)"
        narrow="minmax(0, 1.6fr) minmax(0, 1fr)"
        heads={["Address", "Provider", "Needs"]}
        wide={["Provider"]}
        items={shown}
        keyOf={(o) => o.address + (o.deposed ?? "")}
      >
        {(o) => (
          <>
            <span role="cell" className="beside">
              <code className="clip" title={o.address}>
                {o.address}
              </code>
              <Copy text={o.address} what="the address" />
              {o.mode === "data" && <span className="tag">data</span>}
              {o.tainted && <span className="tag warn">tainted</span>}
              {o.deposed && <span className="tag warn">deposed</span>}
            </span>
            <span role="cell" className="wide clip muted small" title={o.provider}>
              {o.provider.replace(/^registry\.[\w.]+\//, "")}
            </span>
            <span role="cell" className="clip muted small" title={o.depends_on.join(", ")}>
              {o.depends_on.join(", ")}
            </span>
          </>
        )}
      </Rows>
    </>
  );
}

function Outputs({ outputs }: { outputs: Output[] }) {
  if (outputs.length === 0) {
    return (
      <div className="panel">
        <Empty icon="arrow" title="No outputs">
          <p>Values of output blocks are shown here once the stack is applied.</p>
        </Empty>
      </div>
    );
  }
  return (
    <Rows
      label="Outputs"
      columns="minmax(0, 1fr) minmax(0, 2.5fr)"
      heads={["Name", "Value"]}
      items={outputs}
      keyOf={(o) => o.name}
    >
      {(o) => (
        <>
          <code role="rowheader" className="at-top clip" title={o.name}>
            {o.name}
          </code>
          <span role="cell">
            {o.sensitive ? (
              <span className="diff-said">
                <Icon name="lock" size={12} />
                (sensitive)
              </span>
            ) : (
              <span className="beside at-top">
                <code className="output">{JSON.stringify(o.value, null, 2)}</code>
                <Copy
                  text={typeof o.value === "string" ? o.value : JSON.stringify(o.value)}
                  what={`the value of ${o.name}`}
                />
              </span>
            )}
          </span>
        </>
      )}
    </Rows>
  );
}

function RunHistory({
  environment,
  stack,
  change,
}: {
  environment: string;
  stack: string;
  change: (body: object) => () => Promise<void>;
}) {
  const name = stack === "-" ? "" : stack;
  const runs = useResource<Page<Run>>("/runs", { stack: name, environment, limit: 50 }, aboutRuns);
  if (!runs.data) return <Skeleton />;
  const canRollBack = (run: Run) => run.ended && !["rollback", "workflow", "refresh"].includes(run.kind);
  return (
    <RunTable
      runs={runs.data.items}
      action={(run) =>
        canRollBack(run) && (
          <Act
            kind="slim"
            icon="rollback"
            run={change({ kind: "rollback", run: run.id, approve: true })}
            ask={{
              title: "Roll this run back?",
              text: `What run ${run.id} changed is brought back as it was before: what it made is destroyed, what it changed is changed back, what it destroyed is made again. The plan of that waits for an approval.`,
            }}
          >
            Roll back
          </Act>
        )
      }
    />
  );
}

/** What changed each object, newest first. */
function Revisions({ path }: { path: string }) {
  const list = useResource<Page<Schemas["Revision"]>>(`${path}/revisions`, { limit: 1000 }, aboutRuns);
  const [search, setSearch] = useQueryText("search");
  if (!list.data) return <Skeleton />;
  const shown = list.data.items.filter((r) => `${r.address} ${r.cause}`.toLowerCase().includes(search.toLowerCase()));
  return (
    <>
      <div className="toolbar">
        <Search label="Search changes" value={search} onChange={setSearch} />
      </div>
      <Rows
        label="Changes of objects"
        columns="minmax(0, 1.6fr) 96px minmax(0, 1fr) 110px"
        narrow="minmax(0, 1fr) 64px 84px"
        heads={["Object", "Cause", "Run", "When"]}
        wide={["Run"]}
        items={shown.map((r, i) => ({ ...r, key: String(i) }))}
        keyOf={(r) => r.key}
      >
        {(r) => (
          <>
            <code role="cell" className="clip" title={r.address}>
              {r.address}
            </code>
            <span role="cell">{r.cause}</span>
            <span role="cell" className="wide clip">
              {r.run ? (
                <Link href={runHref(r.run)}>
                  <code data-ref>{r.run}</code>
                </Link>
              ) : (
                <span className="muted">by hand</span>
              )}
            </span>
            <span role="cell" className="muted small">
              <Ago time={r.at} />
            </span>
          </>
        )}
      </Rows>
    </>
  );
}
