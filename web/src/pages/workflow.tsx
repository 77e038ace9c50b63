import { useState, type FormEvent } from "react";
import { post, type Page, type Problem, type Run, type Stack, type Workflow } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { go } from "../lib/router";
import { PageHead, Trouble } from "../parts/basics";
import { StepGraph } from "../parts/graph";
import { RunTable } from "../parts/runs";

export function WorkflowPage({ name }: { name: string }) {
  const w = useResource<Workflow>(`/workflows/${encodeURIComponent(name)}`, {}, aboutRuns);
  return (
    <>
      <PageHead title={name} sub={w.data?.description} />
      <Trouble problem={w.problem} />
      {w.data && (
        <>
          <Start workflow={w.data} />
          {w.data.steps.length > 0 && <StepGraph steps={w.data.steps} />}
          <h2>Latest runs</h2>
          <RunTable runs={w.data.last_runs ?? []} />
        </>
      )}
    </>
  );
}

/** A form that starts a run. */
function Start({ workflow }: { workflow: Workflow }) {
  const stacks = useResource<Page<Stack>>("/stacks");
  const environments = [...new Set(stacks.data?.items.map((s) => s.environment))];
  const [problem, setProblem] = useState<Problem>();
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setProblem(undefined);
    const form = new FormData(event.currentTarget);
    const inputs: Record<string, unknown> = {};
    for (const v of workflow.variables) {
      const text = String(form.get("var." + v.name) ?? "");
      if (text === "") continue;
      try {
        inputs[v.name] = v.type === "string" ? text : JSON.parse(text);
      } catch {
        inputs[v.name] = text; // the server says what is wrong with it
      }
    }
    try {
      const run = await post<Run>("/runs", {
        workflow: workflow.name,
        environment: form.get("environment") || undefined,
        inputs,
      });
      go(`/runs/${encodeURIComponent(run.id)}`);
    } catch (error) {
      setProblem(error as Problem);
    }
  };
  return (
    <details className="start">
      <summary className="button primary">Run</summary>
      <form onSubmit={submit}>
        <label>
          Environment
          <select name="environment">
            {environments.map((e) => (
              <option key={e}>{e}</option>
            ))}
          </select>
        </label>
        {workflow.variables.map((v) => (
          <label key={v.name}>
            {v.name} <span className="muted">{v.type}</span>
            <input
              name={"var." + v.name}
              required={v.required}
              type={v.sensitive ? "password" : "text"}
              autoComplete="off"
              title={v.description}
            />
          </label>
        ))}
        <button className="button primary">Start</button>
        <Trouble problem={problem} />
      </form>
    </details>
  );
}
