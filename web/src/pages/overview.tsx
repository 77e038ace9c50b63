import type { Approval, Page, Run, Stack } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { ago, count } from "../lib/format";
import { Link, planHref, runHref, stackHref } from "../lib/router";
import { Empty, PageHead, Skeleton, Trouble } from "../parts/basics";
import { Icon, type IconName } from "../parts/icons";
import { RunTable, title } from "../parts/runs";
import { Status } from "../parts/status";

export function Overview() {
  const runs = useResource<Page<Run>>("/runs", { limit: 10 }, aboutRuns);
  const running = useResource<Page<Run>>("/runs", { status: "running", limit: 100 }, aboutRuns);
  const failed = useResource<Page<Run>>("/runs", { status: "failed", limit: 100 }, aboutRuns);
  const approvals = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutRuns);
  const objects = stacks.data?.items.reduce((n, s) => n + s.objects, 0);
  return (
    <>
      <PageHead name="Overview" />
      <div className="stack">
        <Trouble problem={runs.problem} />
        <div className="tiles">
          <Tile icon="runs" title="Running" value={running.data?.items.length} href="/runs?status=running" />
          <Tile icon="approvals" title="Waiting for approval" value={approvals.data?.items.length} href="/approvals" />
          <Tile icon="cross" title="Failed" value={failed.data?.items.length} href="/runs?status=failed" />
          <Tile
            icon="box"
            title="Objects"
            value={objects}
            href="/stacks"
            note={stacks.data && `in ${count(stacks.data.items.length, "stack")}`}
          />
        </div>
        <div className="columns">
          <section className="stack" style={{ gap: 8 }}>
            <h2>Latest runs</h2>
            {runs.data ? <RunTable slim runs={runs.data.items} /> : <Skeleton />}
          </section>
          <div className="stack">
            <Waiting list={approvals.data?.items} />
            <StackList list={stacks.data?.items} />
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
}: {
  icon: IconName;
  title: string;
  value?: number;
  href: string;
  note?: string;
}) {
  return (
    <Link href={href} className="panel tile">
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
        <h2>Waiting for you</h2>
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
          style={{ gridTemplateColumns: "minmax(0, 1fr) auto auto" }}
          key={s.environment + "/" + s.name}
        >
          <span className="clip">
            <Link href={stackHref(s)}>{s.name || s.source}</Link> <span className="muted">{s.environment}</span>
          </span>
          <span className="muted number small">{count(s.objects, "object")}</span>
          {s.last_run ? <Status status={s.last_run.status} alone /> : <span />}
        </div>
      ))}
    </section>
  );
}
