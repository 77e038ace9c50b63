/** How long ago an instant is, for people. */
export function ago(time: string | undefined, now = Date.now()): string {
  if (!time) return "";
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** An instant by the clock of who looks, with its zone. */
export const exact = (time: string) =>
  new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });

/** A length of time in milliseconds, for people. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
}

export function between(begun?: string, ended?: string): string {
  if (!begun) return "";
  return duration((ended ? Date.parse(ended) : Date.now()) - Date.parse(begun));
}

/** A digest as people see it. */
export const short = (digest: string) => digest.slice(0, 12);

/** An amount of money a month with its sign, for people. */
export function money(amount: number, currency: string): string {
  const text = Math.abs(amount).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${amount < 0 ? "−" : "+"}${text} ${currency}`;
}

/** A count with its noun. */
export const count = (n: number, one: string, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** How long it is until an instant, for people. */
export function until(time: string, now = Date.now()): string {
  const ms = Date.parse(time) - now;
  return ms < 1000 ? "now" : `in ${duration(ms)}`;
}
