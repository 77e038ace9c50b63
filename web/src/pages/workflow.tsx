import { useState, type FormEvent } from "react";
import { post, type Page, type Problem, type Run, type Stack, type Workflow } from "../api/client";
import { aboutRuns, useResource } from "../lib/feed";
import { go, runHref } from "../lib/router";
import { PageHead, Skeleton, Trouble } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { StepGraph } from "../parts/graph";
import { Icon } from "../parts/icons";
import { RunTable } from "../parts/runs";

export function WorkflowPage({ name }: { name: string }) {
  const w = useResource<Workflow>(`/workflows/${encodeURIComponent(name)}`, {}, aboutRuns);
  const [starting, setStarting] = useState(false);
  return (
    <>
      <PageHead name={name} crumbs={[["/workflows", "Workflows"]]} sub={w.data?.description}>
        {w.data && (
          <button className="button primary" onClick={() => setStarting(true)}>
            <Icon name="play" />
            Run
          </button>
        )}
      </PageHead>
      <Trouble problem={w.problem} />
      {!w.data && !w.problem && <Skeleton lines={8} />}
      {w.data && (
        <div className="stack">
          {w.data.steps.length > 0 && <StepGraph plain steps={w.data.steps} />}
          <h2>Latest runs</h2>
          <RunTable runs={w.data.last_runs ?? []} />
          {starting && <Start workflow={w.data} onClose={() => setStarting(false)} />}
        </div>
      )}
    </>
  );
}

/** A form that starts a run. */
function Start({ workflow, onClose }: { workflow: Workflow; onClose: () => void }) {
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
      go(runHref(run.id));
    } catch (error) {
      setProblem(error as Problem);
    }
  };
  return (
    <Dialog label={`Run ${workflow.name}`} onClose={onClose}>
      <form className="dialog-body" onSubmit={submit}>
        <h2>Run {workflow.name}</h2>
        {environments.length > 0 && (
          <label className="field">
            <span className="field-name">Environment</span>
            <select className="select" name="environment">
              {environments.map((e) => (
                <option key={e}>{e}</option>
              ))}
            </select>
          </label>
        )}
        {workflow.variables.map((v) => (
          <label className="field" key={v.name}>
            <span>
              <span className="field-name">{v.name}</span> <span className="muted">{v.type}</span>
            </span>
            <input
              className="input"
              name={"var." + v.name}
              required={v.required}
              type={v.sensitive ? "password" : "text"}
              autoComplete="off"
            />
            {v.description && <span className="muted small">{v.description}</span>}
          </label>
        ))}
        <Trouble problem={problem} />
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Back
          </button>
          <button className="button primary">Start</button>
        </div>
      </form>
    </Dialog>
  );
}
