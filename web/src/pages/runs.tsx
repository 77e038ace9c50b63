import { useEffect, useState } from "react";
import { get, type Page, type Run } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { go, useLocation } from "../lib/router";
import { PageHead, Trouble } from "../parts/basics";
import { RunTable } from "../parts/runs";

const statuses = ["", "running", "pending", "interrupted", "succeeded", "failed", "cancelled"];

export function Runs() {
  const { query } = useLocation();
  const status = query.get("status") ?? "";
  const first = useResource<Page<Run>>("/runs", { status, limit: 50 }, aboutRuns);
  const [older, setOlder] = useState<{ runs: Run[]; next?: string }>({ runs: [] });
  useEffect(() => setOlder({ runs: [] }), [status]);
  const next = older.runs.length > 0 ? older.next : first.data?.next;
  const more = async () => {
    const page = await get<Page<Run>>("/runs", { status, limit: 50, cursor: next });
    setOlder((before) => ({ runs: [...before.runs, ...page.items], next: page.next }));
  };
  return (
    <>
      <PageHead title="Runs">
        <label>
          Status{" "}
          <select
            value={status}
            onChange={(e) => go(e.target.value ? `/runs?status=${e.target.value}` : "/runs", true)}
          >
            {statuses.map((s) => (
              <option key={s} value={s}>
                {s || "all"}
              </option>
            ))}
          </select>
        </label>
      </PageHead>
      <Trouble problem={first.problem} />
      {first.data && <RunTable runs={[...first.data.items, ...older.runs]} />}
      {next && (
        <button className="button" onClick={more}>
          Show older runs
        </button>
      )}
    </>
  );
}
