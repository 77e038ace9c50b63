import { useMemo } from "react";
import type { PlanDocument } from "../api/client";
import { useResource } from "../lib/feed";
import { count, money } from "../lib/format";
import { stackPlans, sumOf, type StackPlan } from "../lib/plandocument";
import { Findings } from "./findings";
import { Icon } from "./icons";
import { Status } from "./status";

/** So many findings are shown where a plan is not read as a whole. */
const few = 5;

/** What policy says of a plan that a run waits for, and what it costs: for that run, with its overrides. */
export function Verdict({ digest, run }: { digest: string; run: string }) {
  const plan = useResource<PlanDocument>(`/plans/${digest}`, { run });
  const plans = useMemo(() => plan.data && stackPlans(plan.data), [plan.data]);
  if (!plans) return null;
  const totals = sumOf(plans.flatMap((p) => p.totals));
  const unknown = plans.reduce((n, p) => n + p.costUnknown, 0);
  return (
    <div className="verdict">
      <div className="row">
        {plans.flatMap((p) =>
          p.policies.map((one) => (
            <Status
              key={p.stack.stack + one.policy}
              status={one.status}
              word={`${plans.length > 1 ? p.stack.stack + ", " : ""}${one.policy}: ${one.passed} of ${one.rules} rules pass`}
            />
          )),
        )}
        {totals.map((t) => (
          <span key={t.currency} className="tag number">
            <Icon name="coins" size={12} /> {money(t.difference, t.currency)}/month
            {unknown > 0 && `, ${count(unknown, "object")} not known`}
          </span>
        ))}
      </div>
      {plans.map((p) => (
        <div key={p.stack.stack}>
          <NotJudged plan={p} named={plans.length > 1} />
          {p.said.length > 0 && <Findings list={p.said.slice(0, few)} />}
          {p.said.length > few && <p className="small muted">and {count(p.said.length - few, "more finding")}</p>}
          <Overrides list={p.overrides} />
        </div>
      ))}
    </div>
  );
}

/** Why a plan could not be judged, which keeps it from being carried out. */
export function NotJudged({ plan, named = false }: { plan: StackPlan; named?: boolean }) {
  const { stack, problem } = plan.stack;
  if (!problem) return null;
  return (
    <div className="trouble" role="alert">
      <Icon name="cross" size={18} />
      <div>
        <strong>{named && stack ? `The plan of ${stack} could not be judged` : "The plan could not be judged"}</strong>
        <p>{problem}</p>
      </div>
    </div>
  );
}

/** Who lets what pass, and why. */
export function Overrides({ list }: { list: { policy: string; actor: string; reason: string }[] }) {
  return list.map((o) => (
    <p key={o.policy} className="small">
      Policy <strong>{o.policy}</strong> is overridden by {o.actor}: {o.reason}
    </p>
  ));
}
