import { count } from "../lib/format";
import { grouped, type Finding } from "../lib/plandocument";
import { Status } from "./status";

/** What rules say, the worst first as the server has them; with what they say it of, where that is not plain. */
export function Findings({ list, named = false }: { list: Finding[]; named?: boolean }) {
  return (
    <ul className="findings">
      {grouped(list).map(({ finding: f, resources }, i) => (
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
          {named && resources.length > 0 && <Resources list={resources} />}
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

function Resources({ list }: { list: string[] }) {
  if (list.length === 1) return <code className="small">{list[0]}</code>;
  return (
    <details className="small">
      <summary>{count(list.length, "resource")}</summary>
      <ul>
        {list.map((address) => (
          <li key={address}>
            <code>{address}</code>
          </li>
        ))}
      </ul>
    </details>
  );
}
