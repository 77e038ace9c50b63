import type { components } from "./schema";

/** The shapes of the API, as its description gives them. */
export type Schemas = components["schemas"];
export type Run = Schemas["Run"];
export type Step = Schemas["Step"];
export type Ask = Schemas["Ask"];
export type Log = Schemas["Log"];
export type FeedEvent = Schemas["Event"];
export type Approval = Schemas["Approval"];
export type Workflow = Schemas["Workflow"];
export type Stack = Schemas["Stack"];
export type StackObject = Schemas["Object"];
export type Output = Schemas["Output"];
export type PlanDocument = Schemas["PlanDocument"];
export type PlannedStack = Schemas["PlannedStack"];
export type Session = Schemas["Session"];

export interface Page<T> {
  items: T[];
  next?: string;
}

/** An answer that says what is wrong (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly details: { message?: string; location?: string }[] = [],
  ) {
    super(message);
  }
}

const prefix = "/api/v1";

async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  // A request that writes is done once, also when the answer gets lost.
  if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID();
  const answer = await fetch(prefix + path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T);
  throw await problemOf(answer);
}

/** What an answer says that is none of success. */
export async function problemOf(answer: Response): Promise<Problem> {
  let problem: { detail?: string; title?: string; errors?: { message?: string; location?: string }[] } = {};
  try {
    problem = await answer.json();
  } catch {
    // The answer is none of the server's; its status has to do.
  }
  return new Problem(answer.status, problem.detail ?? problem.title ?? answer.statusText, problem.errors ?? []);
}

/** Reads something. Parameters without a value are left out. */
export function get<T>(path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") q.set(name, String(value));
  }
  const text = q.toString();
  return request<T>("GET", text ? `${path}?${text}` : path);
}

export function post<T>(path: string, body?: unknown): Promise<T> {
  return request<T>("POST", path, body);
}

/** The address of a stream. */
export function streamURL(path: string): string {
  return prefix + path;
}
