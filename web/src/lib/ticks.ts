const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

/** Lengths of time that people count in, in milliseconds. */
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500]
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * second))
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * minute))
  .concat([1, 2, 6, 12, 24, 48, 168].map((n) => n * hour));

/** How far apart the marks of a line of time are, so that there are not more than a few; in milliseconds. */
export function tickOf(length: number, most: number): number {
  return steps.find((s) => length / s <= most) ?? length / most;
}

/** A mark of a line of time, in as few letters as it takes. */
export function tickText(ms: number): string {
  if (ms === 0) return "0";
  if (ms < second) return `${ms} ms`;
  if (ms < minute) return `${ms / second} s`;
  if (ms < hour) return `${Math.round(ms / minute)} min`;
  return `${Math.round(ms / hour)} h`;
}
