import { useContext, useEffect, useState } from "react";
import type { FeedEvent, Page } from "../api/client";
import { FeedContext, useResource } from "../lib/feed";
import { Link } from "../lib/router";
import { PageHead, Trouble } from "../parts/basics";

export function Events() {
  const [type, setType] = useState("");
  const past = useResource<Page<FeedEvent>>("/events", { last: 1000, limit: 1000 });
  const feed = useContext(FeedContext);
  const [fresh, setFresh] = useState<FeedEvent[]>([]);
  useEffect(() => feed.listen((e) => setFresh((list) => [...list, e].slice(-5000))), [feed]);
  const known = new Set(past.data?.items.map((e) => e.sequence));
  const all = [...(past.data?.items ?? []), ...fresh.filter((e) => !known.has(e.sequence))]
    .reverse()
    .filter((e) => e.type.includes(type));
  return (
    <>
      <PageHead title="Events" sub="Everything that happened, newest first.">
        <input
          type="search"
          placeholder="Type"
          aria-label="Type of events"
          value={type}
          onChange={(e) => setType(e.target.value)}
        />
      </PageHead>
      <Trouble problem={past.problem} />
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Table">
        <table>
          <thead>
            <tr>
              <th>#</th>
              <th>When</th>
              <th>Type</th>
              <th>About</th>
              <th>By</th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, 500).map((e) => (
              <tr key={e.sequence}>
                <td className="muted">{e.sequence}</td>
                <td title={e.time}>{new Date(e.time).toLocaleString()}</td>
                <td>
                  <code>{e.type}</code>
                </td>
                <td>
                  {e.type.startsWith("run.") ? (
                    <Link href={`/runs/${encodeURIComponent(e.subject ?? "")}`}>{e.subject}</Link>
                  ) : (
                    e.subject
                  )}
                </td>
                <td>{e.actor}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
