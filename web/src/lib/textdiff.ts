export interface TextLine {
  kind: "same" | "add" | "remove" | "left-out";
  text: string;
}

/** Beyond so many pairs of lines a difference is told as a whole. */
const mostPairs = 1_000_000;

/** How many lines around a difference are shown. */
const around = 3;

/**
 * What became of a text, line by line: the longest lines in common stay. That both end
 * with a line is not told.
 */
export function textDiff(before: string, after: string): TextLine[] {
  const bothEnd = before.endsWith("\n") && after.endsWith("\n");
  const a = (bothEnd ? before.slice(0, -1) : before).split("\n");
  const b = (bothEnd ? after.slice(0, -1) : after).split("\n");
  if (a.length * b.length > mostPairs) {
    return [
      ...a.map((text) => ({ kind: "remove", text }) as TextLine),
      ...b.map((text) => ({ kind: "add", text }) as TextLine),
    ];
  }
  // common[i][j]: how many lines of a from i and b from j on are in common.
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const out: TextLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push({ kind: "same", text: a[i++]! });
      j++;
    } else if (j >= b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!)) {
      out.push({ kind: "remove", text: a[i++]! });
    } else out.push({ kind: "add", text: b[j++]! });
  }
  return out;
}

/** A difference with what is far from any change left out. */
export function hunks(lines: TextLine[]): TextLine[] {
  const near = new Set<number>();
  lines.forEach((l, i) => {
    if (l.kind === "same") return;
    for (let k = i - around; k <= i + around; k++) near.add(k);
  });
  const out: TextLine[] = [];
  let left = 0;
  const tellLeft = () => {
    if (left > 0) out.push({ kind: "left-out", text: left === 1 ? "1 line" : `${left} lines` });
    left = 0;
  };
  lines.forEach((l, i) => {
    if (!near.has(i)) left++;
    else {
      tellLeft();
      out.push(l);
    }
  });
  tellLeft();
  return out;
}

/** Two texts of one line: what they begin and end with in common, and what is between. */
export function middleOf(before: string, after: string): { head: string; from: string; to: string; tail: string } {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  return {
    head: before.slice(0, head),
    from: before.slice(head, before.length - tail),
    to: after.slice(head, after.length - tail),
    tail: before.slice(before.length - tail),
  };
}
