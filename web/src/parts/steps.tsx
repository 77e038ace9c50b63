import { post, type Run, type Step } from "../api/client";
import { between } from "../lib/format";
import { go, Link, runHref } from "../lib/router";
import { Act } from "./act";
import { Rows } from "./rows";
import { Status } from "./status";

/** The steps of a run as a list. */
export function StepTable({ steps, onSelect }: { steps: Step[]; onSelect: (name: string) => void }) {
  return (
    <Rows
      label="Steps"
      columns="112px minmax(0, 1.4fr) minmax(0, 0.8fr) 84px"
      narrow="112px minmax(0, 1fr) 64px"
      heads={["Status", "Step", "Does", "Took"]}
      wide={["Does"]}
      items={steps}
      keyOf={(s) => s.name + "\0" + s.action}
    >
      {(s) => (
        <>
          <span role="cell">
            <Status status={s.status} />
          </span>
          <span role="cell" className="clip">
            <button className="link clip" onClick={() => onSelect(s.name)}>
              {s.name}
            </button>
            {s.error && (
              <div className="problem">
                {s.error.name}: {s.error.cause}
              </div>
            )}
          </span>
          <span role="cell" className="wide clip muted">
            {s.action}
            {s.items ? ` · ${s.done ?? 0} of ${s.items}` : ""}
          </span>
          <span role="cell" className="number small muted" data-time>
            {s.status === "waiting" ? "" : between(s.begun, s.ended)}
          </span>
        </>
      )}
    </Rows>
  );
}

/** All about one step, beside the others. */
export function StepPanel({
  run,
  step: s,
  ended,
  onClose,
}: {
  run: Run;
  step: Step;
  ended: boolean;
  onClose: () => void;
}) {
  const retry = async () => {
    const again = await post<Run>(`/runs/${encodeURIComponent(run.id)}/retry`, { from: s.name });
    go(runHref(again.id));
  };
  return (
    <aside className="panel" aria-label={`Step ${s.name}`}>
      <div className="panel-head">
        <h2 className="clip">{s.name}</h2>
        <Status status={s.status} />
      </div>
      <div className="panel-body stack">
        <dl className="facts">
          <dt>Does</dt>
          <dd>{s.action}</dd>
          {s.phase && (
            <>
              <dt>In</dt>
              <dd>{s.phase}</dd>
            </>
          )}
          {s.needs.length > 0 && (
            <>
              <dt>Needs</dt>
              <dd>{s.needs.join(", ")}</dd>
            </>
          )}
          {s.begun && (
            <>
              <dt>Took</dt>
              <dd className="number" data-time>
                {between(s.begun, s.ended)}
              </dd>
            </>
          )}
          {s.waits && (
            <>
              <dt>Waits</dt>
              <dd>{s.waits}</dd>
            </>
          )}
          {s.items ? (
            <>
              <dt>Items</dt>
              <dd>
                {s.done ?? 0} of {s.items} ended
                <span className="meter">
                  <span style={{ width: `${(100 * (s.done ?? 0)) / s.items}%` }} />
                </span>
              </dd>
            </>
          ) : null}
          {s.undone && (
            <>
              <dt>Undone</dt>
              <dd>What it did was taken back.</dd>
            </>
          )}
        </dl>
        {s.error && (
          <div className="callout bad">
            <div>
              <strong>{s.error.name}</strong>
              <p>{s.error.cause}</p>
            </div>
          </div>
        )}
        <div className="actions">
          {s.run && (
            <Link className="button slim" href={runHref(s.run)}>
              Open its run
            </Link>
          )}
          {ended && run.kind === "workflow" && (
            <Act
              kind="slim"
              icon="replay"
              run={retry}
              done={`It begins again from ${s.name}.`}
              ask={{
                title: `Run again from ${s.name}?`,
                text: "A new run takes over what came before this step, and does it and all that need it again.",
              }}
            >
              Run again from here
            </Act>
          )}
          <button className="button slim quiet" onClick={onClose}>
            Close
          </button>
        </div>
      </div>
    </aside>
  );
}
