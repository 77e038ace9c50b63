import { useEffect, useMemo, useState, type ReactNode } from "react";
import { get, Problem, type Session } from "./api/client";
import { Feed, FeedContext } from "./lib/feed";
import { Link, match, useLocation } from "./lib/router";
import { Shell } from "./parts/shell";
import { Empty } from "./parts/basics";
import { Boundary } from "./parts/boundary";
import { Login } from "./pages/login";
import { Overview } from "./pages/overview";
import { Runs } from "./pages/runs";
import { RunPage } from "./pages/run";
import { PlanPage } from "./pages/plan";
import { Stacks } from "./pages/stacks";
import { StackPage } from "./pages/stack";
import { Workflows } from "./pages/workflows";
import { WorkflowPage } from "./pages/workflow";
import { Approvals } from "./pages/approvals";
import { Events } from "./pages/events";
import { Audit } from "./pages/audit";
import { Deliveries } from "./pages/deliveries";
import { Scalers } from "./pages/scalers";
import { Triggers } from "./pages/triggers";

/** The pages: pattern of the path, and what is shown there. */
const pages: [string, (parameters: Record<string, string>) => ReactNode][] = [
  ["", () => <Overview />],
  ["/runs", () => <Runs />],
  ["/runs/:run", (p) => <RunPage id={p.run!} key={p.run} />],
  ["/plans/:plan", (p) => <PlanPage digest={p.plan!} key={p.plan} />],
  ["/approvals", () => <Approvals />],
  ["/stacks", () => <Stacks />],
  [
    "/stacks/:environment/:stack",
    (p) => <StackPage environment={p.environment!} stack={p.stack!} key={`${p.environment}/${p.stack}`} />,
  ],
  ["/workflows", () => <Workflows />],
  ["/workflows/:workflow", (p) => <WorkflowPage name={p.workflow!} key={p.workflow} />],
  ["/events", () => <Events />],
  ["/deliveries", () => <Deliveries />],
  ["/audit", () => <Audit />],
  ["/triggers", () => <Triggers />],
  ["/scalers", () => <Scalers />],
];

export function App() {
  const [session, setSession] = useState<Session>();
  const [problem, setProblem] = useState<Problem>();
  const feed = useMemo(() => new Feed(), []);
  const load = () => {
    setProblem(undefined);
    get<Session>("/session").then((s) => {
      setSession(s);
      feed.start(s.sequence, setProblem);
    }, setProblem);
  };
  useEffect(() => {
    load();
    return () => feed.stop();
    // Once: the page begins with it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  if (problem?.status === 401) return <Login onDone={load} />;
  if (problem) {
    return (
      <Empty alone icon="warning" title="The server does not answer">
        <p>{problem.message}</p>
        <button className="button" onClick={load}>
          Try again
        </button>
      </Empty>
    );
  }
  if (!session) return null;
  return (
    <FeedContext.Provider value={feed}>
      <Shell session={session} onLogout={() => setProblem(new Problem(401, ""))}>
        <Routed />
      </Shell>
    </FeedContext.Provider>
  );
}

function Routed() {
  const { path } = useLocation();
  return (
    <Boundary page={path}>
      <PageAt path={path} />
    </Boundary>
  );
}

function PageAt({ path }: { path: string }) {
  for (const [pattern, page] of pages) {
    const parameters = match(pattern, path);
    if (parameters) return page(parameters);
  }
  return (
    <Empty alone icon="question" title="There is no such page">
      <p>
        <code>{path}</code>
      </p>
      <Link className="button" href="/">
        Go to the overview
      </Link>
    </Empty>
  );
}
