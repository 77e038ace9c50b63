export interface TextLine {
  kind: "same" | "add" | "remove";
  text: string;
}

/** Beyond so many pairs of lines a difference is told as a whole. */
const mostPairs = 1_000_000;

/** What became of a text, line by line: the longest lines in common stay. */
export function textDiff(before: string, after: string): TextLine[] {
  const a = before.split("\n");
  const b = after.split("\n");
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
