import type { Log } from "../api/client";

/** A line that a step wrote. */
export interface Line {
  key: string;
  step: string;
  stream: string;
  time: string;
  text: string;
}

/** A text around what is searched for, which is every second part. */
export function parted(text: string, search: string): string[] {
  if (!search) return [text];
  const out: string[] = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(search); at >= 0; at = lower.indexOf(search, from)) {
    out.push(text.slice(from, at), text.slice(at, at + search.length));
    from = at + search.length;
  }
  return [...out, text.slice(from)];
}

/** Pieces become whole lines, each with its step. */
export function linesOf(logs: Log[]): Line[] {
  const out: Line[] = [];
  const partly = new Map<string, Line>();
  for (const log of logs) {
    const key = log.step + "\0" + log.stream;
    const parts = log.text.split("\n");
    parts.forEach((text, i) => {
      const open = partly.get(key);
      if (open && i === 0) open.text += text;
      else if (text !== "" || i < parts.length - 1) {
        const line = { key: `${log.id}.${i}`, step: log.step, stream: log.stream, time: log.time, text };
        out.push(line);
        if (i === parts.length - 1) partly.set(key, line);
      }
      if (i < parts.length - 1) partly.delete(key);
    });
  }
  return out;
}

/** Whether what a step or one of its items wrote is among what is asked for. */
export const ofStep = (line: { step: string }, step?: string) =>
  !step || line.step === step || line.step.startsWith(step + "[");

/** Pieces of two readings of the same, each once and in order. */
export function joined(earlier: Log[], later: Log[]): Log[] {
  if (earlier.length === 0) return later;
  const ids = new Set(earlier.map((l) => l.id));
  return [...earlier, ...later.filter((l) => !ids.has(l.id))].sort((a, b) => a.id - b.id);
}
