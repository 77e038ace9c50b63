import type { FeedEvent, Page, Run } from "../api/client";
import { useResource } from "../lib/feed";
import { between, count, short } from "../lib/format";
import { Link, stackHref, workflowHref } from "../lib/router";
import { Empty, Facts, Skeleton, Trouble } from "./basics";
import { Icon } from "./icons";
import { Rows } from "./rows";
import { Ago } from "./time";
import { RunTable } from "./runs";

/** What is known of a run whose steps, logs and plan were removed because it was old. */
export function Remains({ run }: { run: Run }) {
  const events = useResource<Page<FeedEvent>>("/events", { subject: run.id, limit: 1000 });
  const children = useResource<Page<Run>>("/runs", { parent: run.id, limit: 100 });
  return (
    <div className="stack">
      <div className="callout" role="status">
        <Icon name="box" size={18} />
        <div>
          <strong>The details of this run were removed {run.pruned && <Ago time={run.pruned} />}</strong>
          <p>
            Its steps, their logs and its plan are gone (<code>tutti store prune</code>). How it ended, what it changed
            and who decided is kept.
          </p>
        </div>
      </div>
      <section className="panel">
        <div className="panel-head">
          <h2>What is known</h2>
        </div>
        <div className="panel-body">
          <Facts
            list={[
              ["Did", run.summary || run.kind],
              ["Workflow", run.workflow && <Link href={workflowHref(run.workflow)}>{run.workflow}</Link>],
              [
                "Stack",
                run.stack && (
                  <Link href={stackHref({ environment: run.environment, name: run.stack })}>{run.stack}</Link>
                ),
              ],
              ["Steps", run.steps > 0 && stepsOf(run)],
              ["Why", run.problem && <span className="problem">{run.problem}</span>],
              ["Took", run.started && <span data-time>{between(run.started, run.ended)}</span>],
              ["Ended", run.ended && <span data-time>{new Date(run.ended).toLocaleString()}</span>],
              ["Plan", run.plan && <code data-ref>{short(run.plan)}</code>],
              ["Code", run.source && `${run.source.repository ?? ""} ${short(run.source.commit)}`.trim()],
            ]}
          />
        </div>
      </section>
      <h2>What happened</h2>
      <Trouble problem={events.problem} />
      {!events.data && !events.problem && <Skeleton />}
      {events.data?.items.length === 0 && (
        <div className="panel">
          <Empty icon="events" title="Nothing that you may read" />
        </div>
      )}
      {events.data && events.data.items.length > 0 && (
        <Rows
          label="Events of this run"
          columns="minmax(0, 1fr) minmax(0, 1fr) 110px"
          narrow="minmax(0, 1fr) 84px"
          wide={["By"]}
          heads={["Event", "By", "When"]}
          items={events.data.items}
          keyOf={(e) => String(e.sequence)}
        >
          {(e) => (
            <>
              <span role="cell" className="clip">
                <Link className="mono" href={`/events?event=${e.sequence}`}>
                  {e.type}
                </Link>
              </span>
              <span role="cell" className="wide clip muted small">
                {e.actor}
              </span>
              <span role="cell" className="muted small">
                <Ago time={e.time} />
              </span>
            </>
          )}
        </Rows>
      )}
      {children.data && children.data.items.length > 0 && (
        <>
          <h2>Runs that were steps of it</h2>
          <RunTable runs={children.data.items} />
        </>
      )}
    </div>
  );
}

function stepsOf(run: Run): string {
  const failed = run.failed > 0 ? `, ${run.failed.toLocaleString("en")} failed` : "";
  return `${count(run.steps, "step")}, ${run.done.toLocaleString("en")} ended${failed}`;
}
