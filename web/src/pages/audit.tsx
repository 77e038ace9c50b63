import { useState } from "react";
import { get, streamURL, type Schemas } from "../api/client";
import { Act } from "../parts/act";
import { Empty, PageHead } from "../parts/basics";
import { Icon } from "../parts/icons";
import { Status } from "../parts/status";

/** Whether the record of what happened is as it was written. */
export function Audit() {
  const [result, setResult] = useState<Schemas["Verification"]>();
  const [head, setHead] = useState("");
  const verify = async () => setResult(await get<Schemas["Verification"]>("/audit/verify", { head }));
  return (
    <>
      <PageHead
        name="Audit"
        sub="Every event holds the hash of the one before: whatever is altered, removed or put in shows."
      >
        <a className="button" href={streamURL("/audit/export")} download>
          <Icon name="download" />
          Export
        </a>
      </PageHead>
      <div className="stack">
        <section className="panel">
          <div className="panel-head">
            <h2>Verify the record</h2>
          </div>
          <div className="panel-body stack">
            <label className="field">
              <span className="field-name">Hash that was noted earlier</span>
              <input
                className="input mono"
                value={head}
                onChange={(e) => setHead(e.target.value.trim())}
                placeholder="May be left empty"
                spellCheck={false}
              />
              <span className="muted small">
                Without one, it is only verified that the chain holds in itself: whoever can write the whole record anew
                can make it do so.
              </span>
            </label>
            <div>
              <Act kind="primary" icon="audit" run={verify}>
                Verify
              </Act>
            </div>
          </div>
        </section>
        {result ? <Result result={result} /> : <Unverified />}
      </div>
    </>
  );
}

function Unverified() {
  return (
    <div className="panel">
      <Empty icon="audit" title="Not verified yet">
        <p>Verifying reads every event from the first on and works out its hash again.</p>
      </Empty>
    </div>
  );
}

function Result({ result }: { result: Schemas["Verification"] }) {
  return (
    <section className="panel card" role="status">
      <div className="row">
        <Status status={result.valid ? "pass" : "deny"} word={result.valid ? "holds" : "broken"} />
        <h2>{result.valid ? "The chain holds." : result.problem}</h2>
      </div>
      <dl className="facts">
        <dt>Events verified</dt>
        <dd className="number">{result.events.toLocaleString("en")}</dd>
        {result.event !== undefined && (
          <>
            <dt>First that is not as written</dt>
            <dd className="number">{result.event}</dd>
          </>
        )}
        <dt>Hash of the last</dt>
        <dd>
          <code data-ref>{result.head}</code>
        </dd>
      </dl>
      <p className="muted">Note this hash elsewhere, and give it when you verify the next time.</p>
    </section>
  );
}
