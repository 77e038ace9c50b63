import type { Page, Stack } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { ago } from "../lib/format";
import { Link } from "../lib/router";
import { PageHead, Status, Trouble } from "../parts/basics";

export const stackPath = (s: { environment: string; name: string }) =>
  `/stacks/${encodeURIComponent(s.environment)}/${encodeURIComponent(s.name || "-")}`;

export function Stacks() {
  const stacks = useResource<Page<Stack>>("/stacks", {}, aboutRuns);
  return (
    <>
      <PageHead title="Stacks" />
      <Trouble problem={stacks.problem} />
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
        <table>
          <thead>
            <tr>
              <th>Stack</th>
              <th>Environment</th>
              <th>Objects</th>
              <th>Needs</th>
              <th>Last run</th>
            </tr>
          </thead>
          <tbody>
            {stacks.data?.items.map((s) => (
              <tr key={s.environment + "/" + s.name}>
                <td>
                  <Link href={stackPath(s)}>{s.name || s.source}</Link>
                </td>
                <td>{s.environment}</td>
                <td>{s.objects}</td>
                <td>{s.needs.join(", ")}</td>
                <td>
                  {s.last_run && (
                    <Link href={`/runs/${encodeURIComponent(s.last_run.id)}`}>
                      <Status status={s.last_run.status} /> {ago(s.last_run.created)}
                    </Link>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
