import type { Page, Workflow } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { count } from "../lib/format";
import { Link, useQueryText, workflowHref } from "../lib/router";
import { Declared, PageHead, Search } from "../parts/basics";
import { History } from "../parts/runs";
import { Ago } from "../parts/time";

export function Workflows() {
  const list = useResource<Page<Workflow>>("/workflows", {}, aboutRuns);
  const [search, setSearch] = useQueryText("search");
  const shown = list.data?.items.filter((w) =>
    `${w.name} ${w.description ?? ""}`.toLowerCase().includes(search.toLowerCase()),
  );
  return (
    <>
      <PageHead name="Workflows" sub="What the project declares to be done in steps." />
      {list.data && list.data.items.length > 6 && (
        <div className="toolbar">
          <Search label="Search workflows" value={search} onChange={setSearch} />
        </div>
      )}
      <Declared icon="workflows" many="workflows" block="workflow" list={list} shown={shown} keyOf={(w) => w.name}>
        {(w) => (
          <>
            <h2>
              <Link href={workflowHref(w.name)}>{w.name}</Link>
            </h2>
            {w.description && <p>{w.description}</p>}
            <div className="row apart card-foot">
              <span className="muted small">
                {w.state_machine ? "state machine" : count(w.steps.length, "step")} ·{" "}
                {w.last_runs?.[0] ? (
                  <>
                    last run <Ago time={w.last_runs[0].created} />
                  </>
                ) : (
                  "never run"
                )}
              </span>
              <History runs={w.last_runs ?? []} />
            </div>
          </>
        )}
      </Declared>
    </>
  );
}
