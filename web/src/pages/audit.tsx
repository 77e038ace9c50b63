import { useState } from "react";
import { get, streamURL, type Problem, type Schemas } from "../api/client";
import { Act, PageHead, Status, Trouble } from "../parts/basics";

/** Whether the record of what happened is as it was written. */
export function Audit() {
  const [result, setResult] = useState<Schemas["Verification"]>();
  const [head, setHead] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const verify = () => {
    setProblem(undefined);
    return get<Schemas["Verification"]>("/audit/verify", { head }).then(setResult, setProblem);
  };
  return (
    <>
      <PageHead
        title="Audit"
        sub="Every event holds the hash of the one before: whatever is altered, removed or put in shows."
      >
        <a className="button" href={streamURL("/audit/export")} download>
          Export
        </a>
        <Act kind="primary" run={verify}>
          Verify
        </Act>
      </PageHead>
      <p>
        <label>
          Hash that was noted earlier{" "}
          <input
            value={head}
            onChange={(e) => setHead(e.target.value.trim())}
            placeholder="none"
            size={64}
            spellCheck={false}
          />
        </label>
      </p>
      <Trouble problem={problem} />
      {result && (
        <div className="card" role="status">
          <h2>
            <Status status={result.valid ? "pass" : "deny"} /> {result.valid ? "The chain holds." : result.problem}
          </h2>
          <p>
            {result.events} events were verified. The last one has the hash <code>{result.head}</code>: note it
            elsewhere to see later whether the whole record was written anew.
          </p>
        </div>
      )}
    </>
  );
}
