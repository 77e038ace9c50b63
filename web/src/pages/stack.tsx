import { useState } from "react";
import { post, type Output, type Page, type Run, type StackObject } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { go } from "../lib/router";
import { Act, PageHead, Tabs, Trouble } from "../parts/basics";
import { RunTable } from "../parts/runs";

export function StackPage({ environment, stack }: { environment: string; stack: string }) {
  const path = `/environments/${encodeURIComponent(environment)}/stacks/${encodeURIComponent(stack)}`;
  const objects = useResource<Page<StackObject>>(`${path}/objects`, {}, aboutRuns);
  const outputs = useResource<Page<Output>>(`${path}/outputs`, {}, aboutRuns);
  const runs = useResource<Page<Run>>(
    "/runs",
    { stack: stack === "-" ? "" : stack, environment, limit: 50 },
    aboutRuns,
  );
  const [tab, setTab] = useState("objects");
  const [search, setSearch] = useState("");
  const change = (body: object) => async () => {
    const run = await post<Run>(`${path}/changes`, body);
    go(`/runs/${encodeURIComponent(run.id)}`);
  };
  const shown = objects.data?.items.filter((o) => o.address.toLowerCase().includes(search.toLowerCase())) ?? [];
  return (
    <>
      <PageHead title={stack} sub={`in ${environment}`}>
        <Act run={change({ kind: "plan" })}>Plan</Act>
        <Act kind="primary" run={change({ kind: "apply", approve: true })}>
          Plan and apply
        </Act>
      </PageHead>
      <Trouble problem={objects.problem} />
      <Tabs
        tabs={[
          ["objects", `Objects (${objects.data?.items.length ?? 0})`],
          ["outputs", `Outputs (${outputs.data?.items.length ?? 0})`],
          ["history", "History"],
        ]}
        active={tab}
        onChange={setTab}
      />
      {tab === "objects" && (
        <>
          <input
            type="search"
            placeholder="Search"
            aria-label="Search the objects"
            value={search}
            onChange={(e) => setSearch(e.target.value)}
          />
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
            <table>
              <thead>
                <tr>
                  <th>Address</th>
                  <th>Provider</th>
                  <th>Depends on</th>
                </tr>
              </thead>
              <tbody>
                {shown.slice(0, 500).map((o) => (
                  <tr key={o.address}>
                    <td>
                      <code>{o.address}</code> {o.tainted && <span className="tag">tainted</span>}{" "}
                      {o.deposed && <span className="tag">deposed</span>}
                    </td>
                    <td>{o.provider}</td>
                    <td>{o.depends_on.join(", ")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {shown.length > 500 && <p className="muted">{shown.length - 500} more: search for them.</p>}
        </>
      )}
      {tab === "outputs" && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
          <table>
            <tbody>
              {outputs.data?.items.map((o) => (
                <tr key={o.name}>
                  <th scope="row">{o.name}</th>
                  <td>{o.sensitive ? <em>sensitive</em> : <code>{JSON.stringify(o.value)}</code>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {tab === "history" && runs.data && (
        <RunTable
          runs={runs.data.items}
          action={(run) =>
            run.status !== "running" &&
            run.kind !== "rollback" && (
              <Act run={change({ kind: "rollback", run: run.id })} confirm={`Bring back what run ${run.id} changed?`}>
                Roll back
              </Act>
            )
          }
        />
      )}
    </>
  );
}
