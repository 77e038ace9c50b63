import type { Finding } from "../lib/plandocument";
import { Status } from "./status";

/** What rules say, the worst first as the server has them. */
export function Findings({ list }: { list: Finding[] }) {
  return (
    <ul className="findings">
      {list.map((f, i) => (
        <li key={i} className={`finding finding-${f.status}`}>
          <div className="row">
            <Status status={f.status} />
            <strong>{f.message ?? f.title ?? f.rule}</strong>
          </div>
          <div className="sub-line">
            {f.policy} · {f.enforcement} · rule {f.rule}
            {f.rule_source && (
              <>
                {" at "}
                <code>
                  {f.rule_source.file}:{f.rule_source.line}
                </code>
              </>
            )}
            {f.severity && ` · ${f.severity}`}
            {f.attribute && ` · ${f.attribute}`}
            {f.overridden && " · overridden"}
            {f.source && (
              <>
                {" · "}
                <code>
                  {f.source.file}:{f.source.line}
                </code>
              </>
            )}
          </div>
          {f.awaits && f.awaits.length > 0 && (
            <p className="small">It depends on values of {f.awaits.join(", ")} that are not known yet.</p>
          )}
          {f.fix && (
            <p className="small">
              <strong>How to fix it:</strong> {f.fix}
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
