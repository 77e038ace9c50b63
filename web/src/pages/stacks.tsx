import type { Page, Stack } from "../api/client";
import { aboutState, useResource } from "../lib/feed";
import { count } from "../lib/format";
import { Link, runHref, setQuery, stackHref, useLocation, useQueryText } from "../lib/router";
import { Empty, FilterButton, PageHead, QueryFilter, Search, Skeleton, Trouble } from "../parts/basics";
import { Icon } from "../parts/icons";
import { Rows } from "../parts/rows";
import { RunStatus } from "../parts/runs";
import { Status } from "../parts/status";
import { Ago } from "../parts/time";

export function Stacks() {
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutState);
  const { query } = useLocation();
  const [search, setSearch] = useQueryText("search");
  const all = stacks.data?.items ?? [];
  const environments = [...new Set(all.map((s) => s.environment))];
  const environment = query.get("environment");
  const drifted = all.filter((s) => s.drift && s.drift.drifted > 0).length;
  const onlyDrifted = query.get("drifted") === "yes";
  const shown = all.filter(
    (s) =>
      (!onlyDrifted || (s.drift && s.drift.drifted > 0)) &&
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
        {(drifted > 0 || onlyDrifted) && (
          <div className="filters">
            <FilterButton on={onlyDrifted} onClick={() => setQuery({ drifted: onlyDrifted ? undefined : "yes" })}>
              <Icon name="drift" size={14} /> drifted <span className="number">{drifted}</span>
            </FilterButton>
          </div>
        )}
      </div>
      {!stacks.data && !stacks.problem && <Skeleton />}
      {stacks.data && shown.length === 0 && (
        <div className="panel">
          <Empty icon="stacks" title={all.length > 0 ? "No stack is like this" : "No stacks yet"}>
            <p>
              Declare them with <code>stack</code> blocks in a <code>*.tutti.hcl</code> file.
            </p>
          </Empty>
        </div>
      )}
      {shown.length > 0 && (
        <Rows
          label="Stacks"
          columns="minmax(0, 1.5fr) minmax(0, 0.6fr) 72px minmax(0, 1fr) 204px"
          narrow="minmax(0, 1fr) 108px"
          heads={["Stack", "Environment", "Objects", "Needs", "Last run"]}
          wide={["Environment", "Objects", "Needs"]}
          items={shown}
          keyOf={(s) => `${s.environment}/${s.name}`}
        >
          {(s) => (
            <>
              <span role="cell" className="clip">
                <span className="beside">
                  <Link className="clip" href={stackHref(s)} title={s.name || s.source}>
                    {s.name || s.source}
                  </Link>
                  {s.drift && s.drift.drifted > 0 && (
                    <Status status="drifted" word={`${s.drift.drifted.toLocaleString("en")} drifted`} />
                  )}
                </span>
                <span className="narrow sub-line">
                  {s.environment} · {count(s.objects, "object")}
                </span>
              </span>
              <span role="cell" className="wide clip">
                {s.environment}
              </span>
              <span role="cell" className="wide number">
                {s.objects.toLocaleString("en")}
              </span>
              <span role="cell" className="wide clip muted small" title={s.needs.join(", ")}>
                {s.needs.join(", ")}
              </span>
              <span role="cell" className="row tight">
                {s.last_run ? (
                  <>
                    <Link href={runHref(s.last_run.id)}>
                      <RunStatus run={s.last_run} />
                    </Link>
                    <Ago className="muted small" time={s.last_run.created} />
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
