import type { Approval, Page, Run, Stack } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { Link } from "../lib/router";
import { PageHead, Trouble } from "../parts/basics";
import { RunTable } from "../parts/runs";

export function Overview() {
  const runs = useResource<Page<Run>>("/runs", { limit: 10 }, aboutRuns);
  const running = useResource<Page<Run>>("/runs", { status: "running", limit: 100 }, aboutRuns);
  const failed = useResource<Page<Run>>("/runs", { status: "failed", limit: 100 }, aboutRuns);
  const approvals = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutRuns);
  const objects = stacks.data?.items.reduce((n, s) => n + s.objects, 0);
  return (
    <>
      <PageHead title="Overview" />
      <Trouble problem={runs.problem} />
      <div className="tiles">
        <Tile title="Running" value={running.data?.items.length} href="/runs?status=running" />
        <Tile title="Waiting for approval" value={approvals.data?.items.length} href="/approvals" />
        <Tile title="Failed" value={failed.data?.items.length} href="/runs?status=failed" />
        <Tile title="Objects" value={objects} href="/stacks" />
      </div>
      <h2>Latest runs</h2>
      {runs.data && <RunTable runs={runs.data.items} />}
    </>
  );
}

function Tile({ title, value, href }: { title: string; value?: number; href: string }) {
  return (
    <Link href={href} className="tile">
      <span className="tile-value">{value ?? "–"}</span>
      <span className="tile-title">{title}</span>
    </Link>
  );
}
