import { post, type Page, type Schemas } from "../api/client";
import { useResource } from "../lib/feed";
import { exact } from "../lib/format";
import { Link, runHref, workflowHref } from "../lib/router";
import { Act } from "../parts/act";
import { Declared, Facts, PageHead } from "../parts/basics";
import { Icon } from "../parts/icons";
import { Rows } from "../parts/rows";
import { Status } from "../parts/status";
import { Ago, Until } from "../parts/time";

type Trigger = Schemas["Trigger"];
type Fired = Schemas["Fired"];

/** What starts workflows by itself, and what became of it. */
export function Triggers() {
  // Whatever happens may be what a trigger was waiting for.
  const list = useResource<Page<Trigger>>("/triggers", {}, () => true);
  const dead = useResource<Page<Fired>>("/dead-letters", {}, () => true);
  return (
    <>
      <PageHead name="Triggers" sub="What starts workflows by itself: schedules and events." />
      <div className="stack">
        <Declared icon="triggers" many="triggers" block="trigger" list={list} keyOf={(t) => t.kind + t.name}>
          {(t) => <TriggerCard trigger={t} />}
        </Declared>
        {dead.data && dead.data.items.length > 0 && <DeadLetters list={dead.data.items} onRetried={dead.reload} />}
      </div>
    </>
  );
}

function TriggerCard({ trigger: t }: { trigger: Trigger }) {
  const code = (text?: string) => text && <code>{text}</code>;
  return (
    <>
      <div className="row">
        <Icon name={t.kind === "schedule" ? "waiting" : "triggers"} size={18} />
        <h2>{t.name}</h2>
        <span className="tag">{t.kind}</span>
      </div>
      <Facts
        list={[
          [
            "Runs",
            <>
              <Link href={workflowHref(t.workflow)}>{t.workflow}</Link>
              {t.environment && ` in ${t.environment}`}
            </>,
          ],
          ["Schedule", code(t.schedule && `${t.schedule} ${t.timezone ?? ""}`)],
          ["On", code(t.on)],
          ["When", code(t.when)],
          ["Window", code(t.window)],
          ["Next", t.next?.[0] && <Until time={t.next[0]} title={t.next.map(exact).join("\n")} />],
        ]}
      />
      <FiredList list={t.last ?? []} />
    </>
  );
}

/** What became of the times at which triggers were to start runs. */
export function FiredList({ list, named = false }: { list: Fired[]; named?: boolean }) {
  if (list.length === 0) return <p className="muted small">It has started nothing yet.</p>;
  return (
    <ul>
      {list.map((f) => (
        <li key={f.trigger + f.at + (f.event ?? "")} className="row small">
          <Status status={f.status} />
          {named && <strong>{f.trigger}</strong>}
          {f.run ? <Link href={runHref(f.run)}>its run</Link> : <span>{f.problem}</span>}
          <Ago className="muted" time={f.at} />
        </li>
      ))}
    </ul>
  );
}

function DeadLetters({ list, onRetried }: { list: Fired[]; onRetried: () => void }) {
  const retry = (f: Fired) => async () => {
    await post(`/dead-letters/${encodeURIComponent(f.trigger)}/${f.event}/retry`);
    onRetried();
  };
  return (
    <section className="stack">
      <h2>Nothing could be done about</h2>
      <Rows
        label="Dead letters"
        columns="minmax(0, 1fr) 72px minmax(0, 2fr) 110px"
        heads={["Trigger", "Event", "Why", "Action"]}
        items={list}
        keyOf={(f) => `${f.trigger} ${f.event}`}
      >
        {(f) => (
          <>
            <span role="cell" className="clip">
              {f.trigger}
            </span>
            <span role="cell" className="number">
              <Link href={`/events?event=${f.event}`}>{f.event}</Link>
            </span>
            <span role="cell" className="problem">
              {f.problem}
            </span>
            <span role="cell">
              <Act kind="slim" icon="replay" run={retry(f)} done="It is tried again.">
                Retry
              </Act>
            </span>
          </>
        )}
      </Rows>
    </section>
  );
}
