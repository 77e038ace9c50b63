import { useContext, useEffect, useMemo, useState } from "react";
import { get, post, type FeedEvent, type Page, type Problem, type Schemas } from "../api/client";
import { FeedContext, useResource } from "../lib/feed";
import { exact } from "../lib/format";
import { Link, runHref, setQuery, useLocation } from "../lib/router";
import { Act } from "../parts/act";
import { Empty, Facts, PageHead, QueryFilter, Search, SidePanel, Skeleton, Trouble } from "../parts/basics";
import { Rows } from "../parts/rows";
import { Ago } from "../parts/time";
import { FiredList } from "./triggers";

/** How many events are read at once. */
const atOnce = 1000;

export function Events() {
  const { query } = useLocation();
  const search = query.get("search") ?? "";
  const kind = query.get("kind") ?? "";
  const events = useEvents();
  const chosen = Number(query.get("event") ?? 0);
  const setChosen = (sequence?: number) => setQuery({ event: sequence?.toString() });
  const kinds = useMemo(() => [...new Set(events.list.map((e) => kindOf(e)))].sort(), [events.list]);
  const shown = useMemo(() => {
    const want = search.toLowerCase();
    return events.list.filter(
      (e) =>
        (!kind || kindOf(e) === kind) &&
        (!want || `${e.type} ${e.subject} ${e.actor} ${JSON.stringify(e.data)}`.toLowerCase().includes(want)),
    );
  }, [events.list, search, kind]);
  return (
    <>
      <PageHead name="Events" sub="Everything that happened, newest first, as it comes." />
      <Trouble problem={events.problem} />
      <div className="toolbar">
        <Search label="Search type, subject, actor, data" value={search} onChange={(v) => setQuery({ search: v })} />
        <QueryFilter label="Kind" parameter="kind" values={kinds} />
      </div>
      {!events.loaded && !events.problem && <Skeleton lines={8} />}
      {events.loaded && shown.length === 0 && (
        <div className="panel">
          <Empty icon="events" title={events.list.length > 0 ? "No event is like this" : "Nothing happened yet"} />
        </div>
      )}
      <div className={chosen ? "with-side" : ""}>
        <div className="stack">
          {shown.length > 0 && (
            <Rows
              label="Events"
              columns="64px minmax(0, 1.2fr) minmax(0, 1.3fr) 84px"
              narrow="minmax(0, 1.2fr) minmax(0, 1fr) 72px"
              heads={["Number", "Type", "About", "When"]}
              wide={["Number"]}
              items={shown}
              keyOf={(e) => String(e.sequence)}
            >
              {(e) => <EventCells event={e} chosen={e.sequence === chosen} onChoose={() => setChosen(e.sequence)} />}
            </Rows>
          )}
          {events.older && (
            <div>
              <Act run={events.older}>Show older events</Act>
            </div>
          )}
        </div>
        {chosen > 0 && <EventPanel key={chosen} sequence={chosen} onClose={() => setChosen(undefined)} />}
      </div>
    </>
  );
}

const kindOf = (e: FeedEvent) => e.type.split(".")[0]!;

function EventCells({ event: e, chosen, onChoose }: { event: FeedEvent; chosen: boolean; onChoose: () => void }) {
  return (
    <>
      <span role="cell" className="wide muted number small">
        {e.sequence}
      </span>
      <span role="cell" className="clip">
        <button className="link clip mono" aria-pressed={chosen} onClick={onChoose}>
          {e.type}
        </button>
      </span>
      <span role="cell" className="clip small">
        <Subject event={e} />
        {e.actor && <div className="sub-line clip small">by {e.actor}</div>}
      </span>
      <span role="cell" className="muted small">
        <Ago time={e.time} />
      </span>
    </>
  );
}

function Subject({ event: e }: { event: FeedEvent }) {
  const isRun = ["run", "approval", "signal"].includes(kindOf(e));
  if (!isRun || !e.subject) return <span data-ref>{e.subject}</span>;
  return (
    <Link href={runHref(e.subject)} data-ref>
      {e.subject}
    </Link>
  );
}

/** All about one event: what it says, what triggers did about it, and giving it to them anew. */
function EventPanel({ sequence, onClose }: { sequence: number; onClose: () => void }) {
  const path = `/events/${sequence}`;
  const details = useResource<Schemas["EventDetails"]>(path, {}, () => true);
  const e = details.data?.event;
  const replay = async () => {
    await post(`${path}/replay`, {});
    details.reload();
  };
  return (
    <SidePanel label={`Event ${sequence}`} title={e?.type ?? "Event"} onClose={onClose}>
      <Trouble problem={details.problem} />
      {!e && !details.problem && <Skeleton />}
      {e && (
        <div className="panel-body stack">
          <Facts
            list={[
              ["Number", e.sequence],
              [
                "Time",
                <time dateTime={e.time} title={e.time} data-time>
                  {exact(e.time)}
                </time>,
              ],
              ["About", e.subject && <Subject event={e} />],
              ["By", e.actor],
              ["Source", <span data-ref>{e.source}</span>],
              ["ID", <code data-ref>{e.id}</code>],
              ["From", details.data!.accepted ? "outside" : "Tutti itself"],
            ]}
          />
          <pre className="json" tabIndex={0} aria-label="Data">
            {JSON.stringify(e.data ?? null, null, 2)}
          </pre>
          <h3>What triggers did about it</h3>
          {details.data!.fired.length > 0 ? (
            <FiredList named list={details.data!.fired} />
          ) : (
            <p className="muted small">No trigger is for it.</p>
          )}
          <div className="actions">
            <Act
              kind="slim"
              icon="replay"
              run={replay}
              done="The event was given to triggers anew."
              ask={{
                title: "Replay this event?",
                text: "It is given anew to all triggers that it is for, as if it had just come: their workflows run again.",
              }}
            >
              Replay
            </Act>
          </div>
        </div>
      )}
    </SidePanel>
  );
}

interface Events {
  list: FeedEvent[]; // newest first
  loaded: boolean;
  problem?: Problem;
  /** Reads those before; undefined where there are none. */
  older?: () => Promise<void>;
}

/** The last events and those that come, with as many before as somebody asks for. */
function useEvents(): Events {
  const last = useResource<Page<FeedEvent>>("/events", { last: atOnce, limit: atOnce });
  const feed = useContext(FeedContext);
  const [more, setMore] = useState<FeedEvent[]>([]);
  const add = (events: FeedEvent[]) => setMore((before) => [...before, ...events]);
  useEffect(() => feed.listen((e) => add([e])), [feed]);
  const list = useMemo(() => {
    const bySequence = new Map([...(last.data?.items ?? []), ...more].map((e) => [e.sequence, e]));
    return [...bySequence.values()].sort((a, b) => b.sequence - a.sequence);
  }, [last.data, more]);
  const first = list.at(-1)?.sequence ?? 1;
  const older = async () => {
    const after = Math.max(0, first - 1 - atOnce);
    const page = await get<Page<FeedEvent>>("/events", { after, limit: first - 1 - after });
    add(page.items);
  };
  return { list, loaded: last.data !== undefined, problem: last.problem, older: first > 1 ? older : undefined };
}
