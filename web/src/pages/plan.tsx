import { useMemo, useState } from "react";
import { post, type PlanDocument, type PlannedStack } from "../api/client";
import { useResource } from "../lib/feed";
import { short } from "../lib/format";
import { diffOf, type Change, type ResourceChange } from "../lib/plandiff";
import { go, useLocation } from "../lib/router";
import { Act, PageHead, Status, Trouble } from "../parts/basics";

interface Finding {
  policy: string;
  rule: string;
  enforcement: string;
  status: string;
  message?: string;
  resource?: string;
  attribute?: string;
  fix?: string;
  source?: { file: string; line: number };
}

export function PlanPage({ digest }: { digest: string }) {
  const plan = useResource<PlanDocument>(`/plans/${digest}`);
  const { query } = useLocation();
  const run = query.get("run");
  const step = query.get("step");
  const decide = (decision: string) => async () => {
    await post(`/runs/${encodeURIComponent(run!)}/decisions`, {
      step,
      decision,
      plan: decision === "approve" ? digest : undefined,
    });
    go(`/runs/${encodeURIComponent(run!)}`);
  };
  return (
    <>
      <PageHead
        title={
          <>
            Plan <code>{short(digest)}</code>
          </>
        }
        sub={plan.data && `${plan.data.kind} in ${plan.data.environment}`}
      >
        {run && step && (
          <>
            <Act kind="primary" run={decide("approve")}>
              Approve
            </Act>
            <Act kind="danger" run={decide("reject")}>
              Reject
            </Act>
          </>
        )}
      </PageHead>
      <Trouble problem={plan.problem} />
      {plan.data?.stacks.map((s) => (
        <StackPlan key={s.stack} stack={s} />
      ))}
    </>
  );
}

function StackPlan({ stack }: { stack: PlannedStack }) {
  const plan = stack.plan as { resource_changes?: ResourceChange[]; output_changes?: Record<string, Change> };
  const decision = stack.decision as { status?: string; findings?: Finding[] } | undefined;
  const cost = stack.cost as { totals?: { currency: string; difference: unknown; after: unknown }[] } | undefined;
  const changes = useMemo(
    () => (plan.resource_changes ?? []).filter((c) => c.change.actions.join() !== "no-op"),
    [plan],
  );
  const findings = decision?.findings ?? [];
  const general = findings.filter((f) => !f.resource);
  return (
    <section className="stack-plan">
      <h2>
        {stack.stack || "This directory"}{" "}
        <span className="counts">
          <span className="add">+{stack.add}</span> <span className="chg">~{stack.change}</span>{" "}
          <span className="del">−{stack.destroy}</span>
        </span>
        {decision?.status && (
          <span className="verdict">
            policy <Status status={decision.status} />
          </span>
        )}
        {cost?.totals?.map((t) => (
          <span key={t.currency} className="verdict">
            {String(t.difference)} {t.currency}/month
          </span>
        ))}
      </h2>
      {general.map((f, i) => (
        <FindingView key={i} finding={f} />
      ))}
      {changes.length === 0 && <p className="empty">No changes.</p>}
      {changes.map((c) => (
        <ChangeView
          key={c.address + (c.deposed ?? "")}
          change={c}
          findings={findings.filter((f) => f.resource === c.address)}
          open={changes.length <= 50}
        />
      ))}
      {Object.entries(plan.output_changes ?? {})
        .filter(([, c]) => c.actions.join() !== "no-op")
        .map(([name, c]) => (
          <ChangeView
            key={"output." + name}
            change={{ address: "output." + name, change: c, type: "output" }}
            findings={[]}
            open
          />
        ))}
    </section>
  );
}

const words: Record<string, [string, string]> = {
  create: ["+", "create"],
  update: ["~", "update"],
  delete: ["−", "destroy"],
  read: ["≤", "read"],
  forget: [".", "forget"],
  "delete,create": ["±", "replace"],
  "create,delete": ["±", "replace"],
};

function ChangeView({ change, findings, open }: { change: ResourceChange; findings: Finding[]; open: boolean }) {
  const [shown, setShown] = useState(open);
  const [sign, word] = words[change.change.actions.join()] ?? ["?", change.change.actions.join(" ")];
  const lines = useMemo(() => (shown ? diffOf(change.change) : []), [shown, change]);
  const reason = change.action_reason?.replaceAll("_", " ");
  return (
    <details className={`change change-${word}`} open={shown} onToggle={(e) => setShown(e.currentTarget.open)}>
      <summary>
        <span className="sign" aria-hidden="true">
          {sign}
        </span>
        <code>{change.address}</code> <span className="muted">{word}</span>
        {reason && <span className="muted"> because: {reason}</span>}
        {findings.length > 0 && <span className="count">{findings.length}</span>}
      </summary>
      {findings.map((f, i) => (
        <FindingView key={i} finding={f} />
      ))}
      <table className="diff">
        <tbody>
          {lines.map((l, i) => (
            <tr key={i} className={`diff-${l.kind}`}>
              <td className="diff-sign">{{ add: "+", remove: "−", change: "~", same: "" }[l.kind]}</td>
              <th scope="row">{l.path}</th>
              <td>
                {l.before !== undefined && <del>{l.before}</del>}
                {l.before !== undefined && l.after !== undefined && " → "}
                {l.after !== undefined && <ins>{l.after}</ins>}
                {l.replaces && <span className="tag">forces replacement</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function FindingView({ finding: f }: { finding: Finding }) {
  return (
    <div className={`finding finding-${f.status}`}>
      <Status status={f.status} /> {f.message}{" "}
      <span className="muted">
        ({f.policy}, {f.enforcement})
      </span>
      {f.source && (
        <code>
          {f.source.file}:{f.source.line}
        </code>
      )}
      {f.fix && <p>How to fix it: {f.fix}</p>}
    </div>
  );
}
