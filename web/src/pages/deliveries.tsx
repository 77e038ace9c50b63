import { useEffect, useState } from "react";
import { get, post, type Page, type Schemas } from "../api/client";
import { useResource } from "../lib/feed";
import { Link, setQuery, useLocation } from "../lib/router";
import { Act } from "../parts/act";
import { Empty, Facts, PageHead, QueryFilter, SidePanel, Skeleton, Trouble } from "../parts/basics";
import { Rows } from "../parts/rows";
import { Status } from "../parts/status";
import { Ago, Until } from "../parts/time";

type Delivery = Schemas["Delivery"];

const atOnce = 100;
const statuses = ["pending", "delivered", "dead"];

/** What was told to others, as notify blocks say, and what is to be. */
export function Deliveries() {
  const { query } = useLocation();
  const status = query.get("status") ?? undefined;
  const notify = query.get("notify") ?? undefined;
  const chosen = Number(query.get("delivery") ?? 0);
  const asked = { status, notify, limit: atOnce };
  // Whatever happens may be something to tell.
  const first = useResource<Page<Delivery>>("/deliveries", asked, () => true);
  useAgainWhenDue(first.data?.items, first.reload);
  const [older, setOlder] = useState<{ list: Delivery[]; next?: string }>({ list: [] });
  useEffect(() => setOlder({ list: [] }), [status, notify]);
  const next = older.list.length > 0 ? older.next : first.data?.next;
  const more = async () => {
    const page = await get<Page<Delivery>>("/deliveries", { ...asked, cursor: next });
    setOlder((before) => ({ list: [...before.list, ...page.items], next: page.next }));
  };
  const known = new Map([...older.list, ...(first.data?.items ?? [])].map((d) => [d.id, d]));
  const list = [...known.values()].sort((a, b) => b.id - a.id);
  const names = [...new Set([...list.map((d) => d.notify), ...(notify ? [notify] : [])])].sort();
  return (
    <>
      <PageHead name="Deliveries" sub="What notify blocks tell others: chats, hosts of code, other servers." />
      <Trouble problem={first.problem} />
      <div className="toolbar">
        <QueryFilter label="Status" parameter="status" values={statuses} />
        {names.length > 1 && <QueryFilter label="Notify block" parameter="notify" values={names} />}
      </div>
      {!first.data && !first.problem && <Skeleton lines={6} />}
      {first.data && list.length === 0 && <Nothing filtered={Boolean(status ?? notify)} />}
      <div className={chosen ? "with-side" : ""}>
        <div className="stack">
          {list.length > 0 && (
            <Rows
              label="Deliveries"
              columns="112px minmax(0, 0.6fr) minmax(0, 1.6fr) 76px 84px"
              narrow="112px minmax(0, 1fr) 76px"
              heads={["Status", "To", "Event", "Attempts", "When"]}
              wide={["Event", "Attempts"]}
              items={list}
              keyOf={(d) => String(d.id)}
            >
              {(d) => <DeliveryCells delivery={d} chosen={d.id === chosen} />}
            </Rows>
          )}
          {next && (
            <div>
              <Act run={more}>Show older deliveries</Act>
            </div>
          )}
        </div>
        {chosen > 0 && <DeliveryPanel key={chosen} id={chosen} onRetried={first.reload} />}
      </div>
    </>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  return (
    <div className="panel">
      {filtered ? (
        <Empty icon="deliveries" title="No delivery is like this" />
      ) : (
        <Empty icon="deliveries" title="Nothing was told to others">
          <p>
            Write <code>notify</code> blocks in a <code>*.tutti.hcl</code> file: what they tell of is listed here, with
            what came of it.
          </p>
        </Empty>
      )}
    </div>
  );
}

function DeliveryCells({ delivery: d, chosen }: { delivery: Delivery; chosen: boolean }) {
  return (
    <>
      <span role="cell">
        <Status status={d.status} />
      </span>
      <span role="cell" className="clip">
        <button
          className="link clip"
          aria-pressed={chosen}
          onClick={() => setQuery({ delivery: chosen ? undefined : String(d.id) })}
        >
          {d.notify}
        </button>
        <div className="narrow">
          <What delivery={d} />
        </div>
      </span>
      <span role="cell" className="wide clip">
        <What delivery={d} />
      </span>
      <span role="cell" className="wide number muted">
        {d.attempts}
      </span>
      <span role="cell" className="muted small">
        <Ago time={d.ended ?? d.queued} />
      </span>
    </>
  );
}

/** What a delivery tells of, and why it is not there yet. */
function What({ delivery: d }: { delivery: Delivery }) {
  return (
    <>
      <div className="clip mono">{d.type}</div>
      {d.problem && d.status !== "delivered" && (
        <div className="problem clip" title={d.problem}>
          {d.problem}
        </div>
      )}
    </>
  );
}

/** All about one delivery, and sending it again. */
function DeliveryPanel({ id, onRetried }: { id: number; onRetried: () => void }) {
  // The list from the one behind it on begins with it.
  const found = useResource<Page<Delivery>>("/deliveries", { cursor: id + 1, limit: 1 }, () => true);
  useAgainWhenDue(found.data?.items, found.reload);
  const d = found.data?.items.find((d) => d.id === id);
  const retry = async () => {
    await post(`/deliveries/${id}/retry`);
    found.reload();
    onRetried();
  };
  return (
    <SidePanel
      label={`Delivery ${id}`}
      title={d ? `To ${d.notify}` : "Delivery"}
      beside={d && <Status status={d.status} />}
      onClose={() => setQuery({ delivery: undefined })}
    >
      <Trouble problem={found.problem} />
      {!found.data && !found.problem && <Skeleton />}
      {found.data && !d && <Empty icon="question" title="It is remembered no more" />}
      {d && (
        <div className="panel-body stack">
          <p className="small">{meaning(d)}</p>
          <Facts
            list={[
              [
                "Event",
                <Link className="mono" href={`/events?event=${d.sequence}`}>
                  {d.type}
                </Link>,
              ],
              ["Attempts", d.attempts],
              ["Queued", <Ago time={d.queued} />],
              ["Next try", d.next && <Until time={d.next} />],
              ["Ended", d.ended && <Ago time={d.ended} />],
            ]}
          />
          {d.problem && (
            <div className={d.status === "dead" ? "callout bad" : "callout warn"}>
              <div>
                <strong>The last attempt failed</strong>
                <p>{d.problem}</p>
              </div>
            </div>
          )}
          {d.status === "dead" && (
            <div className="actions">
              <Act kind="slim" icon="replay" run={retry} done="It is sent again.">
                Send again
              </Act>
            </div>
          )}
        </div>
      )}
    </SidePanel>
  );
}

function meaning(d: Delivery): string {
  switch (d.status) {
    case "delivered":
      return "Whoever it is for has taken it.";
    case "dead":
      return "It was given up, and made room for those behind it. It is sent no more unless you ask for it.";
    default:
      return d.attempts > 0
        ? "It is tried again and again for a day. Those behind it wait, so that the order stays."
        : "It is sent in its turn.";
  }
}

/** The longest time that is waited before looking again, in milliseconds. */
const longest = 60_000;

/** Reads deliveries again when the next of them is due: that they were taken is no event. */
function useAgainWhenDue(list: Delivery[] | undefined, reload: () => void) {
  useEffect(() => {
    const due = list?.filter((d) => d.status === "pending").map((d) => (d.next ? Date.parse(d.next) : 0)) ?? [];
    if (due.length === 0) return;
    const wait = Math.min(longest, Math.max(0, Math.min(...due) - Date.now()) + 1000);
    const timer = window.setTimeout(reload, wait);
    return () => window.clearTimeout(timer);
  }, [list, reload]);
}
