import type { Approval, Page, Run, Schemas, Stack } from "../api/client";
import { aboutRuns, aboutState, useResource } from "../lib/feed";
import { ago, count } from "../lib/format";
import { Link, planHref, runHref, stackHref } from "../lib/router";
import { Empty, PageHead, Skeleton, Trouble } from "../parts/basics";
import { Icon, type IconName } from "../parts/icons";
import { RunStatus, RunTable, title } from "../parts/runs";

export function Overview() {
  const runs = useResource<Page<Run>>("/runs", { top: "true", limit: 10 }, aboutRuns);
  const counts = useResource<Schemas["RunCounts"]>("/run-counts", { top: "true" }, aboutRuns).data;
  const approvals = useResource<Page<Approval>>("/approvals", {}, aboutRuns).data?.items;
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutState).data?.items;
  const sum = (of: (s: Stack) => number) => stacks?.reduce((n, s) => n + of(s), 0);
  const objects = sum((s) => s.objects);
  return (
    <>
      <PageHead name="Overview" />
      <div className="stack">
        <Trouble problem={runs.problem} />
        <div className="tiles">
          <Tile
            icon="runs"
            title="Running"
            value={counts?.running}
            href="/runs?status=running"
            note={counts?.waiting ? `of them, ${counts.waiting.toLocaleString("en")} waiting` : "now"}
          />
          <Tile
            icon="approvals"
            title="To approve"
            tone="accent"
            value={approvals?.length}
            href="/approvals"
            note="by people"
          />
          <Tile
            icon="cross"
            title="Failed"
            tone="bad"
            value={counts?.failed}
            href="/runs?status=failed"
            note="in the last 24 hours"
          />
          <Tile
            icon="drift"
            title="Drifted"
            tone="warn"
            value={sum((s) => s.drift?.drifted ?? 0)}
            href="/stacks"
            note={objects !== undefined && `of ${count(objects, "object")}`}
          />
        </div>
        <div className="columns">
          {runs.data ? <RunTable slim head="Latest runs" runs={runs.data.items} /> : <Skeleton />}
          <div className="stack">
            <Waiting list={approvals} />
            <StackList list={stacks} />
          </div>
        </div>
      </div>
    </>
  );
}

function Tile({
  icon,
  title,
  value,
  href,
  note,
  tone,
}: {
  icon: IconName;
  title: string;
  value?: number;
  href: string;
  note?: string | false;
  /** Its colour where there is any. */
  tone?: "accent" | "bad" | "warn";
}) {
  return (
    <Link href={href} className={`panel tile ${tone && value ? `tile-${tone}` : ""}`}>
      <span className="tile-title">
        <Icon name={icon} /> {title}
      </span>
      <span className="tile-value">{value?.toLocaleString("en") ?? "–"}</span>
      {note && <span className="tile-note">{note}</span>}
    </Link>
  );
}

function Waiting({ list }: { list?: Approval[] }) {
  return (
    <section className="panel">
      <div className="panel-head">
        <h2>Waiting for approval</h2>
      </div>
      {!list && <Skeleton lines={2} />}
      {list?.length === 0 && (
        <Empty icon="approvals" title="Nothing waits">
          <p>Steps that need an approval are listed here.</p>
        </Empty>
      )}
      {list?.map((a) => (
        <div className="grid-row" style={{ gridTemplateColumns: "minmax(0, 1fr) auto" }} key={a.run.id + a.step}>
          <div className="clip">
            <Link href={runHref(a.run.id)}>{title(a.run)}</Link>
            <div className="sub-line clip">
              {a.step} · {a.run.environment} · <span data-time>{ago(a.run.created)}</span>
            </div>
          </div>
          <Link
            className="button slim"
            href={a.plan ? planHref(a.plan, { run: a.run.id, step: a.step }) : runHref(a.run.id)}
          >
            Review
          </Link>
        </div>
      ))}
    </section>
  );
}

function StackList({ list }: { list?: Stack[] }) {
  return (
    <section className="panel">
      <div className="panel-head">
        <h2>Stacks</h2>
        <Link href="/stacks">All stacks</Link>
      </div>
      {!list && <Skeleton lines={3} />}
      {list?.slice(0, 8).map((s) => (
        <div
          className="grid-row"
          style={{ gridTemplateColumns: "minmax(0, 1fr) auto 16px" }}
          key={s.environment + "/" + s.name}
        >
          <span className="clip">
            <Link href={stackHref(s)}>{s.name || s.source}</Link> <span className="muted">{s.environment}</span>
          </span>
          <span className="muted number small">{count(s.objects, "object")}</span>
          {s.last_run ? <RunStatus run={s.last_run} alone /> : <span />}
        </div>
      ))}
    </section>
  );
}
