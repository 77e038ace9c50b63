import { post, type Ask, type Run } from "../api/client";
import { Link, planHref } from "../lib/router";
import { Act } from "./act";
import { Icon } from "./icons";
import { Verdict } from "./verdict";

/** What a step wants of people. A plan is approved where it can be read. */
export function AskView({ run, ask }: { run: Run; ask: Ask }) {
  const path = `/runs/${encodeURIComponent(run.id)}`;
  const decide = (decision: "approve" | "reject") => (comment?: string) =>
    post(`${path}/decisions`, { step: ask.step, decision, comment });
  return (
    <div className="callout ask" role="status">
      <Icon name={ask.event ? "events" : "approvals"} size={18} />
      <div>
        {ask.event ? (
          <>
            <strong>{ask.step}</strong> waits for the event <code>{ask.event}</code>.
            <div className="actions">
              <Act run={() => post(`${path}/signals`, { event: ask.event })} done="The run was told.">
                Say that it happened
              </Act>
            </div>
          </>
        ) : (
          <>
            <strong>{ask.step}</strong> waits for an approval <Needed ask={ask} />
            {ask.message && <blockquote>{ask.message}</blockquote>}
            {ask.plan && <Verdict digest={ask.plan} run={run.id} />}
            <div className="actions">
              {ask.plan ? (
                <Link className="button primary" href={planHref(ask.plan, { run: run.id, step: ask.step })}>
                  Review the plan
                </Link>
              ) : (
                <Act
                  kind="primary"
                  icon="check"
                  run={decide("approve")}
                  done="Approved."
                  ask={{ title: `Approve ${ask.step}?`, text: ask.message, comment: true }}
                >
                  Approve
                </Act>
              )}
              <Act
                kind="danger"
                icon="cross"
                run={decide("reject")}
                done="Rejected."
                ask={{ title: `Reject ${ask.step}?`, text: "The step fails.", comment: true }}
              >
                Reject
              </Act>
            </div>
          </>
        )}
      </div>
    </div>
  );
}

/** Who has to approve, and who has. */
export function Needed({ ask }: { ask: { roles?: string[] | null; count?: number; by?: string[] | null } }) {
  const by = ask.by ?? [];
  const roles = ask.roles ?? [];
  return (
    <span className="muted">
      {(ask.count ?? 1) > 1 && `of ${ask.count} people`} {roles.length > 0 && `by ${roles.join(" or ")}`}
      {by.length > 0 && `; approved by ${by.join(", ")}`}
    </span>
  );
}
