import type { ReactNode } from "react";
import { Icon, type IconName } from "./icons";

type Tone = "ok" | "bad" | "warn" | "run" | "quiet";

const looks: Record<string, [Tone, IconName]> = {
  succeeded: ["ok", "check"],
  pass: ["ok", "check"],
  failed: ["bad", "cross"],
  deny: ["bad", "cross"],
  halted: ["bad", "stopped"],
  running: ["run", "turning"],
  pending: ["quiet", "waiting"],
  waiting: ["quiet", "waiting"],
  interrupted: ["warn", "paused"],
  cancelled: ["quiet", "stopped"],
  skipped: ["quiet", "skipped"],
  due: ["quiet", "waiting"],
  queued: ["quiet", "waiting"],
  retried: ["quiet", "turning"],
  dead: ["bad", "cross"],
  delivered: ["ok", "check"],
  caught: ["warn", "warning"],
  warn: ["warn", "warning"],
  drifted: ["warn", "drift"],
  unknown: ["warn", "question"],
};

/** What a status looks like: its colour and its shape. */
export const lookOf = (status: string): [Tone, IconName] => looks[status] ?? ["quiet", "question"];

/** A status as colour, shape and word. Alone, the word is only for those who listen. */
export function Status({
  status,
  alone = false,
  word = status,
}: {
  status: string;
  alone?: boolean;
  word?: ReactNode;
}) {
  const [tone, icon] = lookOf(status);
  return (
    <span className={alone ? `status-mark tone-${tone}` : `status tone-${tone}`} data-status={status}>
      <Icon name={icon} size={alone ? 16 : 14} />
      {alone ? <span className="hidden-text">{word}</span> : word}
    </span>
  );
}
