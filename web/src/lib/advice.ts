import type { Run, Step } from "../api/client";

/** What became of a run that did not succeed, and what can be done next. */
export interface Advice {
  title: string;
  text: string;
  /** The steps that failed, with why. */
  failed: Step[];
}

/** Says what to do about a run; undefined where nothing is to be done. */
export function adviceOn(run: Run, steps: Step[]): Advice | undefined {
  const failed = steps.filter((s) => s.status === "failed" && s.error);
  switch (run.status) {
    case "interrupted":
      return {
        title: "Nobody works on this run",
        text: "Whoever drove it is gone. Resume it: it goes on where its journal ends, and does nothing twice that it knows the outcome of.",
        failed,
      };
    case "failed":
      return { title: run.problem || "The run failed", text: nextAfterFailure(run), failed };
    case "cancelled":
      return {
        title: "The run was cancelled",
        text: run.kind === "workflow" ? "Run again what did not succeed, or leave it." : nextAfterFailure(run),
        failed,
      };
  }
  return undefined;
}

function nextAfterFailure(run: Run): string {
  if (run.kind === "workflow") {
    return "Look at what the steps below say and mend it. Then run again what did not succeed, or choose a step to begin again from.";
  }
  if (run.kind === "rollback")
    return "What was brought back stays so. Look at the stack, and plan what is to be done now.";
  return "What was done is kept in the state. Mend what the errors say and plan again: only what is missing is planned. Or roll this run back.";
}
