import type { Approval, Page } from "../api/client";
import { post } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { short } from "../lib/format";
import { go, runHref, useLocation } from "../lib/router";
import { Act } from "./act";

/** Approves or rejects a plan that a run waits for; nothing where none does. */
export function Review({ digest, denied, judged }: { digest: string; denied: boolean; judged: boolean }) {
  const { query } = useLocation();
  const approvals = useResource<Page<Approval>>("/approvals", {}, aboutRuns);
  const run = query.get("run");
  const ask = approvals.data?.items.find((a) => a.plan === digest && (!run || a.run.id === run));
  if (!ask) return null;
  const decide = (decision: "approve" | "reject") => async (comment?: string) => {
    await post(`/runs/${encodeURIComponent(ask.run.id)}/decisions`, {
      step: ask.step,
      decision,
      plan: decision === "approve" ? digest : undefined,
      comment,
    });
    go(runHref(ask.run.id));
  };
  return (
    <>
      <Act
        kind="primary"
        icon="check"
        run={decide("approve")}
        done="The plan is approved."
        ask={{
          title: "Approve this plan?",
          comment: true,
          text: (
            <p>
              Exactly the plan <code>{short(digest)}</code> is carried out, in {ask.run.environment}.
              {denied && " Policy is against it: the run will be stopped unless the rules are overridden."}
              {!judged && " It could not be judged: the run will be stopped unless it can be by then."}
            </p>
          ),
        }}
      >
        Approve
      </Act>
      <Act
        kind="danger"
        icon="cross"
        run={decide("reject")}
        done="The plan is rejected."
        ask={{ title: "Reject this plan?", comment: true, text: <p>The run fails and nothing is changed.</p> }}
      >
        Reject
      </Act>
    </>
  );
}
