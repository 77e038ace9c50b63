import { useEffect, useState } from "react";
import { get, type Page, type Run } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { setQuery, useLocation } from "../lib/router";
import { Act } from "../parts/act";
import { PageHead, QueryFilter, Search, Skeleton, Trouble } from "../parts/basics";
import { RunTable, title } from "../parts/runs";

const statuses = ["running", "waiting", "pending", "interrupted", "succeeded", "failed", "cancelled"];
const atOnce = 50;

export function Runs() {
  const { query } = useLocation();
  const status = query.get("status") ?? "";
  const top = query.get("steps") !== "yes";
  const asked = { status, top: top ? "true" : undefined, limit: atOnce };
  const [search, setSearch] = useState("");
  const first = useResource<Page<Run>>("/runs", asked, aboutRuns);
  const [older, setOlder] = useState<{ runs: Run[]; next?: string }>({ runs: [] });
  useEffect(() => setOlder({ runs: [] }), [status, top]);
  const next = older.runs.length > 0 ? older.next : first.data?.next;
  const more = async () => {
    const page = await get<Page<Run>>("/runs", { ...asked, cursor: next });
    setOlder((before) => ({ runs: [...before.runs, ...page.items], next: page.next }));
  };
  const want = search.toLowerCase();
  const runs = [...(first.data?.items ?? []), ...older.runs].filter((r) =>
    `${title(r)} ${r.id} ${r.actor} ${r.environment}`.toLowerCase().includes(want),
  );
  return (
    <>
      <PageHead name="Runs" sub="Everything that was begun, newest first." />
      <div className="toolbar">
        <Search label="Search runs" value={search} onChange={setSearch} />
        <QueryFilter label="Status" parameter="status" values={statuses} />
        <label className="check">
          <input
            type="checkbox"
            checked={!top}
            onChange={(e) => setQuery({ steps: e.target.checked ? "yes" : undefined })}
          />
          Steps of other runs, too
        </label>
      </div>
      <Trouble problem={first.problem} />
      <div className="stack">
        {first.data ? <RunTable runs={runs} /> : <Skeleton />}
        {next && (
          <div>
            <Act run={more}>Show older runs</Act>
          </div>
        )}
      </div>
    </>
  );
}
