import { post, type Run, type Step } from "../api/client";
import { go, Link, runHref } from "../lib/router";
import { Act } from "./act";
import { Facts, SidePanel } from "./basics";
import { Rows } from "./rows";
import { Status } from "./status";
import { Took } from "./time";

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
              <div className="problem clip" title={s.error.cause}>
                {s.error.name}: {s.error.cause}
              </div>
            )}
          </span>
          <span role="cell" className="wide clip muted">
            {s.action}
            {s.items ? ` · ${(s.done ?? 0).toLocaleString("en")} of ${s.items.toLocaleString("en")}` : ""}
          </span>
          <span role="cell" className="small muted">
            {s.status !== "waiting" && <Took begun={s.begun} ended={s.ended} />}
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
  onItems,
  onClose,
}: {
  run: Run;
  step: Step;
  ended: boolean;
  onItems: () => void;
  onClose: () => void;
}) {
  const retry = async () => {
    const again = await post<Run>(`/runs/${encodeURIComponent(run.id)}/retry`, { from: s.name });
    go(runHref(again.id));
  };
  return (
    <SidePanel label={`Step ${s.name}`} title={s.name} beside={<Status status={s.status} />} onClose={onClose}>
      <div className="panel-body stack">
        <Facts
          list={[
            ["Does", s.action],
            ["In", s.phase],
            ["Needs", s.needs.join(", ")],
            ["Took", s.begun && <Took begun={s.begun} ended={s.ended} />],
            ["Waits", s.waits],
            ["Items", s.items && <Progress step={s} />],
            ["Undone", s.undone && "What it did was taken back."],
          ]}
        />
        {s.error && (
          <div className="callout bad">
            <div>
              <strong>{s.error.name}</strong>
              <p>{s.error.cause}</p>
            </div>
          </div>
        )}
        <div className="actions">
          {s.items && (
            <button className="button slim" onClick={onItems}>
              Show its items
            </button>
          )}
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
        </div>
      </div>
    </SidePanel>
  );
}

/** How many of the items of a step have ended. */
function Progress({ step: s }: { step: Step }) {
  const done = s.done ?? 0;
  return (
    <>
      {done.toLocaleString("en")} of {s.items!.toLocaleString("en")} ended
      <span className="meter">
        <span style={{ width: `${(100 * done) / s.items!}%` }} />
      </span>
    </>
  );
}
