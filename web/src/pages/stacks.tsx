import { useState } from "react";
import type { Page, Stack } from "../api/client";
import { aboutState, useResource } from "../lib/feed";
import { ago, count } from "../lib/format";
import { Link, runHref, stackHref, useLocation } from "../lib/router";
import { Empty, PageHead, QueryFilter, Search, Skeleton, Trouble } from "../parts/basics";
import { Rows } from "../parts/rows";
import { RunStatus } from "../parts/runs";
import { Status } from "../parts/status";

export function Stacks() {
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutState);
  const { query } = useLocation();
  const [search, setSearch] = useState("");
  const all = stacks.data?.items ?? [];
  const environments = [...new Set(all.map((s) => s.environment))];
  const environment = query.get("environment");
  const shown = all.filter(
    (s) =>
      (!environment || s.environment === environment) &&
      `${s.name} ${s.source}`.toLowerCase().includes(search.toLowerCase()),
  );
  return (
    <>
      <PageHead name="Stacks" sub="Root modules with a state in each environment." />
      <Trouble problem={stacks.problem} />
      <div className="toolbar">
        <Search label="Search stacks" value={search} onChange={setSearch} />
        {environments.length > 1 && <QueryFilter label="Environment" parameter="environment" values={environments} />}
      </div>
      {!stacks.data && !stacks.problem && <Skeleton />}
      {stacks.data && shown.length === 0 && (
        <div className="panel">
          <Empty icon="stacks" title={all.length > 0 ? "No stack is called so" : "No stacks yet"}>
            <p>
              Declare them with <code>stack</code> blocks in a <code>*.tutti.hcl</code> file.
            </p>
          </Empty>
        </div>
      )}
      {shown.length > 0 && (
        <Rows
          label="Stacks"
          columns="minmax(0, 1.4fr) minmax(0, 0.7fr) 72px minmax(0, 1fr)"
          narrow="minmax(0, 1fr) 108px"
          heads={["Stack", "Environment", "Objects", "Last run"]}
          wide={["Environment", "Objects"]}
          items={shown}
          keyOf={(s) => `${s.environment}/${s.name}`}
        >
          {(s) => (
            <>
              <span role="cell" className="clip">
                <Link href={stackHref(s)}>{s.name || s.source}</Link>{" "}
                {s.drift && s.drift.drifted > 0 && (
                  <Status status="drifted" word={`${count(s.drift.drifted, "object")} drifted`} />
                )}
                <div className="sub-line clip">
                  <span className="narrow">
                    {s.environment} · {count(s.objects, "object")}
                    {s.needs.length > 0 && " · "}
                  </span>
                  {s.needs.length > 0 && `needs ${s.needs.join(", ")}`}
                </div>
              </span>
              <span role="cell" className="wide clip">
                {s.environment}
              </span>
              <span role="cell" className="wide number">
                {s.objects.toLocaleString("en")}
              </span>
              <span role="cell" className="row tight">
                {s.last_run ? (
                  <>
                    <Link href={runHref(s.last_run.id)}>
                      <RunStatus run={s.last_run} />
                    </Link>
                    <span className="muted small" data-time>
                      {ago(s.last_run.created)}
                    </span>
                  </>
                ) : (
                  <span className="muted">never</span>
                )}
              </span>
            </>
          )}
        </Rows>
      )}
    </>
  );
}
