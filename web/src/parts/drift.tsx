import { post, type Schemas } from "../api/client";
import { count } from "../lib/format";
import type { Change } from "../lib/plandiff";
import { Link, runHref } from "../lib/router";
import { Act } from "./act";
import { Empty, Skeleton, Trouble } from "./basics";
import { Diff } from "./diff";
import { Icon } from "./icons";
import { Ago, Until } from "./time";
import type { Resource } from "../lib/feed";

export type Drift = Schemas["Drift"];

/** What of a stack is not as it was left, as it was found by looking. */
export function DriftView({
  path,
  drift,
  onRepair,
}: {
  path: string;
  drift: Resource<Drift>;
  onRepair: () => Promise<void>;
}) {
  const d = drift.data;
  if (!d) return drift.problem ? <Trouble problem={drift.problem} /> : <Skeleton />;
  const look = async () => {
    await post(`${path}/observe`, {});
    drift.reload();
  };
  return (
    <div className="stack">
      <div className="row apart">
        <span className="muted">
          {d.looked ? (
            <>
              Looked at <Ago time={d.looked} />: {count(d.objects, "object")}.
            </>
          ) : (
            "Nobody has looked yet."
          )}{" "}
          {d.looking && "Somebody is looking now."}{" "}
          {d.next && (
            <>
              The next look is <Until time={d.next} />.
            </>
          )}{" "}
          {d.repairs && "What drifts is put back."}
        </span>
        <span className="actions">
          <Act icon="search" run={look} done="Looking: what is found shows up here.">
            Look now
          </Act>
          {d.changes.length > 0 && (
            <Act kind="primary" run={onRepair}>
              Plan to put it back
            </Act>
          )}
        </span>
      </div>
      {d.problem && (
        <div className="callout bad" role="alert">
          <Icon name="cross" size={18} />
          <div>
            <strong>The last look failed</strong>
            <p>{d.problem}</p>
          </div>
        </div>
      )}
      {d.repair && (
        <div className="callout">
          <Icon name="rollback" size={18} />
          <div>
            {d.repair.problem || (
              <>
                <Link href={runHref(d.repair.run)}>A run</Link> puts back {d.repair.targets.join(", ")}.
              </>
            )}
          </div>
        </div>
      )}
      {d.changes.length === 0 && (
        <div className="panel">
          <Empty icon={d.looked ? "check" : "drift"} title={d.looked ? "As it was left" : "Not looked at yet"}>
            <p>
              {d.observed
                ? "It is looked at again and again."
                : "Look now, or have it looked at again and again with an observe block."}
            </p>
          </Empty>
        </div>
      )}
      {d.changes.map((c) => (
        <article key={c.address} className="change change-update" aria-label={`drift of ${c.address}`}>
          <div className="change-head" style={{ cursor: "default" }}>
            <Icon name="drift" />
            <code className="change-address">{c.address}</code>
            <span className="tag warn">{c.action === "delete" ? "is gone" : "was changed"}</span>
            {c.flapping && <span className="tag bad">changes again and again</span>}
            <span className="change-notes muted small">
              since <Ago time={c.since} />
            </span>
          </div>
          {c.action !== "delete" && (
            <div className="change-body">
              <Diff change={changeOf(c)} />
            </div>
          )}
        </article>
      ))}
      {d.flaps.map((f) => (
        <p key={f.address + (f.path ?? "")} className="muted">
          <code>
            {f.address} {f.path}
          </code>{" "}
          was found changed {count(f.times, "time")} and is left alone: {f.because}
        </p>
      ))}
    </div>
  );
}

/** What was found different, as a change of attributes named by their paths. */
function changeOf(c: Schemas["DriftChange"]): Change {
  const side = (name: "before" | "after") => Object.fromEntries(c.attributes.map((a) => [a.path, a[name]]));
  const hidden = Object.fromEntries(c.attributes.map((a) => [a.path, a.sensitive === true]));
  return {
    actions: ["update"],
    before: side("before"),
    after: side("after"),
    before_sensitive: hidden,
    after_sensitive: hidden,
  };
}
